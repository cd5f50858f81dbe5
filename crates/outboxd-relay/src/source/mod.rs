//! The replication connection to Postgres.
