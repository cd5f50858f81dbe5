//! `outboxd bench` on a small backlog: that it gets to its tables, not how fast.

#![cfg(feature = "demo")]

use assert_cmd::Command;
use serde_json::Value;

#[test]
fn a_small_drain_ends_in_a_table() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let json = folder.path().join("results.json");
    let output = Command::new(env!("CARGO_BIN_EXE_outboxd"))
        .args("bench drain --rows-scale 0.002 --rounds 1 --profile p100,p1 --json".split(' '))
        .arg(&json)
        .output()
        .expect("outboxd starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("p100: writing 1000 rows"), "{stderr}");
    let stdout = String::from_utf8(output.stdout).expect("tables are text");
    assert_tables_hold_every_reader(&stdout);
    let results = std::fs::read_to_string(json).expect("the results are written");
    let results: Value = serde_json::from_str(&results).expect("the results are JSON");
    let drains = results["drain"].as_array().expect("drains are a list");
    assert_eq!(drains.len(), 4, "two backlogs over two transports");
    for drain in drains {
        let run = &drain["rounds"][0]["relay"];
        assert!(run["streaming_rows_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{run}");
        assert!(run["peak_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{run}");
    }
}

/// Leaves have no key, and so cost no more than the table that has one.
#[test]
fn the_log_of_an_event_is_told_for_each_variant() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let json = folder.path().join("results.json");
    let output = Command::new(env!("CARGO_BIN_EXE_outboxd"))
        .args("bench wal --rounds 1 --json".split(' '))
        .arg(&json)
        .output()
        .expect("outboxd starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let results = std::fs::read_to_string(json).expect("the results are written");
    let results: Value = serde_json::from_str(&results).expect("the results are JSON");
    let costs = results["wal"].as_array().expect("a list");
    let bytes = |what: &str, how: &str| {
        let cost = costs.iter().find(|cost| cost["what"] == what);
        cost.and_then(|cost| cost[how][0].as_f64()).unwrap_or_else(|| panic!("{what}: {costs:?}"))
    };
    for how in ["alone", "together"] {
        let rotating = bytes("outbox, rotating", how);
        assert!(rotating > 433.0 && rotating <= bytes("outbox, plain", how), "{how}: {costs:?}");
        assert!(bytes("outbox, view", how) > 433.0 && bytes("outbox, transient", how) > 433.0);
    }
}

/// pg_recvlogical is not everywhere; without it the page says so.
fn assert_tables_hold_every_reader(stdout: &str) {
    let rows: Vec<Vec<&str>> = stdout
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(rows.iter().all(|row| row.len() == 9), "{stdout}");
    let of = |reader: &str| -> Vec<&str> {
        rows.iter().filter(|row| row[1] == reader).map(|row| row[0]).collect()
    };
    let places = ["p100 tcp", "p100 unix", "p1 tcp", "p1 unix"];
    assert_eq!(of("outboxd"), places, "{stdout}");
    if stdout.contains("install postgresql-15") {
        assert!(of("pg_recvlogical").is_empty(), "{stdout}");
    } else {
        assert_eq!(of("pg_recvlogical"), places, "{stdout}");
    }
}
