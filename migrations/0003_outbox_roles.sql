grant usage on schema outbox to outbox_application, outbox_relay;
grant insert, select on outbox.events to outbox_application;
grant select on outbox.events to outbox_relay;
grant pg_monitor to outbox_relay;
alter schema outbox owner to outbox_owner;
alter table outbox.events owner to outbox_owner;
