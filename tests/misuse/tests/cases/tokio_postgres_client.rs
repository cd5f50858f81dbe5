use outboxd_client::outbox::{AppendError, Event, EventId, Outbox};

async fn place_order(outbox: &Outbox, client: &mut tokio_postgres::Client) -> Result<EventId, AppendError> {
    outbox.append(client, Event::new("Order", 1, "OrderPlaced")).await
}

fn main() {}
