//! Timeline history files.

use outboxd_core::gate::TimelineSwitch;

use super::super::error::{ProtocolError, SourceError};
use super::ReplicationSession;

impl ReplicationSession {
    /// Where each timeline before `timeline` was left, oldest first.
    pub async fn timeline_history(
        &mut self,
        timeline: u32,
    ) -> Result<Vec<TimelineSwitch>, SourceError> {
        // The first timeline has no file.
        if timeline <= 1 {
            return Ok(Vec::new());
        }
        let rows = self.simple_query(&format!("TIMELINE_HISTORY {timeline}")).await?;
        let content = rows.first().and_then(|row| row.bytes(1));
        let history = content.and_then(parse_history);
        Ok(history.ok_or(ProtocolError::Answer("TIMELINE_HISTORY"))?)
    }
}

/// Lines of timeline, switch point and reason; the reason is free text in any encoding.
fn parse_history(content: &[u8]) -> Option<Vec<TimelineSwitch>> {
    let content = String::from_utf8_lossy(content);
    let lines = content.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<TimelineSwitch> {
    let mut words = line.split_ascii_whitespace();
    let timeline = words.next()?.parse().ok()?;
    let switch_point = words.next()?.parse().ok()?;
    Some(TimelineSwitch { timeline, switch_point })
}

#[cfg(test)]
mod tests {
    use outboxd_core::lsn::Lsn;

    use super::*;

    #[test]
    fn reads_a_history_with_comments_and_odd_reasons() {
        let content = b"1\t0/3000158\tno recovery target specified\n\n# a remark\n\
                        2\t1/0A\tbefore transaction \xE9\n";
        let history = parse_history(content).unwrap();
        let expected = [(1, 0x300_0158), (2, 0x1_0000_000A)].map(|(timeline, switch_point)| {
            TimelineSwitch { timeline, switch_point: Lsn::new(switch_point) }
        });
        assert_eq!(history, expected);
    }

    #[test]
    fn a_line_that_is_none_spoils_the_answer() {
        for content in [&b"1\n"[..], b"x\t0/1\t\n", b"1\t01\t\n", b"99999999999\t0/1\t\n"] {
            assert_eq!(parse_history(content), None);
        }
    }
}
