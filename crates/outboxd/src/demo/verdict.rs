//! Compares what was ordered with what was published and what was paid. It sees plain data only: the
//! orders, records, payments and dead letters that are there in the end.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::Options;
use super::event::{OrderCreated, key};
use super::evidence::{Evidence, Placed};
use super::names::Names;
use super::plan::{End, Plan};
use super::reader::Record;
use super::service::Style;

/// How many of each. The names are stable: scripts read them.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Verdict {
    pub(crate) style: Style,
    pub(crate) seed: u64,
    pub(crate) chaos: Chaos,
    pub(crate) orders_committed: u64,
    pub(crate) orders_rolled_back: u64,
    /// Committed orders whose event is in Kafka.
    pub(crate) events_published: u64,
    pub(crate) payments_made: u64,
    /// Records of an event beyond its first, as far as nobody paid for them.
    pub(crate) duplicates_skipped: u64,
    /// Orders that do not exist, and have an event or a payment all the same.
    pub(crate) rolled_back_published: u64,
    /// Committed orders that were never paid.
    pub(crate) lost: u64,
    /// Payments of an order beyond its first.
    pub(crate) double_payments: u64,
    pub(crate) dead_letters: u64,
    /// Of the dead letters those that were published in the end, and paid.
    pub(crate) dead_letters_paid: u64,
    /// First records of an event that come before an earlier one of their partition.
    pub(crate) out_of_order: u64,
    /// Records and payments that say other things than the order.
    pub(crate) altered: u64,
    /// Records that the relay published again by itself.
    pub(crate) published_again: u64,
}

/// What happened on the way.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub(crate) struct Chaos {
    pub(crate) relay_kills: u64,
    pub(crate) order_service_kills: u64,
    pub(crate) payment_service_crashes: u64,
    pub(crate) broker_outages: u64,
    /// Records that were delivered a second time on purpose.
    pub(crate) copies_delivered: u64,
    /// Payments that the provider refused.
    pub(crate) payments_refused: u64,
    /// The bounds on what may repeat that the relay logged after each kill, added up.
    pub(crate) repeats_max: u64,
}

impl Verdict {
    /// Every promise was kept, on something that they could have been broken on.
    pub(crate) fn holds(&self) -> bool {
        let broken = self.rolled_back_published
            + self.lost
            + self.double_payments
            + self.out_of_order
            + self.altered;
        broken == 0
            && self.orders_committed > 0
            && self.events_published == self.orders_committed
            && self.payments_made == self.orders_committed
            && self.dead_letters == 1
            && self.dead_letters_paid == 1
            && self.published_again <= self.chaos.repeats_max
    }
}

pub(super) fn judge(
    options: &Options,
    names: &Names,
    plan: &Plan,
    evidence: &Evidence,
    mut chaos: Chaos,
) -> Verdict {
    let planned: i64 = plan.orders.iter().map(|order| i64::from(order.provider_failures)).sum();
    chaos.payments_refused = (planned - evidence.failures_left).unsigned_abs();
    let orders = evidence.orders.iter().map(|order| (order.number, order)).collect();
    let records = Records::of(evidence, names, &orders);
    let payments = Payments::of(evidence, &orders);
    let paid_letters = evidence.letters.iter().filter(|letter| {
        letter.is_published && payments.paid.iter().any(|order| letter.is_of(*order))
    });
    let (committed, paid) = (orders.len() as u64, payments.paid.len() as u64);
    let repeated = records.repeated;
    Verdict {
        style: options.style,
        seed: options.seed,
        chaos,
        orders_committed: committed,
        orders_rolled_back: plan.orders.iter().filter(|it| it.end != End::Committed).count() as u64,
        events_published: records.published.len() as u64,
        payments_made: evidence.payments.len() as u64,
        duplicates_skipped: repeated.saturating_sub(payments.double),
        rolled_back_published: records.unknown.union(&payments.unknown).count() as u64,
        lost: committed - paid,
        double_payments: payments.double,
        dead_letters: evidence.letters.len() as u64,
        dead_letters_paid: paid_letters.count() as u64,
        out_of_order: records.out_of_order,
        altered: records.altered + payments.altered,
        published_again: repeated.saturating_sub(chaos.copies_delivered),
    }
}

type Orders<'a> = HashMap<i64, &'a Placed>;

#[derive(Default)]
struct Records<'a> {
    /// Orders that exist and have a record.
    published: HashSet<i64>,
    /// Orders that do not exist, and have one.
    unknown: HashSet<i64>,
    repeated: u64,
    altered: u64,
    out_of_order: u64,
    /// How far each partition has got.
    sequences: HashMap<(&'a str, i32), &'a str>,
}

impl<'a> Records<'a> {
    fn of(evidence: &'a Evidence, names: &Names, orders: &Orders<'_>) -> Self {
        let mut records = Self::default();
        for record in &evidence.records {
            records.take(record, names, orders);
        }
        records
    }

    fn take(&mut self, record: &'a Record, names: &Names, orders: &Orders<'_>) {
        let Some(event) = record.event() else {
            self.altered += 1;
            return;
        };
        let is_first = match orders.get(&event.order) {
            Some(order) => {
                self.altered += u64::from(!is_faithful(record, &event, order, names));
                self.published.insert(event.order)
            }
            None => self.unknown.insert(event.order),
        };
        self.repeated += u64::from(!is_first);
        self.out_of_order += u64::from(is_first && !self.is_next(record));
    }

    /// Whether this first record comes after all earlier ones of its partition. One that was parked
    /// has lost its place, and says so.
    fn is_next(&mut self, record: &'a Record) -> bool {
        let sequence = record.header("sequence").filter(|_| record.header(REPLAY).is_none());
        let Some(sequence) = sequence else { return true };
        match self.sequences.entry((&record.topic, record.partition)) {
            Entry::Vacant(partition) => {
                partition.insert(sequence);
                true
            }
            Entry::Occupied(mut partition) => {
                let is_next = *partition.get() < sequence;
                partition.insert(sequence.max(partition.get()));
                is_next
            }
        }
    }
}

fn is_faithful(record: &Record, event: &OrderCreated, order: &Placed, names: &Names) -> bool {
    record.topic == names.topic(order.kind)
        && record.key.as_deref() == Some(key(order.number).as_bytes())
        && (&event.customer, event.cents) == (&order.customer, order.cents)
}

#[derive(Default)]
struct Payments {
    /// Orders that exist and were paid.
    paid: HashSet<i64>,
    /// Orders that do not exist, and were paid.
    unknown: HashSet<i64>,
    double: u64,
    altered: u64,
}

impl Payments {
    fn of(evidence: &Evidence, orders: &Orders<'_>) -> Self {
        let mut payments = Self::default();
        for payment in &evidence.payments {
            let is_first = match orders.get(&payment.order) {
                Some(order) => {
                    let is_right =
                        (&payment.customer, payment.cents) == (&order.customer, order.cents);
                    payments.altered += u64::from(!is_right);
                    payments.paid.insert(payment.order)
                }
                None => payments.unknown.insert(payment.order),
            };
            payments.double += u64::from(!is_first);
        }
        payments
    }
}

const REPLAY: &str = "outboxd-replay";

#[cfg(test)]
mod tests;
