//! The variant without a table: what its messages hold, and that nobody else can write them.

use anyhow::{Context, Result, ensure};
use futures_util::SinkExt;
use outboxd_relay::migrate::Variant;
use outboxd_tests::database::Database;

use crate::{VERSIONS, database, text, up, wish};

#[tokio::test]
async fn a_message_holds_the_row_as_postgres_prints_it() -> Result<()> {
    for version in VERSIONS {
        let database = with_slot(version).await?;
        // Nothing that the writer has set shows.
        database
            .execute(
                "set datestyle = 'German'; set timezone = 'Asia/Kathmandu';
                 insert into outbox.events (id, aggregatetype, type, payload, headers, created_at)
                 values ('0190a5c2-0000-7000-8000-00000000000a', 'order', 'T',
                         '{\"b\":1,  \"a\": \"\\u00e9\\n\"}', '{\"h\": [1.0]}',
                         '2024-02-29 12:34:56.789123+00')",
            )
            .await?;
        let expected = concat!(
            r#"{"v" : 1, "row" : {"id" : "0190a5c2-0000-7000-8000-00000000000a", "#,
            r#""aggregatetype" : "order", "aggregateid" : null, "type" : "T", "#,
            r#""payload" : "{\"a\": \"é\\n\", \"b\": 1}", "headers" : "{\"h\": [1.0]}", "#,
            r#""created_at" : "2024-02-29 12:34:56.789123+00"}}"#
        );
        ensure!(messages(&database).await? == [expected], "{version}");
    }
    Ok(())
}

#[tokio::test]
async fn it_takes_what_a_table_takes_and_keeps_nothing() -> Result<()> {
    let database = with_slot(VERSIONS[0]).await?;
    let insert = "insert into outbox.events (aggregatetype, type) values ('a', 't')";
    let id = text(&database, &format!("{insert} returning id::text")).await?;
    let emitted = text(&database, "select outbox.emit('a', 'k', 't', null)::text").await?;
    database.execute(&format!("begin; {insert}; rollback")).await?;
    database.execute(&format!("begin; savepoint s; {insert}; rollback to s; commit")).await?;
    let copy = "copy outbox.events (aggregatetype, aggregateid, type, payload) from stdin";
    let mut sink = Box::pin(database.client().copy_in::<_, bytes::Bytes>(copy).await?);
    sink.send(bytes::Bytes::from_static(b"a\tk\tt\t1\na\tk\tt\t2\n")).await?;
    sink.close().await?;
    let messages = messages(&database).await?;
    ensure!(messages.len() == 4, "{messages:?}");
    ensure!(messages[0].contains(&id) && messages[1].contains(&emitted), "{messages:?}");
    ensure!(text(&database, "select count(*)::text from outbox.events").await? == "0");
    Ok(())
}

/// By whoever has every right but that one, and by all overloads.
#[tokio::test]
async fn nobody_else_can_write_a_message() -> Result<()> {
    for version in VERSIONS {
        let database = with_slot(version).await?;
        let stranger = outboxd_tests::scene::unique("stranger");
        database
            .execute(&format!(
                "create role {stranger}; grant usage on schema outbox to {stranger};
                 grant insert on outbox.events to {stranger}; set role {stranger}"
            ))
            .await?;
        for forged in [
            "select pg_logical_emit_message(true, 'outbox', 'forged')",
            "select pg_logical_emit_message(true, 'outbox', '\\x00'::bytea)",
            "select outbox.check_event(null)",
            "select outbox.emit('a', 'k', 't', '1')",
            "create temp table t (like outbox.events); \
             create trigger t before insert on t for each row execute function outbox.write()",
        ] {
            let error = database.client().batch_execute(forged).await.err().context(forged)?;
            ensure!(error.code().is_some_and(|code| code.code() == "42501"), "{forged}: {error}");
        }
        database
            .execute(
                "insert into outbox.events (aggregatetype, type) values ('a', 't'); reset role",
            )
            .await?;
        ensure!(messages(&database).await?.len() == 1, "{version}");
    }
    Ok(())
}

async fn with_slot(version: outboxd_sandbox::PgVersion) -> Result<Database> {
    let database = database(version).await?;
    up(&database, &wish(Variant::View)).await?;
    database.execute("create publication outboxd").await?;
    let slot = database.slot();
    database
        .query(&format!("select pg_create_logical_replication_slot('{slot}', 'pgoutput')"))
        .await?;
    Ok(database)
}

/// The contents of the messages with our prefix, in their order.
async fn messages(database: &Database) -> Result<Vec<String>> {
    let sql = format!(
        "select data from pg_logical_slot_get_binary_changes('{}', null, null, 'proto_version', '1',
                'publication_names', 'outboxd', 'messages', 'true')",
        database.slot()
    );
    let rows = database.query(&sql).await?;
    let frames = rows.iter().map(|row| row.get::<_, &[u8]>(0));
    // Byte, flags, position, prefix with its end, length.
    let content = |frame: &[u8]| {
        let (_, rest) = (frame.first() == Some(&b'M')).then_some(frame)?.split_at_checked(10)?;
        let rest = rest.strip_prefix(b"outbox\0")?;
        Some(String::from_utf8(rest.get(4..)?.to_vec()))
    };
    Ok(frames.filter_map(content).collect::<Result<_, _>>()?)
}
