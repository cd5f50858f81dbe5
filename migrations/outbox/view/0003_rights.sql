-- The owner of the functions writes the messages.
do $$
declare
    message regprocedure;
begin
    for message in
        select oid from pg_catalog.pg_proc
         where proname = 'pg_logical_emit_message' and pronamespace = 'pg_catalog'::regnamespace
    loop
        execute pg_catalog.format('grant execute on function %s to outbox_owner', message);
    end loop;
end
$$;
alter function outbox.check_event(outbox.events) owner to outbox_owner;
alter function outbox.write() owner to outbox_owner;
