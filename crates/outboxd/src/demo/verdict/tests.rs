//! One fault at a time, planted into a run without any.

use super::*;
use crate::demo::broker::BrokerChoice;
use crate::demo::evidence::{DeadLetter, Payment};
use crate::demo::plan::{Kind, Order as Planned};

/// A run of a plan, in which every committed order has its record and its payment.
struct Run {
    names: Names,
    plan: Plan,
    evidence: Evidence,
    chaos: Chaos,
}

impl Run {
    fn clean() -> Self {
        let (names, plan) = (Names::of_this_run(), Plan::new(7, 60));
        let orders: Vec<Placed> = plan.committed().map(placed).collect();
        let payments = orders.iter().map(|order| Payment {
            order: order.number,
            customer: order.customer.clone(),
            cents: order.cents,
        });
        let gift = orders.iter().find(|order| order.kind == Kind::Gift).unwrap();
        let evidence = Evidence {
            records: plan.committed().map(|order| record(&names, order)).collect(),
            payments: payments.collect(),
            letters: vec![DeadLetter { key: key(gift.number), is_published: true }],
            failures_left: 0,
            orders,
        };
        // One repeats at most, of those that nobody has delivered on purpose.
        let chaos = Chaos { repeats_max: 1, ..Chaos::default() };
        Self { names, plan, evidence, chaos }
    }

    fn verdict(&self) -> Verdict {
        let options = Options {
            orders: 60,
            seed: 7,
            style: Style::Outbox,
            database_url: None,
            broker: BrokerChoice::Embedded,
        };
        judge(&options, &self.names, &self.plan, &self.evidence, self.chaos)
    }

    /// What is found when this is done to a run without faults.
    fn with(fault: impl FnOnce(&mut Self)) -> Verdict {
        let mut run = Self::clean();
        fault(&mut run);
        run.verdict()
    }

    /// The first order that is no gift.
    fn plain(&self) -> i64 {
        self.plan.committed().find(|order| order.kind == Kind::Order).unwrap().number
    }

    fn rolled_back(&self) -> &Planned {
        self.plan.orders.iter().find(|order| order.end != End::Committed).unwrap()
    }
}

fn placed(order: &Planned) -> Placed {
    let Planned { number, customer, cents, kind, .. } = order.clone();
    Placed { number, customer, cents, kind }
}

/// On a partition that depends on the order, at a place that follows its number.
fn record(names: &Names, order: &Planned) -> Record {
    let sequence = format!("0001-{:016X}-00000001", order.number);
    let id = format!("event-{}", order.number);
    Record {
        topic: names.topic(order.kind),
        partition: (order.number % 4) as i32,
        key: Some(key(order.number).into_bytes()),
        value: Some(serde_json::to_vec(&OrderCreated::of(order)).unwrap()),
        headers: vec![
            ("id".to_owned(), id.into_bytes()),
            ("sequence".to_owned(), sequence.into_bytes()),
        ],
    }
}

fn clean() -> Verdict {
    Run::clean().verdict()
}

#[test]
fn a_faultless_run_holds() {
    let verdict = clean();
    assert!(verdict.holds(), "{verdict:?}");
    let committed = Run::clean().plan.committed().count() as u64;
    assert_eq!(verdict.orders_committed, committed);
    assert_eq!(verdict.orders_rolled_back, 60 - committed);
    assert_eq!((verdict.events_published, verdict.payments_made), (committed, committed));
    assert!(verdict.chaos.payments_refused > 0);
}

#[test]
fn nothing_at_all_does_not_hold() {
    let verdict = Run::with(|run| {
        run.evidence = Evidence {
            orders: Vec::new(),
            records: Vec::new(),
            payments: Vec::new(),
            letters: Vec::new(),
            failures_left: 0,
        };
    });
    assert!(!verdict.holds());
}

#[test]
fn an_order_that_nobody_paid_is_lost() {
    let (events, payments) = (clean().events_published, clean().payments_made);
    let verdict = Run::with(|run| {
        let order = run.plain();
        run.evidence.payments.retain(|payment| payment.order != order);
    });
    assert_eq!((verdict.lost, verdict.payments_made), (1, payments - 1));
    assert!(!verdict.holds());
    let verdict = Run::with(|run| {
        let order = run.plain();
        run.evidence.payments.retain(|payment| payment.order != order);
        run.evidence.records.retain(|record| record.key != Some(key(order).into_bytes()));
    });
    assert_eq!((verdict.lost, verdict.events_published), (1, events - 1));
    assert!(!verdict.holds());
}

#[test]
fn an_order_without_an_event_does_not_hold_although_it_was_paid() {
    let verdict = Run::with(|run| {
        run.evidence.records.remove(3);
    });
    assert_eq!(verdict, Verdict { events_published: clean().events_published - 1, ..clean() });
    assert!(!verdict.holds());
}

#[test]
fn an_order_that_was_paid_twice_is_a_double_payment() {
    let verdict = Run::with(|run| run.evidence.payments.push(run.evidence.payments[3].clone()));
    let payments_made = clean().payments_made + 1;
    assert_eq!(verdict, Verdict { double_payments: 1, payments_made, ..clean() });
    assert!(!verdict.holds());
}

#[test]
fn an_event_of_an_order_that_was_rolled_back_is_found() {
    let verdict = Run::with(|run| {
        let record = record(&run.names, run.rolled_back());
        run.evidence.records.push(record);
    });
    assert_eq!(verdict.rolled_back_published, 1);
    assert!(!verdict.holds());
}

#[test]
fn a_payment_of_an_order_that_was_rolled_back_is_found() {
    let verdict = Run::with(|run| {
        let Placed { number: order, customer, cents, .. } = placed(run.rolled_back());
        run.evidence.payments.push(Payment { order, customer, cents });
    });
    assert_eq!(verdict.rolled_back_published, 1);
    assert!(!verdict.holds());
}

#[test]
fn records_and_payments_have_to_say_what_was_ordered() {
    let faults: [fn(&mut Run); 7] = [
        |run| run.evidence.records[2].key = None,
        |run| run.evidence.records[2].key = Some(b"order-0".to_vec()),
        |run| run.evidence.records[2].topic.push('x'),
        |run| run.evidence.records[2].value = run.evidence.records[2].value.as_deref().map(dearer),
        |run| run.evidence.records[2].value = None,
        |run| run.evidence.payments[2].cents += 1,
        |run| run.evidence.payments[2].customer.push('x'),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let verdict = Run::with(fault);
        assert_eq!(verdict.altered, 1, "fault {number}");
        assert!(!verdict.holds(), "fault {number}");
    }
}

fn dearer(value: &[u8]) -> Vec<u8> {
    let mut event: OrderCreated = serde_json::from_slice(value).unwrap();
    event.cents += 1;
    serde_json::to_vec(&event).unwrap()
}

#[test]
fn swapped_records_of_one_partition_are_out_of_order() {
    let verdict = Run::with(|run| {
        let records = &mut run.evidence.records;
        let first = records[4].clone();
        let same = |it: &Record| (&it.topic, it.partition) == (&first.topic, first.partition);
        let next = 5 + records[5..].iter().position(same).unwrap();
        records.swap(4, next);
    });
    assert_eq!(verdict, Verdict { out_of_order: 1, ..clean() });
    assert!(!verdict.holds());
}

#[test]
fn a_record_that_was_parked_comes_later_than_its_place() {
    let verdict = Run::with(|run| {
        let mut late = run.evidence.records.remove(0);
        late.headers.push((REPLAY.to_owned(), b"true".to_vec()));
        run.evidence.records.push(late);
    });
    assert_eq!(verdict, clean());
}

#[test]
fn copies_are_skipped_and_more_of_them_than_announced_do_not_hold() {
    let copy = |run: &mut Run, index: usize| {
        run.evidence.records.push(run.evidence.records[index].clone());
    };
    let announced = Run::with(|run| copy(run, 0));
    assert_eq!(announced, Verdict { duplicates_skipped: 1, published_again: 1, ..clean() });
    assert!(announced.holds());

    let delivered = Run::with(|run| {
        copy(run, 0);
        copy(run, 1);
        run.chaos.copies_delivered = 1;
    });
    assert!(delivered.holds() && delivered.duplicates_skipped == 2);

    let unannounced = Run::with(|run| {
        copy(run, 0);
        copy(run, 1);
    });
    assert_eq!(unannounced.published_again, 2);
    assert!(!unannounced.holds());
}

#[test]
fn the_dead_letter_has_to_be_published_and_paid() {
    let none = Run::with(|run| run.evidence.letters.clear());
    assert!(!none.holds() && none.dead_letters == 0);
    let two = Run::with(|run| {
        let letter = DeadLetter { key: key(run.plain()), is_published: true };
        run.evidence.letters.push(letter);
    });
    assert!(!two.holds() && two.dead_letters == 2);
    let not_published = Run::with(|run| run.evidence.letters[0].is_published = false);
    assert!(!not_published.holds() && not_published.dead_letters_paid == 0);
    let not_paid = Run::with(|run| {
        let letter = run.evidence.letters[0].clone();
        run.evidence.payments.retain(|payment| !letter.is_of(payment.order));
    });
    assert!(!not_paid.holds() && not_paid.dead_letters_paid == 0 && not_paid.lost == 1);
}
