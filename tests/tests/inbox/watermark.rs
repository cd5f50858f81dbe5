//! One row for each partition in place of one for each message.

use outboxd_client::Message;
use outboxd_client::inbox::Outcome;

use crate::shop::{Shop, inbox, order, pay, try_and_fail, try_pay, with_header};

fn numbered(key: &str, number: i64) -> Message {
    let sequence = format!("0001-00000000016B3748-{number:08X}");
    with_header(order(key, number), "sequence", &sequence)
}

#[tokio::test]
async fn what_lies_behind_the_watermark_is_a_duplicate_and_leaves_no_row() {
    let shop = Shop::new().await;
    let mut client = shop.client().await;
    let inbox = inbox().watermark();
    let messages = [1, 9, 10, 11].map(|number| numbered("a", number));
    for message in &messages {
        assert_eq!(try_pay(&mut client, &inbox, message).await.unwrap(), Outcome::Processed(1));
    }
    for message in &messages {
        assert_eq!(try_pay(&mut client, &inbox, message).await.unwrap(), Outcome::Duplicate);
    }
    let other_partition = Message { partition: 1, ..numbered("a", 2) };
    let outcome = try_pay(&mut client, &inbox, &other_partition).await.unwrap();
    assert_eq!(outcome, Outcome::Processed(1), "each partition has its own");
    let sql =
        "select (select count(*) from inbox.messages), (select count(*) from inbox.watermarks)";
    let row = &shop.database.query(sql).await.unwrap()[0];
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (0, 2));
}

#[tokio::test]
async fn a_failed_message_is_told_by_its_row_once_the_watermark_has_passed_it() {
    let shop = Shop::new().await;
    let mut client = shop.client().await;
    let inbox = inbox().watermark();
    let (bad, behind, good) = (numbered("a", 1), numbered("a", 2), numbered("b", 3));
    let failed = try_and_fail(&mut client, &inbox, &bad).await.unwrap();
    assert!(matches!(failed, Outcome::Failed { attempt: 1, .. }), "{failed:?}");
    let waits = try_pay(&mut client, &inbox, &behind).await.unwrap();
    assert!(matches!(waits, Outcome::Failed { attempt: 0, .. }), "{waits:?}");
    assert_eq!(try_pay(&mut client, &inbox, &good).await.unwrap(), Outcome::Processed(1));
    assert_eq!(try_pay(&mut client, &inbox, &bad).await.unwrap(), failed, "delivered again");
    for expected in [bad, behind] {
        shop.let_time_pass().await;
        let tried = inbox.retry_due(&mut client, 10, |tx, message| pay(tx, message)).await.unwrap();
        assert_eq!(tried, [(expected.clone(), Outcome::Processed(1))]);
        assert_eq!(try_pay(&mut client, &inbox, &expected).await.unwrap(), Outcome::Duplicate);
    }
    assert_eq!(shop.payments("a").await, 2);
}

#[tokio::test]
async fn a_replayed_record_is_told_by_its_id() {
    let shop = Shop::new().await;
    let mut client = shop.client().await;
    let inbox = inbox().watermark();
    assert_eq!(
        try_pay(&mut client, &inbox, &numbered("a", 9)).await.unwrap(),
        Outcome::Processed(1)
    );
    let replay = with_header(numbered("b", 5), "outboxd-replay", "true");
    assert_eq!(try_pay(&mut client, &inbox, &replay).await.unwrap(), Outcome::Processed(1));
    assert_eq!(try_pay(&mut client, &inbox, &replay).await.unwrap(), Outcome::Duplicate);
    assert_eq!(shop.payments("b").await, 1);
}

#[tokio::test]
async fn a_batch_under_a_watermark_loses_nothing() {
    let shop = Shop::new().await;
    let mut client = shop.client().await;
    let inbox = inbox().watermark();
    let batch = [numbered("a", 1), numbered("a", 2), numbered("b", 3)];
    let outcomes = inbox
        .process_batch(&mut client, &batch, |tx, message| {
            if message.offset == 1 {
                crate::shop::pay_and_fail(tx, message)
            } else {
                pay(tx, message)
            }
        })
        .await
        .unwrap();
    assert!(matches!(outcomes[0], Outcome::Failed { attempt: 1, .. }), "{outcomes:?}");
    assert!(matches!(outcomes[1], Outcome::Failed { attempt: 0, .. }), "{outcomes:?}");
    assert_eq!(outcomes[2], Outcome::Processed(1));
}
