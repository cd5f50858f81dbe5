//! The frames inside CopyData of a replication connection (F32).
