//! Events with a type of their own.

use anyhow::{Result, ensure};
use outboxd_client::outbox::{AppendError, EncodeError, Outbox, OutboxEvent, Payload};
use outboxd_client::testing::{MemoryOutbox, assert_appended};
use outboxd_client::{Header, Message};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct OrderPlaced {
    order: i64,
    total: u32,
}

impl OutboxEvent for OrderPlaced {
    fn aggregate_type(&self) -> &str {
        "Order"
    }

    fn aggregate_id(&self) -> Option<String> {
        Some(self.order.to_string())
    }

    fn event_type(&self) -> &str {
        "OrderPlaced"
    }

    fn headers(&self) -> Vec<(String, String)> {
        vec![("schema".to_owned(), "2".to_owned())]
    }

    fn encode(&self) -> Result<Payload, EncodeError> {
        if self.total == 0 {
            Err(EncodeError::custom("an order of nothing"))
        } else {
            Payload::json(self)
        }
    }
}

#[tokio::test]
async fn a_typed_event_is_appended_by_reference() -> Result<()> {
    let (memory, outbox) = (MemoryOutbox::new(), Outbox::new());
    let placed = OrderPlaced { order: 7, total: 1290 };
    let id = Header { name: "id".to_owned(), value: Some(CAUSE.as_bytes().to_vec()) };
    let cause = Message { headers: vec![id], ..Message::default() };
    let mut transaction = memory.begin();
    outbox.append(&mut transaction, &placed).await?;
    let others: Vec<_> = (8..10).map(|order| OrderPlaced { order, total: 1 }).collect();
    outbox.append_all(&mut transaction, &others).await?;
    outbox
        .append(&mut transaction, OrderPlaced { order: 10, total: 2 }.to_event()?.caused_by(&cause))
        .await?;
    transaction.commit()?;
    let events = memory.appended();
    let event = assert_appended(&events, "Order", "7", "OrderPlaced");
    ensure!(event.json::<OrderPlaced>() == placed && event.headers["schema"] == "2", "{event:?}");
    assert_appended(&events, "Order", "9", "OrderPlaced");
    let caused = assert_appended(&events, "Order", "10", "OrderPlaced");
    ensure!(
        caused.headers["causationid"] == CAUSE && caused.headers["schema"] == "2",
        "{caused:?}"
    );
    Ok(())
}

#[tokio::test]
async fn one_that_cannot_be_encoded_aborts_the_transaction() -> Result<()> {
    let memory = MemoryOutbox::new();
    let mut transaction = memory.begin();
    let nothing = OrderPlaced { order: 7, total: 0 };
    let error = Outbox::new().append(&mut transaction, &nothing).await.unwrap_err();
    ensure!(matches!(error, AppendError::Encode(_)), "{error}");
    transaction.commit()?;
    ensure!(memory.appended().is_empty());
    Ok(())
}

const CAUSE: &str = "018f3c1e-7a00-7000-8000-000000000001";
