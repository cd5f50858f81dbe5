//! The event that an order makes: what the order service says and the payment service hears.

use serde::{Deserialize, Serialize};

use super::plan::{Kind, Order};

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct OrderCreated {
    pub(super) order: i64,
    pub(super) customer: String,
    pub(super) cents: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) letter: Option<String>,
}

impl OrderCreated {
    pub(super) fn of(order: &Order) -> Self {
        let letter = (order.kind == Kind::Gift).then(|| "All the best! ".repeat(LETTER_LINES));
        let Order { number, customer, cents, .. } = order;
        Self { order: *number, customer: customer.clone(), cents: *cents, letter }
    }
}

/// The aggregate's id, and so the key of the record.
pub(super) fn key(order: i64) -> String {
    format!("order-{order}")
}

pub(super) const EVENT_TYPE: &str = "OrderCreated";
/// Far more bytes than the topic of the gifts takes at first.
const LETTER_LINES: usize = 1_000;
