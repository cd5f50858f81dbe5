//! Events that are logical messages: the same records as rows, with the same promises.

mod alone;

use anyhow::{Context, Result, ensure};
use outboxd_tests::checker;
use outboxd_tests::patience::eventually;
use outboxd_tests::relay::RelayCommand;
use outboxd_tests::scene::Scene;
use outboxd_tests::topic::Record;
use outboxd_tests::truth;

#[tokio::test]
async fn a_message_is_the_record_that_the_same_row_is() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(4).await?;
    let mut relay = reading(&scene).start().await?;
    scene.database.execute(EMIT).await?;
    let kind = scene.kind();
    // Each pair in one transaction, the message second.
    for (number, [key, payload, headers]) in ROWS.iter().enumerate() {
        let sql = format!(
            "with row as (
                 insert into outbox.events (aggregatetype, aggregateid, type, payload, headers)
                 values ('{kind}', {key}, 'T{number}', {payload}, {headers}) returning *)
             select test.emit(row) from row"
        );
        scene.database.execute(&sql).await?;
    }
    let records = topic.read_at_least(2 * ROWS.len()).await?;
    for number in 0..ROWS.len() {
        let event_type = format!("T{number}");
        let of_pair = records.iter().filter(|it| it.header("type") == Some(&event_type));
        let [row, message] = of_pair.collect::<Vec<_>>()[..] else {
            anyhow::bail!("T{number} is not there twice: {records:?}")
        };
        let mut expected = row.clone();
        let sequence = expected.headers.iter_mut().find(|(name, _)| name == "sequence");
        let (_, sequence) = sequence.context("a sequence")?;
        ensure!(sequence.ends_with(b"-00000000"), "{row:?}");
        sequence.splice(sequence.len() - 1.., *b"1");
        expected.offset = message.offset;
        ensure!(*message == expected, "{message:?} is not {expected:?}");
    }
    ensure!(relay.terminate().await?.success());
    ensure!(topic.len().await? == i64::try_from(2 * ROWS.len())?);
    Ok(())
}

#[tokio::test]
async fn what_is_rolled_back_or_outside_of_a_transaction_is_never_published() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(1).await?;
    let mut relay = reading(&scene).start().await?;
    scene.database.execute(EMIT).await?;
    let event = |seq: u32| emit(&scene, "k", seq);
    let stray = event(1).replace("(true,", "(false,");
    for sql in [
        format!("begin; {}; rollback", event(2)),
        format!("begin; savepoint s; {}; rollback to s; {}; commit", event(3), event(4)),
        format!("begin; savepoint s; {}; release s; {}; commit", event(5), event(6)),
        format!("begin; {stray}; rollback"),
        stray,
        "select pg_logical_emit_message(true, 'outbox2', 'of somebody else')".to_owned(),
        event(7),
    ] {
        scene.database.execute(&sql).await?;
    }
    let records = topic.read_at_least(4).await?;
    let values: Vec<_> = records.iter().map(Record::value_text).collect();
    let expected = [4, 5, 6, 7].map(|seq| format!("{{\"seq\": {seq}}}"));
    ensure!(values == expected, "{values:?}");
    ensure!(relay.terminate().await?.success());
    let ignored = relay.lines().iter().filter(|it| it.event() == "messages.ignored").count();
    ensure!(ignored == 1, "{ignored} lines on two messages");
    ensure!(topic.len().await? == 4);
    Ok(())
}

#[tokio::test]
async fn a_death_between_messages_and_rows_loses_nothing() -> Result<()> {
    deaths("at_least_once").await
}

#[tokio::test]
async fn a_death_between_messages_and_rows_repeats_nothing_exactly_once() -> Result<()> {
    deaths("exactly_once").await
}

async fn deaths(mode: &str) -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(4).await?;
    let command = reading(&scene)
        .set("delivery.mode", mode)
        .set("delivery.max_transaction_bytes", "1MiB")
        .set("delivery.max_unrecorded_events", "2000")
        .set("delivery.progress_interval", "20ms");
    command.start().await?.terminate().await?;
    scene.database.execute(EMIT).await?;
    // Unpublished, and of the same form: what was sent as messages, in one transaction with rows.
    scene.database.execute("create table test.sent (like outbox.events including all)").await?;
    scene.database.execute(&mixed(&scene)).await?;
    for _ in 0..DEATHS {
        command.die_at("acked:3000").await?;
    }
    let mut relay = command.spawn()?;
    let claimed = relay.wait_event("progress.claimed").await?;
    let bound = claimed.number("repeats_max").context("a bound is logged")?;
    scene.database.wait_confirmed(scene.database.wal_position().await?).await?;
    ensure!(relay.terminate().await?.success());
    scene.database.execute("insert into outbox.events select * from test.sent").await?;
    let rows = truth::read(&scene.database, scene.kind()).await?;
    ensure!(rows.len() == EVENTS, "{} events were written", rows.len());
    match mode {
        "exactly_once" => checker::check(&rows, &topic.read_committed().await?, 4).expect_perfect(),
        _ => {
            let verdict = checker::check(&rows, &topic.read_all().await?, 4);
            verdict.expect_repeats_up_to(DEATHS * bound)
        }
    }
}

#[tokio::test]
async fn what_is_no_event_is_parked_and_others_flow() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(1).await?;
    let mut relay = reading(&scene).set("source.max_row_bytes", "100kB").start().await?;
    scene.database.execute(EMIT).await?;
    let forged = r#"{"v": 1, "row": {"id": "forged", "aggregateid": "k"}, "secret": "hush"}"#;
    for content in ["'garbage'", "''", r#"'{"v": 9, "row": {}}'"#, &format!("'{forged}'"), LARGE] {
        let sql = format!("select pg_logical_emit_message(true, 'outbox', {content})");
        scene.database.execute(&sql).await?;
    }
    // Behind the forged event of its key; the other key flows.
    scene.database.execute(&emit(&scene, "k", 1)).await?;
    scene.database.execute(&emit(&scene, "free", 2)).await?;
    ensure!(topic.read_at_least(1).await?[0].key_text() == "free");
    let letters = eventually("six rows", || async {
        let rows = scene.database.query(LETTERS).await?;
        let rows = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3)));
        let rows: Vec<(String, String, Option<String>, Option<String>)> = rows.collect();
        Ok((rows.len() == 6).then_some(rows))
    });
    let letters = letters.await?;
    let kinds: Vec<_> = letters.iter().map(|(state, kind, ..)| (&**state, &**kind)).collect();
    let invalid = ("dead", "invalid_record");
    let large = ("dead", "record_too_large");
    ensure!(
        kinds == [invalid, invalid, invalid, invalid, large, ("parked", "behind")],
        "{kinds:?}"
    );
    ensure!(letters[3].2.as_deref() == Some("forged") && letters[4].2.as_deref() == Some("large"));
    let said = |text: &str| letters.iter().any(|it| it.3.as_deref().unwrap_or("").contains(text));
    ensure!(said("is not JSON") && said("is of version 9") && said("has no column"), "{letters:?}");
    ensure!(!said("hush"), "{letters:?}");
    ensure!(relay.terminate().await?.success());
    ensure!(topic.len().await? == 1);
    Ok(())
}

fn reading(scene: &Scene) -> RelayCommand {
    scene.relay().set("source.messages_prefix", "outbox")
}

/// A statement that writes one event as a message.
fn emit(scene: &Scene, key: &str, seq: u32) -> String {
    format!(
        "select pg_logical_emit_message(true, 'outbox', test.content(row(
             gen_random_uuid(), '{}', '{key}', 'T', '{{\"seq\": {seq}}}', '{{}}', now()
         )::outbox.events))",
        scene.kind()
    )
}

/// One transaction, over ten keys: rows and messages in turn.
fn mixed(scene: &Scene) -> String {
    format!(
        "do $$ declare event outbox.events; begin for i in 1..{EVENTS} loop
            event := row(gen_random_uuid(), '{}', 'key-' || i % 10, 'T',
                         jsonb_build_object('seq', i), '{{}}', now());
            if i % 3 = 0 then
                insert into outbox.events values (event.*);
            else
                insert into test.sent values (event.*);
                perform test.emit(event);
            end if;
        end loop; end $$",
        scene.kind()
    )
}

const EVENTS: usize = 10_000;
const DEATHS: u64 = 2;
/// Key, payload and headers, as SQL.
const ROWS: [[&str; 3]; 4] = [
    ["'k1'", r#"'{"a": 1.10, "b": "é\n\\ \" 😀"}'"#, r#"'{"trace": "t-1", "n": 7, "id": "x"}'"#],
    ["null", "'[]'", "'{}'"],
    ["'k2'", "null", "'{}'"],
    ["'schlüssel'", r#"jsonb_build_object('pad', repeat('x', 50000))"#, "'{}'"],
];
/// The function that an application would have, in little.
const EMIT: &str = r#"
    create schema test;
    create function test.content(event outbox.events) returns text language sql stable as $$
        select json_build_object('v', 1, 'row', json_build_object(
            'id', event.id::text, 'aggregatetype', event.aggregatetype,
            'aggregateid', event.aggregateid, 'type', event.type, 'payload', event.payload::text,
            'headers', event.headers::text,
            'created_at', to_json(event.created_at) #>> '{}'))::text $$;
    create function test.emit(event outbox.events) returns pg_lsn language sql as $$
        select pg_logical_emit_message(true, 'outbox', test.content(event)) $$;"#;
const LARGE: &str =
    r#"'{"v": 1, "row": {"id": "large", "payload": "' || repeat('x', 200000) || '"}}'"#;
const LETTERS: &str =
    "select state, kind, event_id, error_message from outbox.dead_letters order by position";
