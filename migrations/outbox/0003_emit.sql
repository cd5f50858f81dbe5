-- Its owner writes, so that a role which may do nothing but this can write events.
create function outbox.emit(
    aggregatetype text,
    aggregateid   text,
    type          text,
    payload       jsonb,
    headers       jsonb       default '{}',
    id            uuid        default gen_random_uuid(),
    created_at    timestamptz default now()
) returns uuid
    language sql volatile security definer
    set search_path = pg_catalog, pg_temp
as $$
    insert into outbox.events as event (id, aggregatetype, aggregateid, type, payload, headers, created_at)
    values (emit.id, emit.aggregatetype, emit.aggregateid, emit.type, emit.payload, emit.headers, emit.created_at)
    returning event.id
$$;
revoke all on function outbox.emit(text, text, text, jsonb, jsonb, uuid, timestamptz) from public;
comment on function outbox.emit(text, text, text, jsonb, jsonb, uuid, timestamptz) is 'Writes an event as an insert would, and gives its id. The aggregate id may be null: no key, no order.';
