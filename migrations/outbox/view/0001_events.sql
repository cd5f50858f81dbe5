-- Whoever may write such a message can forge events.
do $$
declare
    message regprocedure;
begin
    for message in
        select oid from pg_catalog.pg_proc
         where proname = 'pg_logical_emit_message' and pronamespace = 'pg_catalog'::regnamespace
    loop
        execute pg_catalog.format('revoke execute on function %s from public', message);
        if exists (
            select from pg_catalog.pg_proc, pg_catalog.aclexplode(coalesce(proacl, pg_catalog.acldefault('f', proowner))) as held
             where pg_proc.oid = message and held.grantee = 0
        ) then
            raise exception 'everybody may execute %, and so could forge events', message
                using errcode = 'insufficient_privilege',
                      hint = 'run this as a superuser, or have one revoke that first';
        end if;
        if not pg_catalog.has_function_privilege(message, 'execute') then
            raise exception 'the owner of the view may not execute %', message
                using errcode = 'insufficient_privilege',
                      hint = pg_catalog.format('as a superuser: grant execute on function %s to %I', message, current_user);
        end if;
    end loop;
end
$$;

create view outbox.events as
select null::uuid        as id,
       null::text        as aggregatetype,
       null::text        as aggregateid,
       null::text        as type,
       null::jsonb       as payload,
       null::jsonb       as headers,
       null::timestamptz as created_at
 where false;
alter view outbox.events alter column id set default gen_random_uuid();
alter view outbox.events alter column headers set default '{}';
alter view outbox.events alter column created_at set default now();
comment on view outbox.events is 'Takes events and keeps none: an insert writes a message to the log, which outboxd publishes (source.messages_prefix = "outbox").';
comment on column outbox.events.id is 'Event id: what consumers recognise duplicates by.';
comment on column outbox.events.aggregatetype is 'Kind of the aggregate: chooses the topic.';
comment on column outbox.events.aggregateid is 'Key of the record: events of one aggregate keep their order. Null: no key, no order.';
comment on column outbox.events.type is 'Type of the event: sent as a header.';
comment on column outbox.events.payload is 'Value of the record, byte for byte. Null: a tombstone.';
comment on column outbox.events.headers is 'Further headers of the record, as a JSON object.';
comment on column outbox.events.created_at is 'Timestamp of the record.';
