//! What Kafka would refuse is refused by every variant, in the same words to a program.

use anyhow::{Context, Result, ensure};
use outboxd_relay::migrate::Variant;
use outboxd_tests::database::Database;

use crate::{VERSIONS, database, up, wish};

/// Columns, values, and the constraint or the column that speaks; `None`: it is taken.
const ROWS: [(&str, &str, Option<&str>); 15] = [
    ("aggregatetype, type", "'order.v1_x-Y', 't'", None),
    ("aggregatetype, type", "repeat('a', 236), 't'", None),
    ("aggregatetype, type", "repeat('a', 237), 't'", Some("events_aggregatetype_is_topic")),
    ("aggregatetype, type", "'an order', 't'", Some("events_aggregatetype_is_topic")),
    ("aggregatetype, type", "'', 't'", Some("events_aggregatetype_is_topic")),
    ("aggregatetype, type", "E'a\\n', 't'", Some("events_aggregatetype_is_topic")),
    ("aggregatetype, type", "null, 't'", Some("aggregatetype")),
    ("aggregatetype, type, created_at", "'a', 't', null", Some("created_at")),
    (
        "aggregatetype, type, aggregateid",
        "'a', 't', repeat('k', 32769)",
        Some("events_aggregateid_size"),
    ),
    ("aggregatetype, type", "'a', repeat('t', 1025)", Some("events_type_size")),
    ("aggregatetype, type, payload", "'a', 't', to_jsonb(repeat('x', 921598))", None),
    (
        "aggregatetype, type, payload",
        "'a', 't', to_jsonb(repeat('x', 921599))",
        Some("events_payload_size"),
    ),
    ("aggregatetype, type, headers", "'a', 't', '[1]'", Some("events_headers_is_object")),
    (
        "aggregatetype, type, headers",
        "'a', 't', jsonb_build_object('h', repeat('x', 65536))",
        Some("events_headers_size"),
    ),
    ("aggregatetype, type, headers", "'a', 't', null", Some("headers")),
];

#[tokio::test]
async fn every_variant_has_the_same_limits() -> Result<()> {
    for version in VERSIONS {
        for variant in Variant::ALL {
            let database = database(version).await?;
            up(&database, &wish(variant)).await?;
            for (columns, values, refused_by) in ROWS {
                let said = insert(&database, columns, values).await?;
                let expected = refused_by.map(str::to_owned);
                ensure!(said == expected, "{version} {variant} {values}: {said:?}");
            }
        }
    }
    Ok(())
}

/// What refused the row.
async fn insert(database: &Database, columns: &str, values: &str) -> Result<Option<String>> {
    let sql = format!("insert into outbox.events ({columns}) values ({values})");
    let Err(error) = database.client().batch_execute(&sql).await else { return Ok(None) };
    let error = error.as_db_error().context("a refusal")?.clone();
    let name = error.constraint().or(error.column()).map(str::to_owned);
    ensure!(error.code().code().starts_with("23"), "{error:?}");
    Ok(Some(name.context("named")?))
}
