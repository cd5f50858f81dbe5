//! What is wrong with a configuration, collected so that one run names everything.

use outboxd_core::stop::{Code, Stop};

use super::origin::Origin;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Problem {
    /// A sentence without a full stop.
    pub(super) text: String,
    pub(super) origin: Option<Origin>,
    pub(super) hint: Option<String>,
}

impl Problem {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), origin: None, hint: None }
    }

    pub(super) fn at(mut self, origin: Option<Origin>) -> Self {
        self.origin = origin;
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn line(&self) -> String {
        let origin = self.origin.as_ref().map(|origin| format!(" ({origin})")).unwrap_or_default();
        let hint = self.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        format!("{}{origin}{hint}", self.text)
    }
}

/// One problem is spelled out; several become one line of detail each. `None`: there are none.
pub(super) fn stop(problems: &[&Problem]) -> Option<Stop> {
    match problems {
        [] => None,
        [problem] => Some(Stop {
            code: Code::Config,
            message: problem.text.clone(),
            detail: problem.origin.as_ref().map(ToString::to_string),
            hint: problem.hint.clone(),
        }),
        _ => {
            let lines: Vec<String> = problems.iter().map(|problem| problem.line()).collect();
            let message = format!("the configuration has {} problems", problems.len());
            Some(Stop::new(Code::Config, message).detail(lines.join("\n")))
        }
    }
}
