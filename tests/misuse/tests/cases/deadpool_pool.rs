use outboxd_client::outbox::{AppendError, Event, EventId, Outbox};

async fn place_order(outbox: &Outbox, pool: &mut deadpool_postgres::Pool) -> Result<EventId, AppendError> {
    outbox.append(pool, Event::new("Order", 1, "OrderPlaced")).await
}

fn main() {}
