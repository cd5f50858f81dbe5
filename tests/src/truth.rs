//! What was committed, read from the table itself: what a client believes about a commit during
//! which its connection broke does not count.

use anyhow::Result;

use crate::database::Database;

/// A committed row of the outbox.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    pub id: String,
    pub key: Option<Vec<u8>>,
    pub event_type: String,
    pub value: Option<Vec<u8>>,
    /// Its place among the rows of its key, in commit order.
    pub seq: i64,
}

/// The rows that a workload of this aggregate type left in `outbox.events`.
pub async fn read(database: &Database, kind: &str) -> Result<Vec<Row>> {
    let sql = "select id::text, aggregateid, type, payload::text, (payload->>'seq')::bigint \
               from outbox.events where aggregatetype = $1";
    let rows = database.client().query(sql, &[&kind]).await?;
    let row = |row: &tokio_postgres::Row| Row {
        id: row.get(0),
        key: row.get::<_, Option<String>>(1).map(String::into_bytes),
        event_type: row.get(2),
        value: row.get::<_, Option<String>>(3).map(String::into_bytes),
        seq: row.get::<_, Option<i64>>(4).unwrap_or(0),
    };
    Ok(rows.iter().map(row).collect())
}
