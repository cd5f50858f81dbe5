//! The relay from outside: the real binary between real Postgres and real Kafka.

mod compacted;
mod encoding;
mod event_messages;
mod huge;
mod idle;
mod lifecycle;
mod mapping;
mod messages;
mod operator;
mod order;
mod outside;
mod parking;
mod promotion;
mod refusals;
mod repair;
mod rotation;
mod tables;
mod tail;
mod values;
mod versions;
