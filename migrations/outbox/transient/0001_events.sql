-- No key, and nothing of a row is written to the log when it is deleted. Dead rows are many, and
-- all that autovacuum has to do here.
create table outbox.events (
    id            uuid        not null default gen_random_uuid(),
    aggregatetype text        not null,
    aggregateid   text,
    type          text        not null,
    payload       jsonb,
    headers       jsonb       not null default '{}',
    created_at    timestamptz not null default now(),
    constraint events_headers_is_object check (jsonb_typeof(headers) = 'object')
) with (
    autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = -1
);
alter table outbox.events replica identity nothing;
comment on table outbox.events is 'Takes events and keeps none: a row is deleted in the transaction that inserts it, and outboxd publishes it from the log.';
comment on column outbox.events.id is 'Event id: what consumers recognise duplicates by.';
comment on column outbox.events.aggregatetype is 'Kind of the aggregate: chooses the topic.';
comment on column outbox.events.aggregateid is 'Key of the record: events of one aggregate keep their order. Null: no key, no order.';
comment on column outbox.events.type is 'Type of the event: sent as a header.';
comment on column outbox.events.payload is 'Value of the record, byte for byte. Null: a tombstone.';
comment on column outbox.events.headers is 'Further headers of the record, as a JSON object.';
comment on column outbox.events.created_at is 'Timestamp of the record.';
comment on constraint events_headers_is_object on outbox.events is 'Headers have names, so nothing but an object can be sent.';

-- The row is deleted for whoever may insert it.
create function outbox.forget() returns trigger
    language plpgsql volatile security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    delete from outbox.events where ctid = new.ctid;
    return null;
end
$$;
revoke all on function outbox.forget() from public;
comment on function outbox.forget() is 'Deletes the row that was just inserted.';
create trigger events_forget after insert on outbox.events
    for each row execute function outbox.forget();
comment on trigger events_forget on outbox.events is 'Nothing is kept here: the log has it.';
