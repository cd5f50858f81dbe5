-- What the constraints of a table would refuse, with the same names and codes.
create function outbox.check_event(event outbox.events) returns void
    language plpgsql immutable
    set search_path = pg_catalog, pg_temp
as $$
declare
    missing text;
    broken  text;
begin
    missing := case
        when event.id is null then 'id'
        when event.aggregatetype is null then 'aggregatetype'
        when event.type is null then 'type'
        when event.headers is null then 'headers'
        when event.created_at is null then 'created_at'
    end;
    if missing is not null then
        raise exception 'null value in column "%" of view "events" violates not-null constraint', missing
            using errcode = 'not_null_violation', table = 'events', column = missing;
    end if;
    broken := case
        when event.aggregatetype !~ '^[a-zA-Z0-9._-]{1,236}$' then 'events_aggregatetype_is_topic'
        when octet_length(event.aggregateid) > 32768 then 'events_aggregateid_size'
        when octet_length(event.type) > 1024 then 'events_type_size'
        when octet_length(event.payload::text) > 921600 then 'events_payload_size'
        when octet_length(event.headers::text) > 65536 then 'events_headers_size'
        when jsonb_typeof(event.headers) <> 'object' then 'events_headers_is_object'
    end;
    if broken is not null then
        raise exception 'new row for view "events" violates check constraint "%"', broken
            using errcode = 'check_violation', table = 'events', constraint = broken;
    end if;
end
$$;
revoke all on function outbox.check_event(outbox.events) from public;
comment on function outbox.check_event(outbox.events) is 'Refuses what Kafka would refuse.';

-- Each value is written as Postgres prints it, under settings that do not depend on who writes, and
-- in UTF-8 whatever the encoding of the database.
create function outbox.write() returns trigger
    language plpgsql volatile security definer
    set search_path = pg_catalog, pg_temp
    set datestyle = 'ISO, YMD'
    set timezone = 'UTC'
as $$
begin
    perform outbox.check_event(new);
    perform pg_logical_emit_message(true, 'outbox', convert_to(json_build_object(
        'v', 1,
        'row', json_build_object(
            'id', new.id::text,
            'aggregatetype', new.aggregatetype,
            'aggregateid', new.aggregateid,
            'type', new.type,
            'payload', new.payload::text,
            'headers', new.headers::text,
            'created_at', new.created_at::text
        )
    )::text, 'UTF8'));
    return new;
end
$$;
revoke all on function outbox.write() from public;
comment on function outbox.write() is 'Writes an event to the log. The only way to do so: a message of this kind is an event.';
create trigger events_write instead of insert on outbox.events
    for each row execute function outbox.write();
comment on trigger events_write on outbox.events is 'An insert is a message.';
