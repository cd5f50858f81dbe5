//! `/`: the status for people, in one page without scripts that loads itself again.

use std::fmt::{self, Display, Write};

use super::status::Document;

pub(super) fn render(document: &Document) -> String {
    let tone = if document.ready { "good" } else { "bad" };
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"refresh\" content=\"2\">\n\
         <title>{name} · outboxd</title>\n<style>{STYLE}</style>\n\
         <h1>{name}</h1>\n<p class=\"{tone}\"><b>{role}</b> · {state}</p>\n",
        name = Escaped(&document.name),
        role = document.role.as_str(),
        state = document.state,
    );
    table(&mut page, "Relay", &relay(document));
    table(&mut page, "Position", &position(document));
    table(&mut page, "Slot", &slot(document));
    table(&mut page, "Since the start", &totals(document));
    topics(&mut page, document);
    page.push_str(
        "<p><a href=\"status\">status</a> · <a href=\"metrics\">metrics</a> · \
         <a href=\"readyz\">readyz</a> · <a href=\"livez\">livez</a></p>\n</html>\n",
    );
    page
}

type Row = (&'static str, String);

fn relay(document: &Document) -> Vec<Row> {
    vec![
        ("Lag", format!("{:.1} s", document.lag.seconds)),
        (
            "In flight",
            format!("{} events, {} B", document.in_flight.events, document.in_flight.bytes),
        ),
        ("Last published", known(document.last_published.as_ref())),
        ("Last confirmed", known(document.last_confirmed.as_ref())),
        ("Streaming since", known(document.streaming_since.as_ref())),
        ("Database", document.database.clone()),
        ("outboxd", document.version.to_owned()),
        ("Postgres", known(document.pg_version.as_ref())),
    ]
}

fn position(document: &Document) -> Vec<Row> {
    let (position, lag) = (&document.position, &document.lag);
    let behind = |lsn, bytes: Option<u64>| match bytes {
        Some(bytes) => format!("{} ({bytes} B behind)", known(lsn)),
        None => known(lsn),
    };
    vec![
        ("End of the log", known(position.wal_end)),
        ("Received", behind(position.received, lag.received_bytes)),
        ("Acknowledged by Kafka", behind(position.acked, lag.acked_bytes)),
        ("Confirmed to Postgres", behind(position.confirmed, lag.confirmed_bytes)),
    ]
}

fn slot(document: &Document) -> Vec<Row> {
    let health = &document.slot_health;
    let bytes = |bytes: Option<i64>| known(bytes.map(|bytes| format!("{bytes} B")));
    let oldest = document.oldest_transaction_seconds;
    vec![
        ("Name", document.slot.clone()),
        ("State of its log", known(health.wal_status.as_ref())),
        ("Log kept for it", bytes(health.retained_wal_bytes)),
        ("Left before it is lost", bytes(health.safe_wal_bytes)),
        ("Oldest open transaction", known(oldest.map(|seconds| format!("{seconds:.1} s")))),
    ]
}

fn totals(document: &Document) -> Vec<Row> {
    let total = &document.total;
    let errors: u64 = total.publish_errors.values().sum();
    vec![
        ("Transactions", total.transactions.to_string()),
        ("Events received", total.events_received.to_string()),
        ("Events published", total.events_published.to_string()),
        ("Publish errors", errors.to_string()),
        ("Possible duplicates", total.possibly_persisted.to_string()),
        ("Reconnects to Postgres", total.postgres_reconnects.to_string()),
        ("New producers", total.kafka_reconnects.to_string()),
        ("Waited for Kafka", format!("{:.1} s", total.backpressure_seconds)),
    ]
}

fn topics(page: &mut String, document: &Document) {
    if document.topics.is_empty() {
        return;
    }
    page.push_str("<h2>Topics</h2>\n<table>\n<tr><th>Topic<th>Events<th>Bytes\n");
    for topic in &document.topics {
        // Writing to a string does not fail, here and below.
        let _ = writeln!(
            page,
            "<tr><td>{}<td>{}<td>{}",
            Escaped(&topic.topic),
            topic.events,
            topic.bytes
        );
    }
    page.push_str("</table>\n");
}

fn table(page: &mut String, title: &str, rows: &[Row]) {
    let _ = writeln!(page, "<h2>{title}</h2>\n<table>");
    for (name, value) in rows {
        let _ = writeln!(page, "<tr><th>{name}<td>{}", Escaped(value));
    }
    page.push_str("</table>\n");
}

fn known(value: Option<impl Display>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| value.to_string())
}

/// Names come from databases and rows.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

const STYLE: &str = "\
:root{color-scheme:light dark;font:15px/1.5 system-ui,sans-serif}\
body{max-width:44rem;margin:2rem auto;padding:0 1rem}\
h1{margin:0}h2{font-size:1rem;margin:1.5rem 0 .25rem}\
table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.2rem .5rem .2rem 0;border-bottom:1px solid #8884}\
th{font-weight:400;opacity:.7;width:14rem}td{font-variant-numeric:tabular-nums}\
.good b{color:#2a9d5c}.bad b{color:#d1495b}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_meaning_in_html_is_escaped() {
        assert_eq!(Escaped("<a b='\"&\">").to_string(), "&lt;a b=&#39;&quot;&amp;&quot;&gt;");
    }
}
