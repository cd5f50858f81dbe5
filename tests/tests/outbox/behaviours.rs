//! What an append does, whatever it is appended to.

use anyhow::{Context, Result, ensure};
use outboxd_client::outbox::{AppendError, Event, EventId, Outbox};
use outboxd_client::testing::{appended, assert_appended};
use serde_json::{Value, json};

use crate::backend::{Backend, Deadpool, Memory, Plain, Prepared, Sqlx};

/// Each behaviour as a test of each backend.
macro_rules! suite {
    ($($backend:ident as $module:ident),*; $tests:tt) => {
        $(suite!(@ $backend $module $tests);)*
    };
    (@ $backend:ident $module:ident { $($test:ident),* $(,)? }) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $test() -> anyhow::Result<()> {
                    super::$test(<super::$backend as super::Backend>::open().await?).await
                }
            )*
        }
    };
}

suite! {
    Memory as memory, Plain as tokio_postgres, Prepared as prepared, Deadpool as deadpool, Sqlx as sqlx;
    {
        an_event_is_there_when_its_transaction_commits,
        all_parts_of_an_event_are_kept,
        many_events_are_appended_in_their_order,
        a_refused_event_aborts_the_transaction,
        one_refused_event_of_many_lets_none_through,
        a_savepoint_limits_what_an_error_undoes,
        an_id_is_used_once,
    }
}

fn placed(order: u32) -> Result<Event> {
    Ok(Event::new("Order", order, "OrderPlaced").json(&json!({ "order": order }))?)
}

async fn an_event_is_there_when_its_transaction_commits<B: Backend>(mut backend: B) -> Result<()> {
    let prepared = backend.prepared();
    let mut transaction = backend.begin().await?;
    let id = B::append(prepared.as_ref(), &mut transaction, placed(1)?).await?;
    let own = appended(&Outbox::new(), &mut transaction).await?;
    ensure!(assert_appended(&own, "Order", "1", "OrderPlaced").id == id);
    B::commit(transaction).await?;
    let mut transaction = backend.begin().await?;
    B::append(prepared.as_ref(), &mut transaction, placed(2)?).await?;
    B::rollback(transaction).await?;
    let mut transaction = backend.begin().await?;
    B::append(prepared.as_ref(), &mut transaction, placed(3)?).await?;
    drop(transaction);
    let committed = backend.committed().await?;
    ensure!(committed.len() == 1 && committed[0].id == id, "{committed:?}");
    ensure!(committed[0].json::<Value>() == json!({ "order": 1 }));
    Ok(())
}

async fn all_parts_of_an_event_are_kept<B: Backend>(mut backend: B) -> Result<()> {
    let prepared = backend.prepared();
    let id = EventId::new();
    let full = Event::new("Order", "Zürich \"7\" \\ 🦀", "Order'Placed")
        .with_id(id)
        .json(&json!({ "a": [1.50, null, "\n\u{1}ü🦀\"\\"], "": {} }))?
        .header("tenant", "a\"b\\c\n🦀")
        .header("empty", "")
        .header("tenant", "ü");
    let bare = Event::without_key("Order", "OrderForgotten");
    let mut transaction = backend.begin().await?;
    ensure!(B::append(prepared.as_ref(), &mut transaction, full).await? == id);
    let other = B::append(prepared.as_ref(), &mut transaction, bare).await?;
    B::commit(transaction).await?;
    let committed = backend.committed().await?;
    let [full, bare] = &committed[..] else { anyhow::bail!("{committed:?}") };
    ensure!((full.id, bare.id) == (id, other) && id < other, "{committed:?}");
    ensure!(full.aggregate_type == "Order" && full.event_type == "Order'Placed", "{full:?}");
    ensure!(full.aggregate_id.as_deref() == Some("Zürich \"7\" \\ 🦀"), "{full:?}");
    let payload: Value = full.json();
    ensure!(payload == json!({ "a": [1.50, null, "\n\u{1}ü🦀\"\\"], "": {} }), "{payload}");
    let headers: Vec<_> = full.headers.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    ensure!(headers == [("empty", ""), ("tenant", "ü")], "{headers:?}");
    ensure!(bare.aggregate_id.is_none() && bare.payload.is_none(), "{bare:?}");
    ensure!(bare.headers.is_empty() && bare.event_type == "OrderForgotten", "{bare:?}");
    Ok(())
}

async fn many_events_are_appended_in_their_order<B: Backend>(mut backend: B) -> Result<()> {
    let prepared = backend.prepared();
    // More than the parameters of one statement, if each value were one.
    let events: Vec<Event> = (0..20_000).map(placed).collect::<Result<_>>()?;
    let expected: Vec<EventId> = events.iter().map(Event::id).collect();
    let mut transaction = backend.begin().await?;
    let none = B::append_all(prepared.as_ref(), &mut transaction, Vec::new()).await?;
    ensure!(none.is_empty());
    let ids = B::append_all(prepared.as_ref(), &mut transaction, events).await?;
    ensure!(ids == expected);
    B::commit(transaction).await?;
    let committed = backend.committed().await?;
    ensure!(committed.iter().map(|event| event.id).eq(ids));
    for (order, event) in committed.iter().enumerate() {
        ensure!(event.aggregate_id.as_deref() == Some(&order.to_string()), "{event}");
        ensure!(event.json::<Value>() == json!({ "order": order }), "{event}");
    }
    Ok(())
}

async fn a_refused_event_aborts_the_transaction<B: Backend>(mut backend: B) -> Result<()> {
    let prepared = backend.prepared();
    let refusals = [
        Event::new("no topic", 1, "x"),
        placed(1)?.header("id", "mine"),
        placed(1)?.bytes("{"),
        placed(1)?.json(&"x".repeat(900 * 1024))?,
        Event::new("Order", "a\0", "x"),
    ];
    let mut seen = Vec::new();
    for refused in refusals {
        let mut transaction = backend.begin().await?;
        B::append(prepared.as_ref(), &mut transaction, placed(1)?).await?;
        let appended = B::append(prepared.as_ref(), &mut transaction, refused).await;
        let error = appended.err().context("it was taken")?;
        ensure!(!error.is_transient(), "{error}");
        seen.push(error);
        // The error is overlooked; nothing can be done after it.
        let after = B::append(prepared.as_ref(), &mut transaction, placed(2)?).await;
        let Err(AppendError::Database(error)) = after else { anyhow::bail!("{after:?}") };
        ensure!(error.sqlstate() == Some("25P02"), "{error:?}");
        // What is said to this differs; what becomes of it does not.
        let _ = B::commit(transaction).await;
    }
    let expected = matches!(
        &seen[..],
        [
            AppendError::InvalidTopic { .. },
            AppendError::InvalidHeader { .. },
            AppendError::Encode(_),
            AppendError::TooLarge { .. },
            AppendError::InvalidKey { .. },
        ]
    );
    ensure!(expected, "{seen:?}");
    let committed = backend.committed().await?;
    ensure!(committed.is_empty(), "{committed:?}");
    Ok(())
}

async fn one_refused_event_of_many_lets_none_through<B: Backend>(mut backend: B) -> Result<()> {
    let prepared = backend.prepared();
    let mut transaction = backend.begin().await?;
    let events = vec![placed(1)?, placed(2)?.header("sequence", "0"), placed(3)?];
    let appended = B::append_all(prepared.as_ref(), &mut transaction, events).await;
    let error = appended.err().context("they were taken")?;
    ensure!(matches!(error, AppendError::InvalidHeader { .. }), "{error}");
    let _ = B::commit(transaction).await;
    let committed = backend.committed().await?;
    ensure!(committed.is_empty(), "{committed:?}");
    Ok(())
}

async fn a_savepoint_limits_what_an_error_undoes<B: Backend>(mut backend: B) -> Result<()> {
    let prepared = backend.prepared();
    let mut transaction = backend.begin().await?;
    B::append(prepared.as_ref(), &mut transaction, placed(1)?).await?;
    let mut savepoint = B::savepoint(&mut transaction).await?;
    B::append(prepared.as_ref(), &mut savepoint, placed(2)?).await?;
    let refused = Event::new("no topic", 2, "x");
    ensure!(B::append(prepared.as_ref(), &mut savepoint, refused).await.is_err());
    B::rollback(savepoint).await?;
    let mut savepoint = B::savepoint(&mut transaction).await?;
    B::append(prepared.as_ref(), &mut savepoint, placed(3)?).await?;
    B::commit(savepoint).await?;
    B::commit(transaction).await?;
    let keys: Vec<_> = backend.committed().await?;
    let keys: Vec<_> = keys.iter().filter_map(|event| event.aggregate_id.as_deref()).collect();
    ensure!(keys == ["1", "3"], "{keys:?}");
    Ok(())
}

async fn an_id_is_used_once<B: Backend>(mut backend: B) -> Result<()> {
    let prepared = backend.prepared();
    let id = EventId::new();
    let mut transaction = backend.begin().await?;
    B::append(prepared.as_ref(), &mut transaction, placed(1)?.with_id(id)).await?;
    B::commit(transaction).await?;
    for together in [false, true] {
        let mut transaction = backend.begin().await?;
        let event = placed(2)?.with_id(id);
        let result = if together {
            B::append_all(prepared.as_ref(), &mut transaction, vec![placed(3)?, event])
                .await
                .map(drop)
        } else {
            B::append(prepared.as_ref(), &mut transaction, event).await.map(drop)
        };
        let Err(error) = result else { anyhow::bail!("appended twice") };
        ensure!(!error.is_transient(), "{error}");
        let AppendError::Database(error) = error else { anyhow::bail!("{error}") };
        ensure!(error.sqlstate() == Some("23505"), "{error:?}");
        let _ = B::commit(transaction).await;
    }
    let committed = backend.committed().await?;
    ensure!(committed.len() == 1, "{committed:?}");
    Ok(())
}
