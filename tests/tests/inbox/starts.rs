//! Attempts that are counted before they begin.

use outboxd_client::Message;
use outboxd_client::inbox::{HandlerError, Handling, Outcome};
use tokio_postgres::Transaction;

use crate::shop::{Shop, inbox, order, try_and_fail, try_pay};

/// As a process does that is killed: the future goes no further, and is dropped.
fn die<'a>(_: &'a mut Transaction<'_>, _: &'a Message) -> Handling<'a, u64, HandlerError> {
    Box::pin(std::future::pending())
}

#[tokio::test]
async fn a_message_that_kills_its_process_is_dead_after_so_many_deaths() {
    let shop = Shop::new().await;
    let (inbox, message) = (inbox().count_starts().max_attempts(2), order("a", 1));
    for death in 1..=2 {
        let mut client = shop.client().await;
        let begun = async {
            outboxd_tests::patience::eventually("begun", || async {
                Ok((shop.row(&message).await == Some(("FAILED".to_owned(), death))).then_some(()))
            })
            .await
        };
        tokio::select! {
            outcome = inbox.process(&mut client, &message, |tx, message| die(tx, message)) => {
                panic!("{outcome:?}")
            }
            begun = begun => begun.unwrap(),
        }
        drop(client);
        shop.let_time_pass_when_free().await;
    }
    let mut client = shop.client().await;
    let outcome = try_pay(&mut client, &inbox, &message).await.unwrap();
    assert_eq!(outcome, Outcome::Dead { attempts: 2 });
    assert_eq!(shop.row(&message).await, Some(("DEAD".to_owned(), 2)));
    assert_eq!(shop.payments("a").await, 0);
}

#[tokio::test]
async fn what_fails_without_dying_counts_once() {
    let shop = Shop::new().await;
    let mut client = shop.client().await;
    let (inbox, message) = (inbox().count_starts(), order("a", 1));
    let failed = try_and_fail(&mut client, &inbox, &message).await.unwrap();
    assert!(matches!(failed, Outcome::Failed { attempt: 1, .. }), "{failed:?}");
    assert_eq!(shop.row(&message).await, Some(("FAILED".to_owned(), 1)));
    shop.let_time_pass().await;
    assert_eq!(try_pay(&mut client, &inbox, &message).await.unwrap(), Outcome::Processed(1));
    assert_eq!(shop.row(&message).await, Some(("COMPLETED".to_owned(), 2)));
    assert_eq!(try_pay(&mut client, &inbox, &message).await.unwrap(), Outcome::Duplicate);
}
