//! Ends or freezes the process between two given steps, where a crash from outside hits but rarely.
//!
//! For tests, under the feature `failpoints`: with `OUTBOXD_FAILPOINT=acked:7` the process aborts at
//! the seventh delivery report, before the core has it; with `acked:7:panic` it panics there, and
//! with `acked:7:freeze` all of it stands still until it gets SIGCONT. Without the feature nothing is
//! looked at.

/// What has just been done, and is not known to the core yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// A frame was read.
    Received,
    /// A record was handed to Kafka's client.
    Produced,
    /// A delivery report was taken.
    Acked,
    /// A row of the dead-letter table was committed.
    Parked,
    /// A progress record was acknowledged.
    ProgressWritten,
    /// A Kafka transaction was committed.
    TransactionCommitted,
    /// A position was sent to Postgres.
    Confirmed,
}

#[cfg(not(feature = "failpoints"))]
pub(crate) fn pass(_: Step) {}

#[cfg(feature = "failpoints")]
pub(crate) use self::armed::pass;

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    use super::Step;

    /// Where this process is to end, or to stand still.
    #[derive(Debug)]
    struct Failpoint {
        step: Step,
        passes_left: AtomicU64,
        act: fn(),
    }

    pub(crate) fn pass(step: Step) {
        static FAILPOINT: OnceLock<Option<Failpoint>> = OnceLock::new();
        let failpoint = FAILPOINT.get_or_init(|| {
            let text = std::env::var(VARIABLE).ok()?;
            let Some(failpoint) = Failpoint::parse(&text) else { panic!("{VARIABLE}={text}") };
            Some(failpoint)
        });
        if let Some(failpoint) = failpoint
            && failpoint.is_reached(step)
        {
            (failpoint.act)();
        }
    }

    impl Failpoint {
        fn parse(text: &str) -> Option<Self> {
            let (name, rest) = text.split_once(':')?;
            let (number, act): (_, fn()) = match rest.split_once(':') {
                None => (rest, || std::process::abort()),
                Some((number, "panic")) => (number, || panic!("{VARIABLE}")),
                Some((number, "freeze")) => (number, freeze),
                Some(_) => return None,
            };
            let step = ALL.into_iter().find(|step| step.name() == name)?;
            let passes_left = number.parse().ok().filter(|&number: &u64| number > 0)?;
            Some(Self { step, passes_left: AtomicU64::new(passes_left), act })
        }

        fn is_reached(&self, step: Step) -> bool {
            step == self.step && self.passes_left.fetch_sub(1, Ordering::Relaxed) == 1
        }
    }

    fn freeze() {
        kill_process(getpid(), Signal::STOP).expect("a process may stop itself");
    }

    impl Step {
        const fn name(self) -> &'static str {
            match self {
                Self::Received => "received",
                Self::Produced => "produced",
                Self::Acked => "acked",
                Self::Parked => "parked",
                Self::ProgressWritten => "progress_written",
                Self::TransactionCommitted => "transaction_committed",
                Self::Confirmed => "confirmed",
            }
        }
    }

    const VARIABLE: &str = "OUTBOXD_FAILPOINT";
    const ALL: [Step; 7] = [
        Step::Received,
        Step::Produced,
        Step::Acked,
        Step::Parked,
        Step::ProgressWritten,
        Step::TransactionCommitted,
        Step::Confirmed,
    ];

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_nth_pass_of_one_step_is_reached() {
            let failpoint = Failpoint::parse("acked:2").unwrap();
            assert!(!failpoint.is_reached(Step::Acked));
            assert!(!failpoint.is_reached(Step::Produced));
            assert!(failpoint.is_reached(Step::Acked));
        }

        #[test]
        fn each_step_has_its_name_and_nothing_else_is_one() {
            for step in ALL {
                assert_eq!(Failpoint::parse(&format!("{}:1", step.name())).unwrap().step, step);
            }
            for text in ["acked:2:panic", "acked:2:freeze"] {
                assert!(Failpoint::parse(text).is_some(), "{text}");
            }
            for text in ["", "acked", "acked:0", "acked:x", "acked:1:stop", "sent:1"] {
                assert!(Failpoint::parse(text).is_none(), "{text}");
            }
        }
    }
}
