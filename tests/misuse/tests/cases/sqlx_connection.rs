use outboxd_client::outbox::{AppendError, Event, EventId, Outbox};

async fn place_order(outbox: &Outbox, connection: &mut sqlx::PgConnection) -> Result<EventId, AppendError> {
    outbox.append(connection, Event::new("Order", 1, "OrderPlaced")).await
}

fn main() {}
