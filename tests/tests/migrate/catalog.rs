//! What a database has in its schema, as text that can be compared.

use anyhow::Result;
use outboxd_tests::database::Database;

pub(crate) async fn read(database: &Database) -> Result<Vec<String>> {
    let rows = database.query(include_str!("catalog.sql")).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
