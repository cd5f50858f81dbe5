create table outbox.events (
    id            uuid        not null default gen_random_uuid(),
    aggregatetype text        not null,
    aggregateid   text,
    type          text        not null,
    payload       jsonb,
    headers       jsonb       not null default '{}',
    created_at    timestamptz not null default now(),
    constraint events_pkey primary key (id),
    constraint events_headers_is_object check (jsonb_typeof(headers) = 'object')
);
comment on table outbox.events is 'One row for each event. Insert only: outboxd publishes a row when its transaction commits.';
comment on column outbox.events.id is 'Event id: what consumers recognise duplicates by.';
comment on column outbox.events.aggregatetype is 'Kind of the aggregate: chooses the topic.';
comment on column outbox.events.aggregateid is 'Key of the record: events of one aggregate keep their order. Null: no key, no order.';
comment on column outbox.events.type is 'Type of the event: sent as a header.';
comment on column outbox.events.payload is 'Value of the record, byte for byte. Null: a tombstone.';
comment on column outbox.events.headers is 'Further headers of the record, as a JSON object.';
comment on column outbox.events.created_at is 'Timestamp of the record.';
comment on constraint events_pkey on outbox.events is 'An event id is used once.';
comment on constraint events_headers_is_object on outbox.events is 'Headers have names, so nothing but an object can be sent.';
