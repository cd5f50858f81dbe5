//! What is going to happen to which order: decided beforehand, by the seed alone. Every process of
//! the demo works the plan out for itself.

mod dice;

use self::dice::Dice;

#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// By their numbers, which count from 1.
    pub(super) orders: Vec<Order>,
    /// The order after whose payment a payment service dies.
    pub(super) crash: i64,
    /// The wave in whose middle the publisher is killed.
    kill_wave: usize,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Order {
    pub(super) number: i64,
    pub(super) customer: String,
    pub(super) cents: i64,
    pub(super) kind: Kind,
    pub(super) end: End,
    /// How often the payment provider refuses before it takes the money.
    pub(super) provider_failures: i32,
    /// Its event is delivered to Kafka a second time.
    pub(super) is_repeated: bool,
    /// Without an outbox: Kafka is told before the transaction is committed, not after.
    pub(super) is_told_early: bool,
}

/// A kind of aggregate, with a topic of its own.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Kind {
    Order,
    /// With a long letter. Kafka does not take these at first.
    Gift,
}

/// How the transaction of an order ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    Committed,
    RolledBack,
    /// Only the part with the order is rolled back; the transaction is committed.
    RolledBackToSavepoint,
}

impl Plan {
    pub(super) fn new(seed: u64, count: u32) -> Self {
        let mut dice = Dice::new(seed);
        let mut orders: Vec<Order> =
            (1..=i64::from(count)).map(|number| Order::new(number, &mut dice)).collect();
        let mut rest: Vec<usize> = (0..orders.len()).collect();
        dice.shuffle(&mut rest);
        let mut early = |waves| take(&mut rest, |index| wave(index, count) < waves);
        let (crash, gift, taken_back) = (early(2), early(3), early(3));
        orders[gift].kind = Kind::Gift;
        // Before the broker is stopped, so that it is heard of where it must not be.
        (orders[taken_back].end, orders[taken_back].is_told_early) = (End::RolledBack, true);
        let share = |part: usize| (rest.len() / part).max(FEW);
        let (rolled_back, failing, repeated) = (share(6), share(12), share(8));
        let mut rest = rest.iter().copied();
        for (place, index) in rest.by_ref().take(rolled_back).enumerate() {
            let to_savepoint = place % 2 == 1;
            orders[index].end =
                if to_savepoint { End::RolledBackToSavepoint } else { End::RolledBack };
        }
        for index in rest.by_ref().take(failing) {
            orders[index].provider_failures = if dice.coin() { 1 } else { 2 };
        }
        for index in rest.take(repeated) {
            orders[index].is_repeated = true;
        }
        let kill_wave = 2 + dice.below(2) as usize;
        Self { crash: orders[crash].number, orders, kill_wave }
    }

    /// Orders that come in together.
    pub(super) fn waves(&self) -> impl Iterator<Item = &[Order]> {
        let count = self.orders.len() as u32;
        let wave = move |order: &Order| wave(order.number as usize - 1, count);
        self.orders.chunk_by(move |one, next| wave(one) == wave(next))
    }

    /// The order from which on the publisher may be killed: others of its wave come behind it.
    pub(super) fn kill_from(&self) -> i64 {
        self.waves().nth(self.kill_wave).map_or(1, |wave| wave[0].number)
    }

    pub(super) fn committed(&self) -> impl Iterator<Item = &Order> {
        self.orders.iter().filter(|order| order.end == End::Committed)
    }
}

impl Order {
    fn new(number: i64, dice: &mut Dice) -> Self {
        Self {
            number,
            customer: format!("customer-{}", dice.below(CUSTOMERS)),
            cents: 999 + 10 * dice.below(500) as i64,
            kind: Kind::Order,
            end: End::Committed,
            provider_failures: 0,
            is_repeated: false,
            is_told_early: dice.coin(),
        }
    }
}

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::Order, Self::Gift];

    pub(super) fn aggregate_type(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Gift => "gift",
        }
    }
}

/// Takes the first that fits out of the list. There is one: every wave has orders.
fn take(list: &mut Vec<usize>, fits: impl Fn(usize) -> bool) -> usize {
    let place = list.iter().position(|&index| fits(index)).unwrap_or(0);
    list.remove(place)
}

fn wave(index: usize, count: u32) -> usize {
    index * WAVES / count as usize
}

/// So many that orders still come in when the broker is back.
const WAVES: usize = 16;
const CUSTOMERS: u64 = 20;
/// At least so many orders share each fate.
const FEW: usize = 2;
/// Enough for every fate, and for an order in each wave.
pub(crate) const ORDERS_MIN: u32 = 20;
/// The embedded broker forgets what is beyond 5 MiB in a partition.
pub(crate) const ORDERS_MAX: u32 = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_one_plan() {
        assert_eq!(Plan::new(7, 200).orders, Plan::new(7, 200).orders);
        assert_ne!(Plan::new(7, 200).orders, Plan::new(8, 200).orders);
    }

    #[test]
    fn every_fate_meets_somebody_whatever_the_seed() {
        for (seed, count) in (0..300).map(|seed| (seed, ORDERS_MIN + (seed % 3) as u32 * 90)) {
            let plan = Plan::new(seed, count);
            let number =
                |fits: fn(&Order) -> bool| plan.orders.iter().filter(|it| fits(it)).count();
            let committed = |it: &Order| it.end == End::Committed;
            assert_eq!(number(|it| it.kind == Kind::Gift), 1, "seed {seed}");
            assert!(number(|it| it.end == End::RolledBack) >= FEW, "seed {seed}");
            assert!(number(|it| it.end == End::RolledBackToSavepoint) >= 1, "seed {seed}");
            let told = |it: &Order| it.end != End::Committed && it.is_told_early;
            assert!(plan.waves().take(3).flatten().any(told), "seed {seed}");
            assert!(number(|it| it.provider_failures > 0) >= FEW, "seed {seed}");
            assert!(number(|it| it.is_repeated) >= FEW, "seed {seed}");
            for order in &plan.orders {
                let fates = [
                    order.kind == Kind::Gift,
                    order.end != End::Committed,
                    order.provider_failures > 0,
                    order.is_repeated,
                    order.number == plan.crash,
                ];
                assert!(fates.iter().filter(|&&fate| fate).count() <= 1, "{order:?}");
            }
            let crash = &plan.orders[plan.crash as usize - 1];
            assert!(committed(crash) && crash.number < plan.kill_from(), "seed {seed}");
            assert_eq!(plan.waves().count(), WAVES);
        }
    }
}
