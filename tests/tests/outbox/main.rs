//! Events appended by services: one suite of behaviours against each driver on a real Postgres and
//! against memory, and the way of an event to its Kafka record.

mod backend;
mod behaviours;
mod columns;
mod connections;
mod jsonb;
mod published;
mod typed;
