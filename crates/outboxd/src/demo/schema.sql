create schema demo;
comment on schema demo is 'A run of `outboxd demo`: removed when it ends.';

create table demo.orders (
    id       bigint primary key,
    customer text   not null,
    cents    bigint not null,
    state    text   not null,
    version  bigint not null
);
comment on table demo.orders is 'The orders of the shop; version counts the events of an order.';

create table demo.accounts (
    id      text   primary key,
    cents   bigint not null default 0,
    version bigint not null default 0
);
comment on table demo.accounts is 'What customers have paid; version counts the payments.';

create table demo.outbox (
    id            uuid        not null default gen_random_uuid() primary key,
    aggregatetype text        not null,
    aggregateid   text,
    type          text        not null,
    payload       jsonb,
    headers       jsonb       not null default '{}',
    created_at    timestamptz not null default now()
);
comment on table demo.outbox is 'Events, written in the transaction of what they tell about.';

insert into demo.accounts (id)
select 'customer-' || number from generate_series(0, 9) as number;
