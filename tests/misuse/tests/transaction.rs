//! An event appended to anything but a transaction does not compile, and the compiler says why.

use outboxd_client::outbox::{AppendError, Event, EventId, Outbox, PreparedOutbox};

#[test]
fn nothing_but_a_transaction_is_appended_to() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/cases/*.rs");
}

/// That this compiles is the test.
#[test]
fn an_append_to_a_transaction_may_be_part_of_a_task() {
    let _ = futures_are_send;
    let _ = prepared;
}

fn futures_are_send(
    outbox: &Outbox,
    plain: &mut tokio_postgres::Transaction<'_>,
    pooled: &mut deadpool_postgres::Transaction<'_>,
    other: &mut sqlx::Transaction<'_, sqlx::Postgres>,
) {
    let event = || Event::new("Order", 1, "OrderPlaced");
    is_send(&outbox.append(plain, event()));
    is_send(&outbox.append(pooled, event()));
    is_send(&outbox.append(other, event()));
    is_send(&outbox.append_all(plain, [event()]));
    is_send(&outbox.append_all(pooled, [event()]));
    is_send(&outbox.append_all(other, [event()]));
}

async fn prepared(
    outbox: &PreparedOutbox,
    transaction: &mut tokio_postgres::Transaction<'_>,
) -> Result<EventId, AppendError> {
    outbox.append(transaction, Event::new("Order", 1, "OrderPlaced")).await
}

fn is_send<T: Send>(_: &T) {}
