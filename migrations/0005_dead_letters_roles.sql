grant usage on schema outbox to outbox_relay;
grant select, insert, update on outbox.dead_letters, outbox.relays to outbox_relay;
alter schema outbox owner to outbox_owner;
alter table outbox.dead_letters owner to outbox_owner;
alter table outbox.relays owner to outbox_owner;
