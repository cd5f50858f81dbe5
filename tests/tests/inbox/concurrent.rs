//! The same message in two transactions at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use outboxd_client::Message;
use outboxd_client::inbox::{Claim, HandlerError, Outcome};
use outboxd_tests::patience::eventually;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::shop::{Shop, inbox, order, pay, try_pay};

/// Pays in a task of its own, and neither commits nor rolls back before it is told to succeed or not.
struct Held {
    task: JoinHandle<Outcome<u64>>,
    paid: oneshot::Receiver<()>,
    end: oneshot::Sender<Result<(), HandlerError>>,
}

async fn hold(shop: &Shop, message: Message) -> Held {
    let mut client = shop.client().await;
    let (tell_paid, paid) = oneshot::channel();
    let (end, ended) = oneshot::channel();
    let mut once = Some((tell_paid, ended));
    let task = tokio::spawn(async move {
        let inbox = inbox();
        let handled = inbox.process(&mut client, &message, |tx, message| {
            let once = once.take();
            Box::pin(async move {
                let paid = pay(tx, message).await?;
                let Some((tell_paid, ended)) = once else { return Ok(paid) };
                // A test that has failed already waits for nothing.
                let _ = tell_paid.send(());
                ended.await??;
                Ok::<_, HandlerError>(paid)
            })
        });
        handled.await.unwrap()
    });
    Held { task, paid, end }
}

/// Until somebody waits for a lock of another.
async fn wait_for_a_waiter(shop: &Shop) {
    let sql = "select from pg_stat_activity
                where datname = current_database() and wait_event_type = 'Lock'";
    eventually("somebody waits", || async move {
        Ok((!shop.database.query(sql).await?.is_empty()).then_some(()))
    })
    .await
    .unwrap();
}

async fn in_the_background(shop: &Shop, message: &Message) -> JoinHandle<Outcome<u64>> {
    let (mut client, message) = (shop.client().await, message.clone());
    tokio::spawn(async move { try_pay(&mut client, &inbox(), &message).await.unwrap() })
}

#[tokio::test]
async fn a_concurrent_duplicate_waits_and_is_skipped() {
    let shop = Shop::new().await;
    let message = order("a", 1);
    let first = hold(&shop, message.clone()).await;
    first.paid.await.unwrap();
    let second = in_the_background(&shop, &message).await;
    wait_for_a_waiter(&shop).await;
    first.end.send(Ok(())).unwrap();
    assert_eq!(first.task.await.unwrap(), Outcome::Processed(1));
    assert_eq!(second.await.unwrap(), Outcome::Duplicate);
    assert_eq!(shop.payments("a").await, 1);
}

#[tokio::test]
async fn when_the_first_is_rolled_back_the_second_proceeds() {
    let shop = Shop::new().await;
    let (message, inbox) = (order("a", 1), inbox());
    let mut client = shop.client().await;
    let mut first = client.transaction().await.unwrap();
    assert_eq!(inbox.claim(&first, &message).await.unwrap(), Claim::Run { attempt: 1 });
    pay(&mut first, &message).await.unwrap();
    let second = in_the_background(&shop, &message).await;
    wait_for_a_waiter(&shop).await;
    first.rollback().await.unwrap();
    assert_eq!(second.await.unwrap(), Outcome::Processed(1));
    // Whoever failed comes second, and sees what the other has made of the message.
    let tx = client.transaction().await.unwrap();
    let late = inbox.fail(&tx, &message, 1, "card declined").await.unwrap();
    assert_eq!(late, Outcome::Duplicate);
    tx.commit().await.unwrap();
    assert_eq!(shop.row(&message).await, Some(("COMPLETED".to_owned(), 1)));
    assert_eq!(shop.payments("a").await, 1);
}

#[tokio::test]
async fn when_the_first_process_dies_the_second_proceeds() {
    let shop = Shop::new().await;
    let message = order("a", 1);
    let first = hold(&shop, message.clone()).await;
    first.paid.await.unwrap();
    let second = in_the_background(&shop, &message).await;
    wait_for_a_waiter(&shop).await;
    first.task.abort();
    assert_eq!(second.await.unwrap(), Outcome::Processed(1));
    assert_eq!(shop.payments("a").await, 1);
}

#[tokio::test]
async fn a_deadlock_is_tried_again_at_once() {
    let shop = Shop::new().await;
    shop.database
        .execute("create table stock (item text primary key, n int); insert into stock values ('x', 0), ('y', 0)")
        .await
        .unwrap();
    let rounds = Arc::new(AtomicU32::new(0));
    let meet = Arc::new(tokio::sync::Barrier::new(2));
    let take = |items: [&'static str; 2], key: &str| {
        let (rounds, meet, message) = (rounds.clone(), meet.clone(), order(key, 1));
        let client = shop.client();
        async move {
            let mut client = client.await;
            let mut first_time = true;
            let inbox = inbox();
            let outcome = inbox.process(&mut client, &message, |tx, _| {
                let meet = std::mem::take(&mut first_time).then(|| meet.clone());
                rounds.fetch_add(1, Ordering::Relaxed);
                Box::pin(async move {
                    let sql = "update stock set n = n + 1 where item = $1";
                    tx.execute(sql, &[&items[0]]).await?;
                    if let Some(meet) = meet {
                        meet.wait().await;
                    }
                    tx.execute(sql, &[&items[1]]).await
                })
            });
            outcome.await.unwrap()
        }
    };
    let (one, other) = tokio::join!(take(["x", "y"], "a"), take(["y", "x"], "b"));
    assert_eq!((one, other), (Outcome::Processed(1), Outcome::Processed(1)));
    assert_eq!(rounds.load(Ordering::Relaxed), 3, "one of them was the victim");
    let row = &shop.database.query("select sum(n) from stock").await.unwrap()[0];
    assert_eq!(row.get::<_, i64>(0), 4);
}

#[tokio::test]
async fn a_serialization_failure_is_tried_again_at_once() {
    let shop = Shop::new().await;
    let message = order("a", 1);
    let mut client = shop.client().await;
    client.batch_execute("set default_transaction_isolation = 'repeatable read'").await.unwrap();
    shop.database
        .execute("create table stock (n int); insert into stock values (0)")
        .await
        .unwrap();
    let other = Arc::new(shop.client().await);
    let mut rounds = 0;
    let outcome = inbox()
        .process(&mut client, &message, |tx, _| {
            rounds += 1;
            let (is_first, other) = (rounds == 1, other.clone());
            Box::pin(async move {
                let add = "update stock set n = n + 1";
                tx.query("select n from stock", &[]).await?;
                if is_first {
                    other.execute(add, &[]).await?;
                }
                tx.execute(add, &[]).await
            })
        })
        .await
        .unwrap();
    assert_eq!((outcome, rounds), (Outcome::Processed(1), 2));
    let row = &shop.database.query("select n from stock").await.unwrap()[0];
    assert_eq!(row.get::<_, i32>(0), 2);
}
