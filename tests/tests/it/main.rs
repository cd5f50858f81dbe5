//! The relay from outside: the real binary between real Postgres and real Kafka.

mod order;
