//! Old messages are forgotten, those that are not through are kept.

use std::time::Duration;

use outboxd_client::inbox::{InboxError, Purged};
use outboxd_sandbox::PgVersion;
use uuid::{NoContext, Timestamp, Uuid};

use crate::shop::{Shop, inbox, message, try_and_fail, try_pay};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The id of an event that many days ago.
fn id_of(days_ago: u64) -> Uuid {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Uuid::new_v7(Timestamp::from_unix(NoContext, now.as_secs() - days_ago * 24 * 3600, 0))
}

async fn count(shop: &Shop, table: &str) -> i64 {
    let sql = format!("select count(*) from inbox.{table}");
    shop.database.query(&sql).await.unwrap()[0].get(0)
}

async fn leaf_of(shop: &Shop, days_ago: i32) -> String {
    let day = format!("((now() at time zone 'UTC')::date - {days_ago})");
    let sql = format!("select inbox.add_leaf({day}), 'messages_' || to_char({day}, 'YYYYMMDD')");
    let row = &shop.database.query(&sql).await.unwrap()[0];
    assert!(row.get::<_, bool>(0), "the leaf is new");
    row.get(1)
}

/// As if all that has a row had been handled ten days ago.
async fn grow_old(shop: &Shop) {
    let sql = "update inbox.messages set first_seen_at = first_seen_at - interval '10 days'";
    shop.database.execute(sql).await.unwrap();
}

#[tokio::test]
async fn new_messages_lie_in_the_leaf_of_their_day_and_random_ids_apart() {
    for version in [PgVersion::V14, PgVersion::V18] {
        let shop = Shop::on(version).await;
        let mut client = shop.client().await;
        let _ = try_pay(&mut client, &inbox(), &message(Uuid::now_v7(), "a", 1)).await.unwrap();
        let random = Uuid::parse_str("f81d4fae-7dec-41d0-a765-00a0c91e6bf6").unwrap();
        let _ = try_pay(&mut client, &inbox(), &message(random, "a", 2)).await.unwrap();
        let today = "select 'messages_' || to_char(now() at time zone 'UTC', 'YYYYMMDD')";
        let today: String = shop.database.query(today).await.unwrap()[0].get(0);
        assert_eq!(count(&shop, &today).await, 1, "{version:?}");
        assert_eq!(count(&shop, "messages_other").await, 1);
        assert_eq!(count(&shop, "messages_timed_rest").await, 0);
        assert_eq!(inbox().maintain(&client).await.unwrap(), 0, "the coming days are there");
    }
}

#[tokio::test]
async fn a_leaf_is_emptied_and_dropped_when_all_in_it_is_old() {
    let shop = Shop::new().await;
    let mut client = shop.client().await;
    let leaf = leaf_of(&shop, 10).await;
    let old = message(id_of(10), "a", 1);
    let _ = try_pay(&mut client, &inbox(), &old).await.unwrap();
    let nothing = Purged { leaves_emptied: 0, leaves_dropped: 0, rows_deleted: 0 };
    let purged = inbox().purge(&client, 7 * DAY).await.unwrap();
    assert_eq!(purged, nothing, "an old event that was handled today is remembered");
    grow_old(&shop).await;
    let recent = message(Uuid::now_v7(), "b", 2);
    let _ = try_pay(&mut client, &inbox(), &recent).await.unwrap();
    let purged = inbox().purge(&client, 7 * DAY).await.unwrap();
    assert_eq!(purged, Purged { leaves_emptied: 1, leaves_dropped: 1, rows_deleted: 0 });
    let gone = format!("select to_regclass('inbox.{leaf}') is null");
    assert!(shop.database.query(&gone).await.unwrap()[0].get::<_, bool>(0));
    assert_eq!(shop.row(&old).await, None);
    assert_eq!(shop.row(&recent).await, Some(("COMPLETED".to_owned(), 1)));
}

#[tokio::test]
async fn what_is_not_through_survives_a_purge_with_its_payload() {
    let shop = Shop::new().await;
    let mut client = shop.client().await;
    leaf_of(&shop, 10).await;
    let (done, failed) = (message(id_of(10), "a", 1), message(id_of(10), "b", 2));
    let _ = try_pay(&mut client, &inbox(), &done).await.unwrap();
    let _ = try_and_fail(&mut client, &inbox(), &failed).await.unwrap();
    grow_old(&shop).await;
    let purged = inbox().purge(&client, 7 * DAY).await.unwrap();
    assert_eq!(purged, Purged { leaves_emptied: 0, leaves_dropped: 0, rows_deleted: 0 });
    assert_eq!(shop.row(&done).await, None, "what was through is forgotten");
    shop.let_time_pass().await;
    assert_eq!(inbox().due(&client, 10).await.unwrap(), std::slice::from_ref(&failed));
    let sql = "select leaves_emptied, leaves_dropped from inbox.purge_unresolved('7 days')";
    let row = &shop.database.query(sql).await.unwrap()[0];
    assert_eq!((row.get::<_, i32>(0), row.get::<_, i32>(1)), (1, 1), "unless told so");
    assert_eq!(shop.row(&failed).await, None);
}

#[tokio::test]
async fn messages_outside_the_leaves_are_deleted() {
    let shop = Shop::new().await;
    let mut client = shop.client().await;
    let random = Uuid::parse_str("f81d4fae-7dec-41d0-a765-00a0c91e6bf6").unwrap();
    for (id, offset) in [(random, 1), (id_of(10), 2)] {
        let _ = try_pay(&mut client, &inbox(), &message(id, "a", offset)).await.unwrap();
    }
    grow_old(&shop).await;
    let purged = inbox().purge(&client, 7 * DAY).await.unwrap();
    assert_eq!(purged, Purged { leaves_emptied: 0, leaves_dropped: 0, rows_deleted: 2 });
    assert_eq!(count(&shop, "messages").await, 0);
}

#[tokio::test]
async fn a_purge_waits_for_nobody_and_lets_nobody_wait() {
    let shop = Shop::new().await;
    let mut client = shop.client().await;
    let leaf = leaf_of(&shop, 10).await;
    let _ = try_pay(&mut client, &inbox(), &message(id_of(10), "a", 1)).await.unwrap();
    grow_old(&shop).await;
    let mut busy = shop.client().await;
    let tx = busy.transaction().await.unwrap();
    tx.execute(
        "insert into inbox.messages (consumer, message_id, state, topic, partition, \"offset\")
                values ('x', $1, 'COMPLETED', 't', 0, 0)",
        &[&Uuid::now_v7()],
    )
    .await
    .unwrap();
    let purged = inbox().purge(&client, 7 * DAY).await.unwrap();
    assert_eq!(purged, Purged { leaves_emptied: 1, leaves_dropped: 0, rows_deleted: 0 });
    assert_eq!(count(&shop, &leaf).await, 0);
    tx.commit().await.unwrap();
    let purged = inbox().purge(&client, 7 * DAY).await.unwrap();
    assert_eq!(purged.leaves_dropped, 1);
}

#[tokio::test]
async fn nobody_forgets_what_is_younger_than_a_day() {
    let shop = Shop::new().await;
    let client = shop.client().await;
    let error = inbox().purge(&client, Duration::from_secs(3600)).await.unwrap_err();
    let InboxError::Database(error) = error else { panic!("{error:?}") };
    let error = error.as_db_error().unwrap();
    assert_eq!(error.message(), "older_than is 01:00:00, less than a day");
    assert!(error.detail().is_some() && error.hint().is_some());
}
