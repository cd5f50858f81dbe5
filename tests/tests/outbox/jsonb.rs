//! What an append says of JSON, held against Postgres: what it lets through jsonb takes, what it refuses
//! jsonb refuses, and its length is the one that jsonb prints.

use anyhow::{Context, Result, ensure};
use outboxd_client::outbox::{AppendError, Event, Outbox};
use outboxd_client::testing::MemoryOutbox;
use outboxd_tests::random::Random;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use crate::backend::database;

/// Bytes that the payload adds to a record; `None`: it is refused.
async fn foretold(payload: Vec<u8>) -> Result<Option<usize>> {
    let size = |event| async {
        let memory = MemoryOutbox::new();
        let refused = Outbox::new().size_limit(0).append(&mut memory.begin(), event).await;
        match refused {
            Err(AppendError::TooLarge { size, .. }) => Ok(Some(size)),
            Err(AppendError::Encode(_)) => Ok(None),
            other => anyhow::bail!("{other:?}"),
        }
    };
    let event = Event::new("Order", 1, "OrderPlaced");
    let around = size(event.clone()).await?.context("no payload is no wrong one")?;
    Ok(size(event.bytes(payload)).await?.map(|size| size - around))
}

/// Bytes that Postgres prints; `None`: it refuses.
async fn printed(client: &Client, payload: &str) -> Result<Option<usize>> {
    let params: [&(dyn ToSql + Sync); 1] = [&payload];
    match client.query_one("select octet_length($1::text::jsonb::text)", &params).await {
        Ok(row) => Ok(Some(usize::try_from(row.get::<_, i32>(0))?)),
        Err(error) if error.code().is_some() => Ok(None),
        // A NUL byte does not even get to the server.
        Err(_) if payload.contains('\0') => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[tokio::test]
async fn lengths_are_those_that_postgres_prints() -> Result<()> {
    let database = database().await?;
    let seed = Random::new(u64::from(std::process::id())).draw();
    println!("seed {seed}");
    let mut random = Random::new(seed);
    for _ in 0..3_000 {
        let mut json = String::new();
        value(&mut random, 4, &mut json);
        let expected = printed(database.client(), &json).await?;
        let found = foretold(json.clone().into_bytes()).await?;
        ensure!(found == expected, "{found:?}, by Postgres {expected:?}, for {json}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_refused_is_what_postgres_refuses() -> Result<()> {
    let database = database().await?;
    let seed = Random::new(u64::from(std::process::id())).draw();
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..3_000 {
        let mut json = String::new();
        value(&mut random, 3, &mut json);
        let mut chars: Vec<char> = json.chars().collect();
        let place = random.below(chars.len() as u64) as usize;
        let other = ODD[random.below(ODD.len() as u64) as usize];
        match random.below(3) {
            0 => chars[place] = other,
            1 => chars.insert(place, other),
            _ => drop(chars.remove(place)),
        }
        let json: String = chars.into_iter().collect();
        let expected = printed(database.client(), &json).await?;
        let found = foretold(json.clone().into_bytes()).await?;
        // A key that is given twice is printed once.
        let fits = match (found, expected) {
            (Some(found), Some(expected)) => found >= expected,
            (found, expected) => found.is_none() && expected.is_none(),
        };
        ensure!(fits, "{found:?}, by Postgres {expected:?}, for {json}");
        *if expected.is_some() { &mut taken } else { &mut refused } += 1;
    }
    ensure!(taken > 100 && refused > 100, "{taken} were taken, {refused} refused");
    Ok(())
}

fn value(random: &mut Random, depth: u64, json: &mut String) {
    let kinds = if depth == 0 { 4 } else { 6 };
    match random.below(kinds) {
        0 => json.push_str(["null", "true", "false"][random.below(3) as usize]),
        1 => number(random, json),
        2 | 3 => string(random, json),
        4 => members(random, ('[', ']'), json, |random, _, json| value(random, depth - 1, json)),
        _ => members(random, ('{', '}'), json, |random, index, json| {
            json.push_str(&format!("\"k{index}\"{}:", [" ", ""][random.below(2) as usize]));
            value(random, depth - 1, json);
        }),
    }
}

fn members(
    random: &mut Random,
    (open, close): (char, char),
    json: &mut String,
    mut member: impl FnMut(&mut Random, u64, &mut String),
) {
    json.push(open);
    for index in 0..random.below(4) {
        if index > 0 {
            json.push(',');
        }
        json.push_str(["", " ", "\n\t", "\r"][random.below(4) as usize]);
        member(random, index, json);
    }
    json.push(close);
}

fn number(random: &mut Random, json: &mut String) {
    if random.percent(30) {
        json.push('-');
    }
    let whole = match random.below(3) {
        0 => 0,
        1 => random.below(1_000),
        _ => random.draw(),
    };
    json.push_str(&whole.to_string());
    if random.percent(50) {
        json.push('.');
        json.push_str(&"0".repeat(random.below(4) as usize));
        json.push_str(&random.below(1_000).to_string());
    }
    if random.percent(50) {
        json.push(if random.percent(50) { 'e' } else { 'E' });
        json.push_str(["", "+", "-"][random.below(3) as usize]);
        // Across the ends of what numeric takes.
        let end = [5, 40, 16_390, 131_080, 2_000_000_000][random.below(5) as usize];
        let from = if random.percent(50) { 0 } else { end - end.min(12) };
        json.push_str(&(from + random.below(end - from + 1)).to_string());
    }
}

fn string(random: &mut Random, json: &mut String) {
    json.push('"');
    for _ in 0..random.below(6) {
        match random.below(4) {
            0 => json
                .push_str(["a", ",", ":", "ü", "🦀", "\u{7f}", "/", "{"][random.below(8) as usize]),
            1 => json.push_str(
                [r"\n", r"\\", r#"\""#, r"\/", r"\b", r"\f", r"\r", r"\t"]
                    [random.below(8) as usize],
            ),
            2 => json.push_str(&format!("\\u{:04x}", random.below(0x300))),
            _ => json.push_str(&format!("\\u{:04X}", random.below(0x1_0000))),
        }
        if random.percent(20) {
            json.push_str(r"\ud83e\udd80");
        }
    }
    json.push('"');
}

const ODD: [char; 16] =
    ['"', '\\', ',', ':', '{', '}', '[', ']', '0', '.', 'e', '-', 'u', ' ', '\u{1}', 'd'];
