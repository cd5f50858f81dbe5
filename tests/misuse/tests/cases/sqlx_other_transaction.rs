use outboxd_client::outbox::OutboxTransaction;

struct Forged;

impl OutboxTransaction for Forged {}

fn main() {}
