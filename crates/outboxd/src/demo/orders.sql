create schema order_service;
comment on schema order_service is 'The order service of a run of `outboxd demo`: removed with its database.';

create table order_service.orders (
    number   bigint not null,
    customer text   not null,
    cents    bigint not null,
    kind     text   not null,
    constraint orders_pkey primary key (number)
);
comment on table order_service.orders is 'Orders that were placed.';
comment on column order_service.orders.number is 'Counts the orders.';
comment on column order_service.orders.customer is 'Who has to pay.';
comment on column order_service.orders.cents is 'How much.';
comment on column order_service.orders.kind is 'order, or gift.';
comment on constraint orders_pkey on order_service.orders is 'A number is used once.';

create table order_service.refusals (
    order_number bigint not null
);
comment on table order_service.refusals is 'Orders that were taken back to a savepoint, in transactions that were committed.';
comment on column order_service.refusals.order_number is 'Of which there is no order.';
