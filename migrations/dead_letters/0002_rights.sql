alter schema outbox owner to outbox_owner;
alter table outbox.migrations owner to outbox_owner;
alter table outbox.dead_letters owner to outbox_owner;
alter table outbox.relays owner to outbox_owner;
grant usage on schema outbox to outbox_relay, outbox_operator;
grant select, insert, update on outbox.dead_letters, outbox.relays to outbox_relay;
-- All but the value. Asking for a retry or giving up is a change of the state.
grant select (id, relay, position, event_id, topic, key, partition_key, headers, created_at, complete, kind,
              error_code, error_message, fingerprint, parked_behind, state, attempts, first_failed_at,
              last_failed_at, resolved_at, resolved_by, note),
      update (state, resolved_by, note)
   on outbox.dead_letters to outbox_operator;
