//! Tables as the stream announces them, and where the mapped columns of an outbox table stand.
