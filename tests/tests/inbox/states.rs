//! The table of states, one row after the other.

use outboxd_client::Message;
use outboxd_client::inbox::{InboxError, Outcome};
use outboxd_sandbox::PgVersion;

use crate::shop::{Shop, inbox, order, try_and_fail, try_pay};

fn state(state: &str, attempts: i32) -> Option<(String, i32)> {
    Some((state.to_owned(), attempts))
}

#[tokio::test]
async fn a_new_message_is_completed_with_its_effect() {
    for version in [PgVersion::V14, PgVersion::V18] {
        let shop = Shop::on(version).await;
        let mut client = shop.client().await;
        let message = order("a", 1);
        let outcome = try_pay(&mut client, &inbox(), &message).await.unwrap();
        assert_eq!(outcome, Outcome::Processed(1), "{version:?}");
        assert_eq!(shop.row(&message).await, state("COMPLETED", 1));
        assert_eq!(shop.payments("a").await, 1);
    }
}

#[tokio::test]
async fn a_completed_message_is_a_duplicate() {
    let shop = Shop::new().await;
    let mut client = shop.client().await;
    let message = order("a", 1);
    assert_eq!(try_pay(&mut client, &inbox(), &message).await.unwrap(), Outcome::Processed(1));
    // Published again, it lies elsewhere and is the same.
    let again = Message { offset: 7, partition: 1, ..message.clone() };
    assert_eq!(try_pay(&mut client, &inbox(), &again).await.unwrap(), Outcome::Duplicate);
    assert_eq!(shop.payments("a").await, 1);
    assert_eq!(shop.row(&message).await, state("COMPLETED", 1));
}

#[tokio::test]
async fn two_consumers_of_one_database_both_handle_a_message() {
    let shop = Shop::new().await;
    let mut client = shop.client().await;
    let message = order("a", 1);
    for consumer in ["payments", "shipping"] {
        let inbox = outboxd_client::inbox::Inbox::new(consumer);
        assert_eq!(try_pay(&mut client, &inbox, &message).await.unwrap(), Outcome::Processed(1));
    }
    assert_eq!(shop.payments("a").await, 2);
}

#[tokio::test]
async fn a_failing_handler_leaves_a_failed_row_and_no_effect() {
    let shop = Shop::new().await;
    let mut client = shop.client().await;
    let message = order("a", 1);
    let outcome = try_and_fail(&mut client, &inbox(), &message).await.unwrap();
    assert!(matches!(outcome, Outcome::Failed { attempt: 1, .. }), "{outcome:?}");
    assert_eq!(shop.payments("a").await, 0);
    assert_eq!(shop.row(&message).await, state("FAILED", 1));
    let sql = "select last_error, payload, key, headers->0->>1,
                      next_attempt_at between now() + interval '59 min' and now() + interval '1 h'
                 from inbox.messages";
    let row = &shop.database.query(sql).await.unwrap()[0];
    assert_eq!(row.get::<_, &str>(0), "card declined");
    assert_eq!(row.get::<_, Option<Vec<u8>>>(1), message.value);
    assert_eq!(row.get::<_, Option<Vec<u8>>>(2), message.key);
    assert_eq!(row.get::<_, String>(3), message.id().unwrap().to_string());
    assert!(row.get::<_, bool>(4), "an hour from then");
}

#[tokio::test]
async fn a_failed_message_waits_for_its_time() {
    let shop = Shop::new().await;
    let mut client = shop.client().await;
    let message = order("a", 1);
    let first = try_and_fail(&mut client, &inbox(), &message).await.unwrap();
    let again = try_pay(&mut client, &inbox(), &message).await.unwrap();
    assert_eq!(again, first, "not tried, and the same time to wait for");
    assert_eq!(shop.payments("a").await, 0);
}

#[tokio::test]
async fn a_failed_message_whose_time_has_come_is_tried_again() {
    let shop = Shop::new().await;
    let mut client = shop.client().await;
    let message = order("a", 1);
    let _ = try_and_fail(&mut client, &inbox(), &message).await.unwrap();
    shop.let_time_pass().await;
    let second = try_and_fail(&mut client, &inbox(), &message).await.unwrap();
    assert!(matches!(second, Outcome::Failed { attempt: 2, .. }), "{second:?}");
    shop.let_time_pass().await;
    assert_eq!(try_pay(&mut client, &inbox(), &message).await.unwrap(), Outcome::Processed(1));
    assert_eq!(shop.row(&message).await, state("COMPLETED", 3));
    let sql = "select count(*) from inbox.messages where payload is null and headers is null";
    let cleared: i64 = shop.database.query(sql).await.unwrap()[0].get(0);
    assert_eq!(cleared, 1, "what is through keeps no payload");
    assert_eq!(try_pay(&mut client, &inbox(), &message).await.unwrap(), Outcome::Duplicate);
    assert_eq!(shop.payments("a").await, 1);
}

#[tokio::test]
async fn after_the_last_attempt_a_message_is_dead() {
    let shop = Shop::new().await;
    let mut client = shop.client().await;
    let (inbox, message) = (inbox().max_attempts(3), order("a", 1));
    for attempt in 1..3 {
        let outcome = try_and_fail(&mut client, &inbox, &message).await.unwrap();
        assert!(matches!(outcome, Outcome::Failed { attempt: of, .. } if of == attempt));
        shop.let_time_pass().await;
    }
    let dead = Outcome::Dead { attempts: 3 };
    assert_eq!(try_and_fail(&mut client, &inbox, &message).await.unwrap(), dead);
    assert_eq!(shop.row(&message).await, state("DEAD", 3));
    assert_eq!(try_pay(&mut client, &inbox, &message).await.unwrap(), dead, "not tried any more");
    assert_eq!(shop.payments("a").await, 0);
}

#[tokio::test]
async fn a_dead_message_that_an_operator_revives_is_tried_again() {
    let shop = Shop::new().await;
    let mut client = shop.client().await;
    let (inbox, message) = (inbox().max_attempts(1), order("a", 1));
    assert_eq!(
        try_and_fail(&mut client, &inbox, &message).await.unwrap(),
        Outcome::Dead { attempts: 1 }
    );
    let revive =
        "update inbox.messages set state = 'FAILED', attempts = 0, next_attempt_at = now()";
    shop.database.execute(revive).await.unwrap();
    assert_eq!(try_pay(&mut client, &inbox, &message).await.unwrap(), Outcome::Processed(1));
}

#[tokio::test]
async fn a_message_without_an_id_is_refused() {
    let shop = Shop::new().await;
    let mut client = shop.client().await;
    let message = Message { headers: Vec::new(), ..order("a", 3) };
    let error = try_pay(&mut client, &inbox(), &message).await.unwrap_err();
    assert!(matches!(error, InboxError::NoId { offset: 3, .. }), "{error:?}");
    assert_eq!(shop.payments("a").await, 0);
}

#[tokio::test]
async fn what_a_late_constraint_refuses_has_failed() {
    let shop = Shop::new().await;
    let constraint = "alter table payments add constraint once unique (order_id) deferrable
                      initially deferred";
    shop.database.execute(constraint).await.unwrap();
    let mut client = shop.client().await;
    assert_eq!(
        try_pay(&mut client, &inbox(), &order("a", 1)).await.unwrap(),
        Outcome::Processed(1)
    );
    let second = order("a", 2);
    let outcome = try_pay(&mut client, &inbox(), &second).await.unwrap();
    assert!(matches!(outcome, Outcome::Failed { attempt: 1, .. }), "{outcome:?}");
    assert_eq!(shop.payments("a").await, 1);
}
