-- What the two services of the examples keep beside outbox and inbox. Real ones have a database each.
create table orders (
    id     text    not null,
    amount integer not null,
    constraint orders_pkey primary key (id),
    constraint orders_amount_is_positive check (amount > 0)
);
comment on table orders is 'Orders of the order service.';
comment on column orders.id is 'Number of the order.';
comment on column orders.amount is 'What it costs, in cents.';
comment on constraint orders_pkey on orders is 'An order is placed once.';
comment on constraint orders_amount_is_positive on orders is 'Refuses an order after its event was appended: both must vanish.';

-- Nothing here makes a payment unique: that there is one for each order is the inbox's work alone.
create table payments (
    consumer text    not null,
    order_id text    not null,
    amount   integer not null
);
comment on table payments is 'Payments of the payment service: the effect that must happen once.';
comment on column payments.consumer is 'Which of the examples has paid: each pays for every order.';
comment on column payments.order_id is 'What was paid for.';
comment on column payments.amount is 'How much, in cents.';
