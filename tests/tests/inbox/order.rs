//! Messages of a key behind one that failed.

use outboxd_client::inbox::Outcome;

use crate::shop::{Shop, inbox, order, pay, pay_and_fail, try_and_fail, try_pay};

#[tokio::test]
async fn later_messages_of_a_key_wait_behind_a_failed_one() {
    let shop = Shop::new().await;
    let mut client = shop.client().await;
    let [head, second, third] = [1, 2, 3].map(|offset| order("a", offset));
    let failed = try_and_fail(&mut client, &inbox(), &head).await.unwrap();
    let Outcome::Failed { attempt: 1, retry_at } = failed else { panic!("{failed:?}") };
    for message in [&second, &third] {
        let outcome = try_pay(&mut client, &inbox(), message).await.unwrap();
        let Outcome::Failed { attempt: 0, retry_at: own } = outcome else { panic!("{outcome:?}") };
        let apart = own.duration_since(retry_at).unwrap_or_else(|error| error.duration());
        assert!(apart.as_secs() < 60, "it waits about as long as the head");
    }
    let other = try_pay(&mut client, &inbox(), &order("b", 4)).await.unwrap();
    assert_eq!(other, Outcome::Processed(1), "nothing of another key waits");
    shop.let_time_pass().await;
    let early = try_pay(&mut client, &inbox(), &third).await.unwrap();
    assert!(matches!(early, Outcome::Failed { attempt: 0, .. }), "its time has come, not its turn");
    let mut order = Vec::new();
    for _ in 0..3 {
        for (message, outcome) in
            inbox().retry_due(&mut client, 10, |tx, message| pay(tx, message)).await.unwrap()
        {
            assert_eq!(outcome, Outcome::Processed(1));
            order.push(message);
        }
    }
    assert_eq!(order, [head, second, third], "one after the other, as they came");
    assert_eq!(shop.payments("a").await, 3);
    assert_eq!(shop.payments("b").await, 1);
}

#[tokio::test]
async fn a_dead_message_lets_the_next_of_its_key_pass() {
    let shop = Shop::new().await;
    let mut client = shop.client().await;
    let inbox = inbox().max_attempts(2);
    let (head, next) = (order("a", 1), order("a", 2));
    let _ = try_and_fail(&mut client, &inbox, &head).await.unwrap();
    let _ = try_pay(&mut client, &inbox, &next).await.unwrap();
    shop.let_time_pass().await;
    let tried =
        inbox.retry_due(&mut client, 10, |tx, message| pay_and_fail(tx, message)).await.unwrap();
    assert_eq!(tried, [(head, Outcome::Dead { attempts: 2 })]);
    let tried = inbox.retry_due(&mut client, 10, |tx, message| pay(tx, message)).await.unwrap();
    assert_eq!(tried, [(next, Outcome::Processed(1))]);
}

#[tokio::test]
async fn without_order_and_without_a_key_nothing_waits() {
    let shop = Shop::new().await;
    let mut client = shop.client().await;
    let unordered = inbox().unordered();
    let _ = try_and_fail(&mut client, &unordered, &order("a", 1)).await.unwrap();
    let next = try_pay(&mut client, &unordered, &order("a", 2)).await.unwrap();
    assert_eq!(next, Outcome::Processed(1));
    let keyless = |offset| outboxd_client::Message { key: None, ..order("", offset) };
    let _ = try_and_fail(&mut client, &inbox(), &keyless(3)).await.unwrap();
    let next = try_pay(&mut client, &inbox(), &keyless(4)).await.unwrap();
    assert_eq!(next, Outcome::Processed(1));
}
