use outboxd_client::outbox::{AppendError, Event, Outbox};

async fn place_orders(outbox: &Outbox, client: &mut tokio_postgres::Client) -> Result<(), AppendError> {
    let events = (1..=2).map(|order| Event::new("Order", order, "OrderPlaced"));
    outbox.append_all(client, events).await.map(drop)
}

fn main() {}
