create table if not exists outbox.migrations (
    name       text        not null,
    checksum   text        not null,
    applied_at timestamptz not null default now(),
    constraint migrations_pkey primary key (name)
);
comment on table outbox.migrations is 'Which files of outboxd were applied to this schema. See outboxd migrate status.';
comment on column outbox.migrations.name is 'The file, without its ending.';
comment on column outbox.migrations.checksum is 'SHA-256 of the file as it was released, in hexadecimal digits.';
comment on column outbox.migrations.applied_at is 'When it was applied, or found to be there.';
comment on constraint migrations_pkey on outbox.migrations is 'A file is applied once.';
