//! From a row of an outbox table to an event.
