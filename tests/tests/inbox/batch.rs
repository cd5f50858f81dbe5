//! Many messages in one transaction.

use outboxd_client::Message;
use outboxd_client::inbox::{HandlerError, Handling, Inbox, Outcome};
use tokio_postgres::{Client, Transaction};

use crate::shop::{Shop, inbox, order, pay};

async fn pay_all(client: &mut Client, inbox: &Inbox, batch: &[Message]) -> Vec<Outcome<u64>> {
    inbox.process_batch(client, batch, |tx, message| pay_unless_bad(tx, message)).await.unwrap()
}

/// Messages at offset 13 fail after their effect; others of that key do not.
fn pay_unless_bad<'a>(
    tx: &'a mut Transaction<'_>,
    message: &'a Message,
) -> Handling<'a, u64, HandlerError> {
    Box::pin(async move {
        let paid = pay(tx, message).await?;
        if message.offset == 13 {
            // Aborts the transaction as far as its savepoint.
            tx.execute("select 1 / 0", &[]).await?;
        }
        Ok(paid)
    })
}

#[tokio::test]
async fn a_batch_is_one_transaction_and_its_duplicates_are_skipped() {
    let shop = Shop::new().await;
    let mut client = shop.client().await;
    let (a, b, c) = (order("a", 1), order("b", 2), order("c", 3));
    pay_all(&mut client, &inbox(), std::slice::from_ref(&b)).await;
    let outcomes = pay_all(&mut client, &inbox(), &[a.clone(), b, c, a]).await;
    let done = Outcome::Processed(1);
    assert_eq!(outcomes, [done.clone(), Outcome::Duplicate, done, Outcome::Duplicate]);
    for key in ["a", "b", "c"] {
        assert_eq!(shop.payments(key).await, 1);
    }
    // now() is when a transaction began.
    let sql = "select count(distinct completed_at) from inbox.messages";
    let transactions: i64 = shop.database.query(sql).await.unwrap()[0].get(0);
    assert_eq!(transactions, 2);
}

#[tokio::test]
async fn one_bad_message_spoils_nothing_but_the_order_of_its_key() {
    let shop = Shop::new().await;
    let mut client = shop.client().await;
    let batch = [order("a", 12), order("b", 13), order("c", 14), order("b", 15), order("a", 16)];
    let outcomes = pay_all(&mut client, &inbox(), &batch).await;
    assert_eq!(outcomes[0], Outcome::Processed(1));
    assert!(matches!(outcomes[1], Outcome::Failed { attempt: 1, .. }), "{outcomes:?}");
    assert_eq!(outcomes[2], Outcome::Processed(1));
    assert!(matches!(outcomes[3], Outcome::Failed { attempt: 0, .. }), "{outcomes:?}");
    assert_eq!(outcomes[4], Outcome::Processed(1));
    assert_eq!((shop.payments("a").await, shop.payments("b").await), (2, 0));
}

#[tokio::test]
async fn a_batch_whose_commit_is_refused_is_handled_one_by_one() {
    let shop = Shop::new().await;
    let once = "alter table payments add constraint once unique (order_id) deferrable
                initially deferred";
    shop.database.execute(once).await.unwrap();
    let mut client = shop.client().await;
    let inbox = inbox().unordered();
    let batch = [order("a", 1), order("a", 2), order("b", 3)];
    let outcomes = pay_all(&mut client, &inbox, &batch).await;
    assert_eq!(outcomes[0], Outcome::Processed(1));
    assert!(matches!(outcomes[1], Outcome::Failed { attempt: 1, .. }), "{outcomes:?}");
    assert_eq!(outcomes[2], Outcome::Processed(1));
}

#[tokio::test]
async fn a_batch_that_is_dropped_half_way_leaves_nothing() {
    let shop = Shop::new().await;
    let mut client = shop.client().await;
    let batch = [order("a", 1), order("b", 2)];
    let nobody = Message { headers: Vec::new(), ..order("c", 3) };
    let with_nobody = [batch[0].clone(), batch[1].clone(), nobody];
    let refused = inbox().process_batch(&mut client, &with_nobody, |tx, m| pay(tx, m)).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(shop.payments("a").await, 0);
    let outcomes = pay_all(&mut client, &inbox(), &batch).await;
    assert_eq!(outcomes, [Outcome::Processed(1), Outcome::Processed(1)]);
}
