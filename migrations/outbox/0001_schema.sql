create schema if not exists outbox;
comment on schema outbox is 'Transactional outbox: events written beside the business rows, published by outboxd.';
