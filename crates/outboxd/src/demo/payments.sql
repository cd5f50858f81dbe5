create schema payment_service;
comment on schema payment_service is 'The payment service of a run of `outboxd demo`: removed with its database.';

create table payment_service.payments (
    id           bigint generated always as identity,
    order_number bigint not null,
    customer     text   not null,
    cents        bigint not null,
    constraint payments_pkey primary key (id)
);
comment on table payment_service.payments is 'Money that was taken. Nothing here keeps an order from being paid twice: that is for the inbox to do.';
comment on column payment_service.payments.id is 'Counts the payments.';
comment on column payment_service.payments.order_number is 'What was paid for.';
comment on column payment_service.payments.customer is 'Who has paid.';
comment on column payment_service.payments.cents is 'How much.';
comment on constraint payments_pkey on payment_service.payments is 'A payment has one number.';

create table payment_service.provider_failures (
    order_number bigint  not null,
    remaining    integer not null,
    constraint provider_failures_pkey primary key (order_number)
);
comment on table payment_service.provider_failures is 'How often the provider of payments still refuses an order. It stands for a system elsewhere: it is changed outside the service''s transactions.';
comment on column payment_service.provider_failures.order_number is 'The order.';
comment on column payment_service.provider_failures.remaining is 'At 0 it accepts.';
comment on constraint provider_failures_pkey on payment_service.provider_failures is 'One row for an order.';
