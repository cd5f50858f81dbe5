//! The two metrics that the registry cannot hold: a counter that is no whole number, and one whose
//! label changes, of which the former series would stay.

use std::fmt::Write;

use crate::health::Snapshot;

pub(super) fn append(text: &mut String, snapshot: &Snapshot) {
    let mut metric = |name: &str, kind: &str, help: &str, labels: &str, value: f64| {
        // Writing to a string does not fail.
        let _ =
            write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{labels} {value}\n\n");
    };
    metric(
        "outboxd_backpressure_seconds_total",
        "counter",
        "Time in which nothing was read because too much was in flight.",
        "",
        snapshot.backpressure_seconds,
    );
    // Both versions are made of digits, dots and letters: nothing to escape.
    let version = env!("CARGO_PKG_VERSION");
    let pg_version = snapshot.server_version.as_deref().unwrap_or_default();
    metric(
        "outboxd_build_info",
        "gauge",
        "The version of outboxd, and of the server it is connected to.",
        &format!("{{version=\"{version}\",pg_version=\"{pg_version}\"}}"),
        1.0,
    );
}
