//! A relay that dies between two given steps: the next one goes on, and repeats no more than is
//! excused.

use anyhow::{Context, Result, ensure};
use outboxd_tests::patience::eventually;
use outboxd_tests::random::Random;
use outboxd_tests::relay::{RelayCommand, RelayProcess};
use outboxd_tests::rounds::Rounds;
use outboxd_tests::scene::{Scene, unique};

use crate::mode::Mode;

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_dies_between_two_steps_is_followed_by_another() -> Result<()> {
    die_at_steps(Mode::AtLeastOnce, &STEPS).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_dies_between_two_steps_repeats_nothing_exactly_once() -> Result<()> {
    die_at_steps(Mode::ExactlyOnce, &[&STEPS[..], &[TRANSACTION_COMMITTED]].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_parked_right_before_a_death_is_parked_once() -> Result<()> {
    die_with_a_row_parked(Mode::AtLeastOnce).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_parked_right_before_a_death_is_parked_once_exactly_once() -> Result<()> {
    die_with_a_row_parked(Mode::ExactlyOnce).await
}

/// Of each round every step once.
async fn die_at_steps(mode: Mode, steps: &[Step]) -> Result<()> {
    let mut rounds = Rounds::of(2);
    let mut random = rounds.random();
    while !rounds.are_over() {
        let scene = Scene::new().await?;
        let topic = scene.topic(4).await?;
        let command = bounded(mode, &scene);
        command.start().await?.terminate().await?;
        let writers = scene.load().await?;
        let mut announced = 0;
        for _ in rounds.by_ref().take(ROUNDS_OF_ONE_TOPIC) {
            for step in steps {
                announced += step.die(&command, &mut random).await?;
            }
        }
        let relay = command.start().await?;
        writers.stop().await?;
        announced += repeats_max(&relay)?;
        let verdict = mode.conclude(&scene.database, &topic, scene.kind(), relay).await?;
        let repeats = verdict.duplicates.len();
        println!("{mode:?}: {repeats} repeats, {announced} announced");
        verdict.expect_repeats_up_to(mode.excused(announced))?;
    }
    rounds.passed(&format!("death between two steps, {mode:?}"));
    Ok(())
}

/// Its row is committed, and nobody but the table knows.
async fn die_with_a_row_parked(mode: Mode) -> Result<()> {
    let mut rounds = Rounds::of(2);
    let mut random = rounds.random();
    while !rounds.are_over() {
        let scene = Scene::new().await?;
        let topic = scene.topic(4).await?;
        let narrow = unique("narrow");
        let limit = [("max.message.bytes", "2000")];
        scene.cluster.create_topic(&format!("outbox.event.{narrow}"), 1, &limit).await?;
        let command = bounded(mode, &scene);
        command.start().await?.terminate().await?;
        let writers = scene.load().await?;
        let (mut announced, mut poisonous) = (0, 0);
        for _ in rounds.by_ref().take(ROUNDS_OF_ONE_TOPIC) {
            scene.database.execute(&poison(&narrow)).await?;
            poisonous += POISON;
            announced += PARKED.die(&command, &mut random).await?;
        }
        let relay = command.start().await?;
        writers.stop().await?;
        announced += repeats_max(&relay)?;
        let verdict = mode.conclude(&scene.database, &topic, scene.kind(), relay).await?;
        verdict.expect_repeats_up_to(mode.excused(announced))?;
        expect_letters(&scene, poisonous).await?;
    }
    rounds.passed(&format!("death with a row parked, {mode:?}"));
    Ok(())
}

fn repeats_max(relay: &RelayProcess) -> Result<u64> {
    let lines = relay.lines();
    let claimed = lines.iter().find(|line| line.event() == "progress.claimed");
    claimed.and_then(|line| line.number("repeats_max")).context("nothing was announced")
}

/// Each event that no topic takes is in the table once, whoever parked it.
async fn expect_letters(scene: &Scene, count: i64) -> Result<()> {
    eventually(&format!("{count} parked events"), || async {
        let rows = scene.database.query(LETTERS).await?;
        let (rows, events): (i64, i64) = (rows[0].get(0), rows[0].get(1));
        ensure!(rows == events && rows <= count, "{rows} rows of {events} events");
        Ok((rows == count).then_some(()))
    })
    .await
}

/// Announcements far below what a load of seconds could repeat.
fn bounded(mode: Mode, scene: &Scene) -> RelayCommand {
    mode.on(scene.relay()).set("delivery.max_unrecorded_events", "500")
}

/// Each of another key, so that none is behind another.
fn poison(kind: &str) -> String {
    format!(
        "insert into outbox.events (aggregatetype, aggregateid, type, payload)
         select '{kind}', gen_random_uuid()::text, 'T',
                jsonb_build_object('pad', repeat(md5(i::text), 200))
           from generate_series(1, {POISON}) i"
    )
}

#[derive(Clone, Copy, Debug)]
struct Step {
    name: &'static str,
    /// It dies at one of so many passes.
    within: u64,
}

impl Step {
    /// At one of its passes; what the relay announced before, if it came that far.
    async fn die(self, command: &RelayCommand, random: &mut Random) -> Result<u64> {
        let step = format!("{}:{}", self.name, 1 + random.below(self.within));
        println!("dies at {step}");
        Ok(repeats_max(&command.die_at(&step).await?).unwrap_or(0))
    }
}

/// Those of every mode that any load passes.
const STEPS: [Step; 5] = [
    Step { name: "received", within: 2_000 },
    Step { name: "produced", within: 1_000 },
    Step { name: "acked", within: 1_000 },
    Step { name: "progress_written", within: 6 },
    Step { name: "confirmed", within: 6 },
];
const TRANSACTION_COMMITTED: Step = Step { name: "transaction_committed", within: 6 };
const PARKED: Step = Step { name: "parked", within: POISON.unsigned_abs() };
/// In one transaction, which the table takes in as many as it likes.
const POISON: i64 = 5;
const ROUNDS_OF_ONE_TOPIC: usize = 10;
const LETTERS: &str = "select count(*), count(distinct event_id) from outbox.dead_letters";
