//! The inbox in memory and the one in Postgres, through the same stories.

use std::collections::HashMap;
use std::time::Duration;

use outboxd_client::inbox::{HandlerError, Inbox, Outcome};
use outboxd_client::testing::{MemoryBroker, MemoryInbox};
use outboxd_client::{Header, Message};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::shop::{Shop, inbox, order, pay, pay_and_fail, try_and_fail, try_pay, with_header};

/// Payments of each order.
type Payments = HashMap<Vec<u8>, i64>;

/// Either of the two.
enum Subject {
    Memory(Box<MemoryInbox<Payments>>),
    Postgres(Box<Service>),
}

struct Service {
    inbox: Inbox,
    shop: Shop,
    client: Client,
}

/// What came of a message, without times.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Processed,
    Duplicate,
    Failed(u32),
    Dead(u32),
    Busy,
}

fn came(outcome: &Outcome<u64>) -> Came {
    match outcome {
        Outcome::Processed(_) => Came::Processed,
        Outcome::Duplicate => Came::Duplicate,
        Outcome::Failed { attempt, .. } => Came::Failed(*attempt),
        Outcome::Dead { attempts } => Came::Dead(*attempts),
        Outcome::Busy => Came::Busy,
    }
}

fn pay_in_memory(
    payments: &mut Payments,
    message: &Message,
    fails: bool,
) -> Result<u64, HandlerError> {
    *payments.entry(message.key.clone().unwrap_or_default()).or_default() += 1;
    if fails { Err("card declined".into()) } else { Ok(1) }
}

impl Subject {
    async fn both(inbox: Inbox) -> [Self; 2] {
        let shop = Shop::new().await;
        let client = shop.client().await;
        let memory = MemoryInbox::new(inbox.clone(), Payments::new());
        [Self::Memory(Box::new(memory)), Self::Postgres(Box::new(Service { inbox, shop, client }))]
    }

    async fn deliver(&mut self, message: &Message, fails: bool) -> Came {
        let outcome = match self {
            Self::Memory(memory) => {
                memory.process(message, |payments, message| pay_in_memory(payments, message, fails))
            }
            Self::Postgres(service) => {
                let Service { inbox, client, .. } = &mut **service;
                if fails {
                    try_and_fail(client, inbox, message).await
                } else {
                    try_pay(client, inbox, message).await
                }
            }
        };
        came(&outcome.unwrap())
    }

    async fn retry(&mut self, fails: bool) -> Vec<(i64, Came)> {
        let tried = match self {
            Self::Memory(memory) => memory
                .retry_due(10, |payments, message| pay_in_memory(payments, message, fails))
                .unwrap(),
            Self::Postgres(service) => {
                let Service { inbox, client, .. } = &mut **service;
                let retried = inbox.retry_due(client, 10, |tx, message| {
                    if fails { pay_and_fail(tx, message) } else { pay(tx, message) }
                });
                retried.await.unwrap()
            }
        };
        tried.iter().map(|(message, outcome)| (message.offset, came(outcome))).collect()
    }

    async fn let_time_pass(&mut self) {
        match self {
            Self::Memory(memory) => memory.advance(Duration::from_secs(24 * 3600)),
            Self::Postgres(service) => service.shop.let_time_pass().await,
        }
    }

    async fn payments(&self, key: &str) -> i64 {
        match self {
            Self::Memory(memory) => memory.state().get(key.as_bytes()).copied().unwrap_or_default(),
            Self::Postgres(service) => service.shop.payments(key).await,
        }
    }

    async fn row(&self, message: &Message) -> Option<(String, u32)> {
        match self {
            Self::Memory(memory) => {
                let row = memory.row(message.id().unwrap());
                row.map(|(state, attempts)| (state.as_str().to_owned(), attempts))
            }
            Self::Postgres(service) => {
                let row = service.shop.row(message).await;
                row.map(|(state, attempts)| (state, u32::try_from(attempts).unwrap()))
            }
        }
    }
}

fn row(state: &str, attempts: u32) -> Option<(String, u32)> {
    Some((state.to_owned(), attempts))
}

#[tokio::test]
async fn once_and_no_more() {
    for mut subject in Subject::both(inbox()).await {
        let message = order("a", 1);
        assert_eq!(subject.deliver(&message, false).await, Came::Processed);
        assert_eq!(subject.deliver(&message, false).await, Came::Duplicate);
        assert_eq!(subject.payments("a").await, 1);
        assert_eq!(subject.row(&message).await, row("COMPLETED", 1));
    }
}

#[tokio::test]
async fn failed_retried_and_through() {
    for mut subject in Subject::both(inbox()).await {
        let message = order("a", 1);
        assert_eq!(subject.deliver(&message, true).await, Came::Failed(1));
        assert_eq!(subject.payments("a").await, 0);
        assert_eq!(subject.deliver(&message, false).await, Came::Failed(1), "too early");
        assert_eq!(subject.retry(false).await, [], "too early");
        subject.let_time_pass().await;
        assert_eq!(subject.retry(true).await, [(1, Came::Failed(2))]);
        subject.let_time_pass().await;
        assert_eq!(subject.deliver(&message, false).await, Came::Processed);
        assert_eq!(subject.row(&message).await, row("COMPLETED", 3));
        assert_eq!(subject.payments("a").await, 1);
    }
}

#[tokio::test]
async fn dead_after_the_last_attempt() {
    for mut subject in Subject::both(inbox().max_attempts(2)).await {
        let message = order("a", 1);
        assert_eq!(subject.deliver(&message, true).await, Came::Failed(1));
        subject.let_time_pass().await;
        assert_eq!(subject.deliver(&message, true).await, Came::Dead(2));
        subject.let_time_pass().await;
        assert_eq!(subject.deliver(&message, false).await, Came::Dead(2));
        assert_eq!(subject.retry(false).await, []);
        assert_eq!(subject.row(&message).await, row("DEAD", 2));
        assert_eq!(subject.payments("a").await, 0);
    }
}

#[tokio::test]
async fn one_key_in_order_and_others_beside_it() {
    for mut subject in Subject::both(inbox()).await {
        let [head, next, other] = [order("a", 1), order("a", 2), order("b", 3)];
        assert_eq!(subject.deliver(&head, true).await, Came::Failed(1));
        assert_eq!(subject.deliver(&next, false).await, Came::Failed(0));
        assert_eq!(subject.deliver(&next, false).await, Came::Failed(0));
        assert_eq!(subject.deliver(&other, false).await, Came::Processed);
        subject.let_time_pass().await;
        assert_eq!(subject.deliver(&next, false).await, Came::Failed(0));
        assert_eq!(subject.retry(false).await, [(1, Came::Processed)]);
        assert_eq!(subject.retry(false).await, [(2, Came::Processed)]);
        assert_eq!(subject.payments("a").await, 2);
    }
}

#[tokio::test]
async fn unordered_keys_wait_for_nobody() {
    for mut subject in Subject::both(inbox().unordered()).await {
        assert_eq!(subject.deliver(&order("a", 1), true).await, Came::Failed(1));
        assert_eq!(subject.deliver(&order("a", 2), false).await, Came::Processed);
    }
}

#[tokio::test]
async fn watermarks() {
    for mut subject in Subject::both(inbox().watermark()).await {
        let numbered =
            |key, number| with_header(order(key, number), "sequence", &format!("{number:08}"));
        let [first, second, third] = [numbered("a", 1), numbered("b", 2), numbered("c", 3)];
        assert_eq!(subject.deliver(&first, false).await, Came::Processed);
        assert_eq!(subject.deliver(&second, true).await, Came::Failed(1));
        assert_eq!(subject.deliver(&third, false).await, Came::Processed);
        assert_eq!(subject.deliver(&first, false).await, Came::Duplicate);
        assert_eq!(subject.row(&first).await, None);
        subject.let_time_pass().await;
        assert_eq!(subject.retry(false).await, [(2, Came::Processed)]);
        assert_eq!(subject.deliver(&second, false).await, Came::Duplicate);
        let replay = with_header(numbered("d", 1), "outboxd-replay", "true");
        assert_eq!(subject.deliver(&replay, false).await, Came::Processed);
        assert_eq!(subject.deliver(&replay, false).await, Came::Duplicate);
        assert_eq!(subject.row(&replay).await, row("COMPLETED", 1));
    }
}

#[tokio::test]
async fn a_crash_before_the_commit_of_offsets_pays_nothing_twice() {
    for mut subject in Subject::both(inbox()).await {
        let mut broker = MemoryBroker::new(3);
        for number in 0..20 {
            let id = Some(Uuid::now_v7().to_string().into_bytes());
            let headers = vec![Header { name: "id".to_owned(), value: id }];
            broker.publish("orders", Some(number.to_string().as_bytes()), None, headers);
        }
        let mut handled = 0;
        while let Some(message) = broker.poll("payments", "orders") {
            let came = subject.deliver(&message, false).await;
            assert!(matches!(came, Came::Processed | Came::Duplicate), "{came:?}");
            handled += 1;
            match handled {
                5 => broker.commit("payments", &message),
                10 => broker.restart("payments"),
                _ => {}
            }
        }
        assert!(handled > 20, "some came twice");
        for number in 0..20 {
            assert_eq!(subject.payments(&number.to_string()).await, 1);
        }
    }
}
