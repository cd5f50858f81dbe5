//! Many numbered rows at once, written by one connection: their numbers follow the commit order.

use anyhow::{Context, Result};
use tokio_postgres::Client;

/// Inserts rows `first` to `last`, so many in each transaction. Row `n` has key `n` modulo
/// [`KEYS`].
pub(crate) async fn write(
    client: &Client,
    kind: &str,
    first: u64,
    last: u64,
    per_transaction: u64,
) -> Result<()> {
    let sql = format!(
        "do $$ begin
           for start in {first}..{last} by {per_transaction} loop
             insert into outbox.events (aggregatetype, aggregateid, type, payload)
             select '{kind}', 'key-' || n % {KEYS}, 'Numbered',
                    jsonb_build_object('n', n, 'pad', repeat('x', 100))
             from generate_series(start, least(start + {per_transaction} - 1, {last})) n;
             commit;
           end loop;
         end $$"
    );
    client.batch_execute(&sql).await.with_context(|| format!("write rows {first} to {last}"))
}

/// The number in a record's value.
pub(crate) fn number(value: &[u8]) -> Result<u64> {
    let text = std::str::from_utf8(value)?;
    let digits = text.strip_prefix(r#"{"n": "#).and_then(|rest| rest.split_once(','));
    let (digits, _) = digits.with_context(|| format!("no numbered row: {text:.80}"))?;
    digits.parse().with_context(|| format!("no number: {text:.80}"))
}

pub(crate) const KEYS: u64 = 97;
