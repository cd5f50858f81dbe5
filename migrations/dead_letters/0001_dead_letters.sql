create table outbox.relays (
    name        text   not null,
    acquisition bigint not null,
    constraint relays_pkey primary key (name)
);
comment on table outbox.relays is 'One row for each relay. Whoever took over last may park events.';
comment on column outbox.relays.name is 'source.name of the relay.';
comment on column outbox.relays.acquisition is 'Rises with each take-over. Parking checks it in the same statement, so that a relay that was forgotten cannot park.';
comment on constraint relays_pkey on outbox.relays is 'A name belongs to one relay.';

create table outbox.dead_letters (
    id              bigint      generated always as identity,
    relay           text        not null,
    position        text        not null collate "C",
    event_id        text,
    topic           text,
    key             bytea,
    partition_key   bytea,
    value           bytea,
    headers         jsonb       not null default '[]',
    created_at      timestamptz,
    complete        boolean     not null,
    kind            text        not null,
    error_code      text,
    error_message   text,
    fingerprint     text,
    parked_behind   bigint,
    state           text        not null,
    attempts        integer     not null default 0,
    first_failed_at timestamptz not null default now(),
    last_failed_at  timestamptz,
    resolved_at     timestamptz,
    resolved_by     text,
    note            text,
    constraint dead_letters_pkey primary key (id),
    constraint dead_letters_position_key unique (relay, position),
    constraint dead_letters_state_check check (state in ('dead', 'parked', 'retrying', 'published', 'discarded'))
);
create index dead_letters_unresolved_idx on outbox.dead_letters (relay, key, position) where resolved_at is null;
create index dead_letters_place_idx on outbox.dead_letters (relay, substr(position, 6));
comment on table outbox.dead_letters is 'Events that could not be published, and those that wait behind them. Look at it with outboxd dlq.';
comment on column outbox.dead_letters.id is 'Names the row for retry and discard.';
comment on column outbox.dead_letters.relay is 'source.name of the relay that parked it.';
comment on column outbox.dead_letters.position is 'Where the event stands in the log: the text of the header sequence. Sorts in the order of the stream.';
comment on column outbox.dead_letters.event_id is 'Event id, as far as it could be read.';
comment on column outbox.dead_letters.topic is 'Topic, as far as it could be told.';
comment on column outbox.dead_letters.key is 'Key of the record. Null: nothing waits behind it.';
comment on column outbox.dead_letters.partition_key is 'What chooses the partition, where that is not the key.';
comment on column outbox.dead_letters.value is 'Value of the record. Null is a tombstone, unless complete is false.';
comment on column outbox.dead_letters.headers is 'Headers of the record: an array of pairs of name and value.';
comment on column outbox.dead_letters.created_at is 'Timestamp of the record.';
comment on column outbox.dead_letters.complete is 'The record can be published from this row alone. False: what is missing still stands in the outbox table.';
comment on column outbox.dead_letters.kind is 'What is wrong with it (record_too_large, unknown_topic ...), or behind.';
comment on column outbox.dead_letters.error_code is 'Code of the last error.';
comment on column outbox.dead_letters.error_message is 'Words of the last error.';
comment on column outbox.dead_letters.fingerprint is 'The same for errors of the same kind in the same topic.';
comment on column outbox.dead_letters.parked_behind is 'The row at the head of its key when it was parked.';
comment on column outbox.dead_letters.state is 'dead: cannot be sent. parked: waits behind another. retrying: to be sent by the relay. published, discarded: done with.';
comment on column outbox.dead_letters.attempts is 'How often it was sent again.';
comment on column outbox.dead_letters.first_failed_at is 'When it was parked.';
comment on column outbox.dead_letters.last_failed_at is 'When it was last refused.';
comment on column outbox.dead_letters.resolved_at is 'When the relay was done with it. Until then its key has to wait.';
comment on column outbox.dead_letters.resolved_by is 'Who asked for that.';
comment on column outbox.dead_letters.note is 'Words of whoever asked.';
comment on constraint dead_letters_pkey on outbox.dead_letters is 'A row has one number.';
comment on constraint dead_letters_position_key on outbox.dead_letters is 'An event is parked once.';
comment on constraint dead_letters_state_check on outbox.dead_letters is 'There are five states.';
comment on index outbox.dead_letters_unresolved_idx is 'What a key waits for.';
comment on index outbox.dead_letters_place_idx is 'What a relay looks for when it starts: rows at or past its position, without the epoch.';
