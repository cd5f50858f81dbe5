alter schema outbox owner to outbox_owner;
alter table outbox.migrations owner to outbox_owner;
alter table outbox.events owner to outbox_owner;
alter function outbox.emit(text, text, text, jsonb, jsonb, uuid, timestamptz) owner to outbox_owner;
grant usage on schema outbox to outbox_application, outbox_relay;
grant insert, select on outbox.events to outbox_application;
grant execute on function outbox.emit(text, text, text, jsonb, jsonb, uuid, timestamptz) to outbox_application;
grant select on outbox.events, outbox.migrations to outbox_relay;
