-- A sequence, because it is read outside of snapshots and never locked: whatever a transaction has
-- seen before, its next row goes to the leaf that is open now.
create sequence outbox.current_leaf as smallint minvalue 1 maxvalue 8 cycle;
comment on sequence outbox.current_leaf is 'The leaf of outbox.events that takes new rows. outbox.rotate() moves it on.';

-- Stable, although it is read anew for each row: volatile defaults would keep COPY from writing
-- many rows at once.
create function outbox.leaf() returns smallint
    language plpgsql stable security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    return (select sequence.last_value from outbox.current_leaf as sequence);
end
$$;
comment on function outbox.leaf() is 'Default of outbox.events.leaf. Anybody may know it.';

-- Without a primary key: it could only be one of each leaf, and costs more log than the row's own
-- columns. The leaf stands last, so that its default is worked out last.
create table outbox.events (
    id            uuid        not null default gen_random_uuid(),
    aggregatetype text        not null,
    aggregateid   text,
    type          text        not null,
    payload       jsonb,
    headers       jsonb       not null default '{}',
    created_at    timestamptz not null default now(),
    leaf          smallint    not null default outbox.leaf(),
    constraint events_headers_is_object check (jsonb_typeof(headers) = 'object')
) partition by list (leaf);
create table outbox.events_1 partition of outbox.events for values in (1);
create table outbox.events_2 partition of outbox.events for values in (2);
create table outbox.events_3 partition of outbox.events for values in (3);
create table outbox.events_4 partition of outbox.events for values in (4);
create table outbox.events_5 partition of outbox.events for values in (5);
create table outbox.events_6 partition of outbox.events for values in (6);
create table outbox.events_7 partition of outbox.events for values in (7);
create table outbox.events_8 partition of outbox.events for values in (8);
comment on table outbox.events is 'One row for each event. Insert only: outboxd publishes a row when its transaction commits. outbox.rotate() empties it, leaf by leaf.';
comment on column outbox.events.id is 'Event id: what consumers recognise duplicates by.';
comment on column outbox.events.aggregatetype is 'Kind of the aggregate: chooses the topic.';
comment on column outbox.events.aggregateid is 'Key of the record: events of one aggregate keep their order. Null: no key, no order.';
comment on column outbox.events.type is 'Type of the event: sent as a header.';
comment on column outbox.events.payload is 'Value of the record, byte for byte. Null: a tombstone.';
comment on column outbox.events.headers is 'Further headers of the record, as a JSON object.';
comment on column outbox.events.created_at is 'Timestamp of the record.';
comment on column outbox.events.leaf is 'Where the row is kept. Leave it to its default.';
comment on constraint events_headers_is_object on outbox.events is 'Headers have names, so nothing but an object can be sent.';
comment on table outbox.events_1 is 'A leaf of outbox.events.';
comment on table outbox.events_2 is 'A leaf of outbox.events.';
comment on table outbox.events_3 is 'A leaf of outbox.events.';
comment on table outbox.events_4 is 'A leaf of outbox.events.';
comment on table outbox.events_5 is 'A leaf of outbox.events.';
comment on table outbox.events_6 is 'A leaf of outbox.events.';
comment on table outbox.events_7 is 'A leaf of outbox.events.';
comment on table outbox.events_8 is 'A leaf of outbox.events.';
