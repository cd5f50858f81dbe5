//! How a failure is told: `error[<code>]: message`, then `detail:` and `hint:` lines, on stderr.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use outboxd_core::stop::{Code, Stop};

/// Tells it once, and gives the exit status that belongs to its code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let stop = match error.downcast_ref::<Stop>() {
        Some(stop) => stop.clone(),
        None => unexpected(error),
    };
    // Without stderr there is nobody left to tell.
    let _ = std::io::stderr().write_all(render(&stop).as_bytes());
    ExitCode::from(stop.code.exit_code())
}

/// An error without a code, with each of its causes on a line.
fn unexpected(error: &anyhow::Error) -> Stop {
    let stop = Stop::new(Code::Internal, error.to_string());
    let causes: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
    if causes.is_empty() { stop } else { stop.detail(causes.join("\n")) }
}

fn render(stop: &Stop) -> String {
    let mut text = format!("error[{}]: {}\n", stop.code, stop.message);
    for (label, lines) in [("detail", &stop.detail), ("hint", &stop.hint)] {
        for line in lines.iter().flat_map(|lines| lines.lines()) {
            let _ = writeln!(text, "{label}: {line}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn every_line_of_a_detail_is_labelled() {
        let stop = Stop::new(Code::SlotMissing, "no slot").detail("one\ntwo").hint("three");
        let expected = "error[slot_missing]: no slot\ndetail: one\ndetail: two\nhint: three\n";
        assert_eq!(render(&stop), expected);
        assert_eq!(render(&Stop::new(Code::Config, "bad")), "error[config]: bad\n");
    }

    #[test]
    fn causes_are_told_once() {
        let error = anyhow!("connection reset").context("no answer").context("cannot start");
        let expected =
            "error[internal]: cannot start\ndetail: no answer\ndetail: connection reset\n";
        assert_eq!(render(&unexpected(&error)), expected);
    }

    #[test]
    fn a_stop_keeps_its_exit_status_below_a_context() {
        let error = anyhow::Error::from(Stop::new(Code::SlotInUse, "taken")).context("starting");
        assert_eq!(report(&error), ExitCode::from(11));
        assert_eq!(report(&anyhow!("oops")), ExitCode::from(1));
    }
}
