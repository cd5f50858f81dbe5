-- Rights go to the roles that this server has.
do $$
declare
    thing text;
begin
    if exists (select from pg_roles where rolname = 'outbox_owner') then
        alter schema inbox owner to outbox_owner;
        for thing in
            select format('table %s', oid::regclass) from pg_class
             where relnamespace = 'inbox'::regnamespace and relkind in ('r', 'p')
            union all
            select format('function %s', oid::regprocedure) from pg_proc
             where pronamespace = 'inbox'::regnamespace
        loop
            execute format('alter %s owner to outbox_owner', thing);
        end loop;
    end if;
    if exists (select from pg_roles where rolname = 'inbox_consumer') then
        grant usage on schema inbox to inbox_consumer;
        grant select, insert, update on inbox.messages, inbox.watermarks to inbox_consumer;
        grant execute on function inbox.maintain(integer), inbox.purge(interval) to inbox_consumer;
    end if;
    if exists (select from pg_roles where rolname = 'outbox_operator') then
        grant usage on schema inbox to outbox_operator;
        grant select (consumer, message_id, state, attempts, next_attempt_at, topic, partition, "offset",
                      last_error, created_at, first_seen_at, completed_at, resolved_by)
            on inbox.messages to outbox_operator;
        grant select on inbox.watermarks to outbox_operator;
        grant update (state, attempts, next_attempt_at, completed_at, resolved_by)
            on inbox.messages to outbox_operator;
        grant execute on function inbox.maintain(integer), inbox.purge(interval), inbox.purge_unresolved(interval)
            to outbox_operator;
    end if;
end $$;
