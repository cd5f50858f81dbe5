-- What Kafka would refuse fails the transaction that writes it, and not the relay later.
-- Not validated: rows that are there were published or parked already, and reading them all would
-- hold up those who write.
alter table outbox.events
    add constraint events_aggregatetype_is_topic check (aggregatetype ~ '^[a-zA-Z0-9._-]{1,236}$') not valid,
    add constraint events_aggregateid_size check (octet_length(aggregateid) <= 32768) not valid,
    add constraint events_type_size check (octet_length(type) <= 1024) not valid,
    add constraint events_payload_size check (octet_length(payload::text) <= 921600) not valid,
    add constraint events_headers_size check (octet_length(headers::text) <= 65536) not valid;
comment on constraint events_aggregatetype_is_topic on outbox.events is 'It ends the name of a topic: letters, digits, dot, underscore and hyphen, 249 bytes at most with what stands before it.';
comment on constraint events_aggregateid_size on outbox.events is 'Keys have 32 KiB at most.';
comment on constraint events_type_size on outbox.events is 'Types have 1 KiB at most.';
comment on constraint events_payload_size on outbox.events is 'Payloads have 900 KiB at most: with key and headers they stay below the 1 MiB that brokers take unless told otherwise.';
comment on constraint events_headers_size on outbox.events is 'Headers have 64 KiB at most.';
