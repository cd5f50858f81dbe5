-- Roles belong to the whole server: those that are there stay as they are.
do $$
declare
    wanted record;
begin
    for wanted in
        select * from (values
            ('outbox_owner', 'Owns the schema outbox, what is in it, and the publication.'),
            ('outbox_application', 'May write events: grant it to services.'),
            ('outbox_relay', 'May look at the outbox and the server: grant it to the role of source.url.'),
            ('outbox_operator', 'May look after dead letters, without their values: grant it to people.'),
            ('inbox_consumer', 'May keep an inbox: grant it to services that consume.')
        ) as role (name, words)
    loop
        if not exists (select from pg_catalog.pg_roles where rolname = wanted.name) then
            execute pg_catalog.format('create role %I nologin', wanted.name);
            execute pg_catalog.format('comment on role %I is %L', wanted.name, wanted.words);
        end if;
    end loop;
end
$$;

-- Who is no superuser can only give things to a role of its own that may have them.
do $$
begin
    if not pg_catalog.pg_has_role('outbox_owner', 'usage') then
        execute pg_catalog.format('grant outbox_owner to %I', current_user);
    end if;
    if not pg_catalog.has_database_privilege('outbox_owner', current_database(), 'create') then
        execute pg_catalog.format('grant create on database %I to outbox_owner', current_database());
    end if;
end
$$;

-- Only who may hand it on can. Without it a relay works, and sees less of what holds a slot back.
do $$
begin
    if not pg_catalog.pg_has_role('outbox_relay', 'pg_monitor', 'member') then
        grant pg_monitor to outbox_relay;
    end if;
exception when insufficient_privilege then
    raise warning 'pg_monitor was not granted to outbox_relay: %', sqlerrm;
end
$$;
