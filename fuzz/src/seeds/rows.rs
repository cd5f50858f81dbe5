//! Rows of the outbox.

use outboxd_core::encode;
use outboxd_core::pgoutput::Cell;

use crate::outbox::EVENTS;

/// An event with only what every event has.
pub(super) fn event(id: &str, aggregate_type: &str, key: &str) -> Vec<u8> {
    let text = |text: &'static str| Cell::Text(text.as_bytes());
    encode::insert(
        EVENTS,
        &[
            Cell::Text(id.as_bytes()),
            Cell::Text(aggregate_type.as_bytes()),
            Cell::Text(key.as_bytes()),
            text("Placed"),
            text(r"\x7b7d"),
            text("{}"),
            text("2026-11-21 11:12:17.123456+00"),
            text("1"),
            Cell::Null,
        ],
    )
}

/// As [`event`], where everything is there and every value is one that `values` gives.
pub(super) fn rich_event(values: [&str; 4]) -> Vec<u8> {
    let [payload, headers, created_at, trace] = values.map(|value| Cell::Text(value.as_bytes()));
    let text = |text: &'static str| Cell::Text(text.as_bytes());
    let id = text("6f1c2d34-9a0b-4c5d-8e7f-001122334455");
    let row = [id, text("order"), text("k"), text("Placed"), payload, headers, created_at];
    let row: Vec<_> = row.into_iter().chain([text("12"), trace]).collect();
    encode::insert(EVENTS, &row)
}

/// Values of the payload, the headers, the time and the trace.
pub(super) const VALUES: [[&str; 4]; 6] = [
    [r"\x", r#"{"a": "b", "n": 1.5, "o": {"x": [1, null]}}"#, "2026-11-21 11:12:17+05:30", r"\x00"],
    [
        r"\xdeadbeef",
        r#"{"esc\u00e9": "q\"\\\n\ud83d\ude00"}"#,
        "1970-01-01 00:00:00.000001+00",
        "x",
    ],
    [r"\x0", r#"{"id": "taken", "trace": 1, "outboxd-x": 2}"#, "infinity", r"\xff"],
    ["text", r#"{"a": null, "a": true, "a": "twice"}"#, "0001-12-31 23:59:59 BC", ""],
    [r"\xABCDEF", "[1]", "294276-12-31 23:59:59.999999-15:59:59", r"\x01"],
    [r"\x00", r#" {"a":"\u0000"} "#, "2024-02-29 00:00:00.5+00", r"\x02"],
];

/// Contents of messages: what a row is, and what is none.
pub(super) const CONTENTS: [&str; 5] = [
    r#"{"v": 1, "row": {"id": "m1", "aggregatetype": "order", "aggregateid": "a", "type": "T",
    "payload": "\\x7b7d", "headers": "{\"h\": 1}", "created_at": null, "version": "1", "trace": "t\u00e9",
    "other": [1, {"x": null}]}, "bytea": ["payload"]}"#,
    r#"{"row": {"aggregateid": "a", "id": 7}, "v": 1}"#,
    r#"{"v": 2}"#,
    r#"{"v": 1, "row": {}, "row": {}}"#,
    "{}",
];
