-- The columns of outbox.events, and one row of it as bytes in text.
create schema services;
create table services.events (
  id uuid not null default gen_random_uuid() primary key,
  aggregatetype text not null,
  aggregateid text,
  type text not null,
  payload jsonb,
  headers jsonb not null default '{}' check (jsonb_typeof(headers) = 'object'),
  created_at timestamptz not null default now()
);
comment on table services.events is 'What services append to while they are measured.';
