//! One fault at a time, planted into a run without any.

use super::*;

/// Two orders and an account, three events each, and one event that was rolled back.
struct Run {
    names: Names,
    ledger: Ledger,
    reads: Vec<Read>,
}

impl Run {
    fn clean() -> Self {
        let names = Names::of_this_run();
        let keys = [(Kind::Order, "order-1"), (Kind::Order, "order-2"), (Kind::Payment, "order-1")];
        let event = |version, (kind, key): (Kind, &str)| Event {
            id: format!("{}/{key}/{version}", kind.name()),
            kind,
            key: key.to_owned(),
            version,
            payload: format!("{{\"version\": {version}}}"),
        };
        let of_all = |version| keys.map(|key| event(version, key));
        let committed: Vec<Event> = (1..=3).flat_map(of_all).collect();
        let rolled_back = vec![Event { id: "rolled back".to_owned(), ..committed[0].clone() }];
        let reads = committed.iter().map(|event| read(&names, event)).collect();
        Self { names, ledger: Ledger { committed, rolled_back }, reads }
    }

    /// With at most one duplicate allowed.
    fn verdict(&self) -> Verdict {
        judge(&self.names, &self.ledger, &self.reads, Kills { count: 1, repeats_max: 1 })
    }

    fn expected(&self) -> Verdict {
        Verdict {
            committed: 9,
            published: 9,
            rolled_back: 1,
            duplicates_max: 1,
            kills: 1,
            ..Verdict::default()
        }
    }
}

/// The record of an event, on a partition that depends on its key.
fn read(names: &Names, event: &Event) -> Read {
    Read {
        topic: names.topic(event.kind),
        partition: i32::from(event.key.ends_with('2')),
        id: event.id.clone(),
        key: Some(event.key.clone().into_bytes()),
        value: Some(event.payload.clone().into_bytes()),
    }
}

#[test]
fn a_faultless_run_holds() {
    let run = Run::clean();
    assert_eq!(run.verdict(), run.expected());
    assert!(run.verdict().holds());
}

#[test]
fn nothing_at_all_does_not_hold() {
    let empty = Run { ledger: Ledger::default(), reads: Vec::new(), ..Run::clean() };
    assert!(!empty.verdict().holds());
}

#[test]
fn a_dropped_record_is_a_loss() {
    for index in 0..9 {
        let mut run = Run::clean();
        run.reads.remove(index);
        assert_eq!(run.verdict(), Verdict { published: 8, lost: 1, ..run.expected() });
        assert!(!run.verdict().holds());
    }
}

#[test]
fn swapped_records_of_one_aggregate_are_out_of_order() {
    for (a, b) in [(0, 3), (4, 7), (5, 8)] {
        let mut run = Run::clean();
        run.reads.swap(a, b);
        assert_eq!(run.verdict(), Verdict { out_of_order: 1, ..run.expected() });
        assert!(!run.verdict().holds());
    }
}

#[test]
fn aggregates_have_no_order_among_each_other() {
    let mut run = Run::clean();
    run.reads.sort_by(|a, b| (&b.topic, &b.key).cmp(&(&a.topic, &a.key)));
    assert_eq!(run.verdict(), run.expected());
}

#[test]
fn an_aggregate_on_two_partitions_has_no_order() {
    let mut run = Run::clean();
    run.reads[3].partition = 7;
    assert_eq!(run.verdict(), Verdict { out_of_order: 1, ..run.expected() });
    assert!(!run.verdict().holds());
}

#[test]
fn duplicates_hold_up_to_their_bound() {
    let mut run = Run::clean();
    // A restarted relay goes back and sends again what it had sent.
    run.reads.push(run.reads[4].clone());
    assert_eq!(run.verdict(), Verdict { duplicates: 1, ..run.expected() });
    assert!(run.verdict().holds());
    run.reads.push(run.reads[7].clone());
    assert_eq!(run.verdict(), Verdict { duplicates: 2, ..run.expected() });
    assert!(!run.verdict().holds());
}

#[test]
fn a_lost_event_is_not_made_up_for_by_a_duplicate() {
    let mut run = Run::clean();
    run.reads[8] = run.reads[7].clone();
    let expected = Verdict { published: 8, lost: 1, duplicates: 1, ..run.expected() };
    assert_eq!(run.verdict(), expected);
    assert!(!run.verdict().holds());
}

#[test]
fn a_phantom_is_told_from_a_stranger() {
    let mut run = Run::clean();
    run.reads.push(read(&run.names, &run.ledger.rolled_back[0]));
    assert_eq!(run.verdict(), Verdict { rolled_back_published: 1, ..run.expected() });
    assert!(!run.verdict().holds());

    let mut run = Run::clean();
    run.reads.push(Read { id: String::new(), ..run.reads[0].clone() });
    assert_eq!(run.verdict(), Verdict { unknown: 1, ..run.expected() });
    assert!(!run.verdict().holds());
}

#[test]
fn records_have_to_be_what_was_written() {
    let faults: [fn(&mut Read); 5] = [
        |read| read.value = None,
        |read| read.value = Some(b"{}".to_vec()),
        |read| read.key = None,
        |read| read.key = Some(b"order-9".to_vec()),
        |read| read.topic.push('x'),
    ];
    for fault in faults {
        let mut run = Run::clean();
        fault(&mut run.reads[2]);
        assert_eq!(run.verdict(), Verdict { altered: 1, ..run.expected() });
        assert!(!run.verdict().holds());
    }
}
