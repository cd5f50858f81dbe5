//! Carries what became of each record from librdkafka's poll thread to the relay's task.
//!
//! One ring of atomic words holds everything in order. A word is empty, the token of an
//! acknowledged record, or the mark [`RARE`]: the next report stands in a side channel. Hence an
//! acknowledgement costs no lock and no allocation, and a rare report (a refusal, a dead producer,
//! progress) is never seen before an acknowledgement that precedes it.
//!
//! Invariants:
//! - The ring cannot overflow: whoever hands records over keeps fewer in flight than it has words,
//!   and each yields one report. A report that finds its word taken is a defect, and asserted.
//! - No wake-up is lost. The receiver stores `asleep` and then looks at the word it waits for; a
//!   sender fills the word and then looks at `asleep`. Both pairs are sequentially consistent, so
//!   at least one side sees the other's store: the receiver finds the word, or the sender finds it
//!   asleep. A wake-up between that and the wait is kept by [`Notify`] as a permit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use outboxd_core::record::Token;
use tokio::sync::{Notify, mpsc};

use super::Report;

/// A channel with room for `reports_max` reports that were not taken yet.
pub(super) fn channel(reports_max: usize) -> (ReportSender, ReportReceiver) {
    let words = reports_max.max(1).next_power_of_two();
    let ring = Arc::new(Ring {
        words: (0..words).map(|_| AtomicU64::new(EMPTY)).collect(),
        tail: AtomicUsize::new(0),
        asleep: AtomicBool::new(false),
        wake: Notify::new(),
    });
    let (rare_sender, rare) = mpsc::channel(words);
    let sender = ReportSender { ring: Arc::clone(&ring), rare: rare_sender };
    (sender, ReportReceiver { ring, rare, head: 0 })
}

/// Held by the context of a producer. Reports come from one thread at a time: the poll thread, or
/// after it has ended the one that drops the producer.
#[derive(Clone)]
pub(super) struct ReportSender {
    ring: Arc<Ring>,
    rare: mpsc::Sender<Report>,
}

impl ReportSender {
    pub(super) fn acked(&self, token: Token) {
        assert!(token.0 < TOKEN_END, "a token is out of range");
        self.ring.push(token.0 + 1);
    }

    /// Anything but an acknowledged record.
    pub(super) fn rare(&self, report: Report) {
        match self.rare.try_send(report) {
            Ok(()) => self.ring.push(RARE),
            // The receiver is gone, and with it the interest in what becomes of the records.
            Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                panic!("more reports than records in flight")
            }
        }
    }
}

/// Held by the sink.
pub(super) struct ReportReceiver {
    ring: Arc<Ring>,
    rare: mpsc::Receiver<Report>,
    head: usize,
}

impl ReportReceiver {
    pub(super) fn next(&mut self) -> Option<Report> {
        match self.ring.take(self.head)? {
            RARE => {
                self.head = self.head.wrapping_add(1);
                Some(self.rare.try_recv().expect("a mark follows its report"))
            }
            word => {
                self.head = self.head.wrapping_add(1);
                Some(Report::Acked(Token(word - 1)))
            }
        }
    }

    /// Resolves when there is a report. Cancel safe: a wait given up leaves `asleep` set, which
    /// costs one wake-up too many.
    pub(super) async fn ready(&self) {
        loop {
            self.ring.asleep.store(true, Ordering::SeqCst);
            if self.ring.is_filled(self.head) {
                self.ring.asleep.store(false, Ordering::SeqCst);
                return;
            }
            self.ring.wake.notified().await;
        }
    }
}

struct Ring {
    words: Box<[AtomicU64]>,
    /// Where the next report goes, counted without wrapping around the ring.
    tail: AtomicUsize,
    asleep: AtomicBool,
    wake: Notify,
}

impl Ring {
    fn push(&self, word: u64) {
        let at = self.tail.fetch_add(1, Ordering::Relaxed);
        let former = self.word(at).swap(word, Ordering::SeqCst);
        assert!(former == EMPTY, "more reports than records in flight");
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            self.wake.notify_one();
        }
    }

    fn take(&self, at: usize) -> Option<u64> {
        let word = self.word(at).load(Ordering::Acquire);
        if word == EMPTY {
            return None;
        }
        self.word(at).store(EMPTY, Ordering::Release);
        Some(word)
    }

    fn is_filled(&self, at: usize) -> bool {
        self.word(at).load(Ordering::SeqCst) != EMPTY
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        &self.words[at & (self.words.len() - 1)]
    }
}

const EMPTY: u64 = 0;
const RARE: u64 = u64::MAX;
/// Tokens are stored plus one, so that none looks like the two words above.
const TOKEN_END: u64 = u64::MAX - 1;

#[cfg(test)]
mod tests {
    use std::sync::mpsc as std_mpsc;
    use std::thread;

    use super::*;

    fn fatal() -> Report {
        Report::Fatal { error: "gone".to_owned() }
    }

    fn drain(receiver: &mut ReportReceiver) -> Vec<String> {
        std::iter::from_fn(|| receiver.next()).map(|report| format!("{report:?}")).collect()
    }

    #[test]
    fn reports_come_out_in_the_order_they_went_in() {
        let (sender, mut receiver) = channel(8);
        sender.acked(Token(0));
        sender.rare(fatal());
        sender.acked(Token(TOKEN_END - 1));
        let expected = [
            "Acked(Token(0))".to_owned(),
            "Fatal { error: \"gone\" }".to_owned(),
            format!("Acked(Token({}))", TOKEN_END - 1),
        ];
        assert_eq!(drain(&mut receiver), expected);
    }

    #[test]
    fn a_ring_is_used_again_and_again() {
        let (sender, mut receiver) = channel(4);
        for token in 0..100 {
            sender.acked(Token(token));
            assert!(matches!(receiver.next(), Some(Report::Acked(taken)) if taken.0 == token));
            assert!(receiver.next().is_none());
        }
    }

    #[test]
    #[should_panic(expected = "more reports than records in flight")]
    fn a_report_too_many_is_a_defect() {
        let (sender, _receiver) = channel(2);
        (0..3).for_each(|token| sender.acked(Token(token)));
    }

    #[test]
    fn a_sender_outlives_its_receiver() {
        let (sender, receiver) = channel(1);
        drop(receiver);
        sender.rare(fatal());
        sender.rare(fatal());
    }

    #[tokio::test]
    async fn waiting_ends_with_the_first_report() {
        let (sender, mut receiver) = channel(1);
        let mut wait = Box::pin(receiver.ready());
        // Polled once: nothing is there, so it sleeps.
        assert!(poll_once(&mut wait).await.is_none());
        sender.acked(Token(7));
        wait.await;
        assert!(matches!(receiver.next(), Some(Report::Acked(Token(7)))));
    }

    async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }

    /// The receiver falls asleep thousands of times between a sender's bursts. A lost wake-up
    /// would leave this test hanging; a lost, doubled or misplaced report fails it.
    #[test]
    fn nothing_is_lost_between_two_threads() {
        const WORDS: u64 = 64;
        const REPORTS: u64 = 300_000;
        let (sender, mut receiver) = channel(usize::try_from(WORDS).expect("small"));
        // Credit plays the relay's window: a report taken makes room for a record.
        let (credit, earned) = std_mpsc::sync_channel::<()>(usize::try_from(WORDS).expect("small"));
        (0..WORDS).for_each(|_| credit.send(()).expect("room for the first credits"));
        let producer = thread::spawn(move || {
            for token in 0..REPORTS {
                earned.recv().expect("the receiver lives");
                if token % 1_000 == 999 {
                    sender.rare(Report::ProgressAcked { offset: i64::try_from(token).ok() });
                } else {
                    sender.acked(Token(token));
                }
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            for expected in 0..REPORTS {
                let report = loop {
                    match receiver.next() {
                        Some(report) => break report,
                        None => receiver.ready().await,
                    }
                };
                let seen = match report {
                    Report::Acked(token) => token.0,
                    Report::ProgressAcked { offset: Some(at) } => {
                        u64::try_from(at).expect("positive")
                    }
                    other => panic!("unexpected {other:?}"),
                };
                assert_eq!(seen, expected);
                // The sender may be done; its end of the credit is closed then.
                let _ = credit.send(());
            }
        });
        producer.join().expect("the sender ended well");
    }
}
