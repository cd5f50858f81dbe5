//! The effect: money is taken.

use outboxd_relay::control::ControlSession;
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;

use crate::demo::event::OrderCreated;

/// Who moves the money: a system elsewhere, that may refuse. What it does is not rolled back with our
/// transaction, so it has a session of its own.
pub(super) struct Provider {
    pub(super) session: ControlSession,
}

/// Notes the payment and has the provider take the money. Whether the note stays when the provider
/// refuses depends on what `client` is: a transaction, or a session.
pub(super) async fn pay<C: GenericClient + Sync>(
    client: &C,
    provider: &Provider,
    order: &OrderCreated,
) -> anyhow::Result<()> {
    let OrderCreated { order: number, customer, cents, .. } = order;
    client.execute(PAY, &[number, customer, cents]).await?;
    provider.charge(*number).await
}

impl Provider {
    async fn charge(&self, order: i64) -> anyhow::Result<()> {
        let refused = self.session.rows(REFUSE, &[(&order, Type::INT8)]).await?;
        anyhow::ensure!(refused.is_empty(), "the provider does not answer");
        Ok(())
    }
}

const PAY: &str = "
    insert into payment_service.payments (order_number, customer, cents) values ($1, $2, $3)";
const REFUSE: &str = "
    update payment_service.provider_failures set remaining = remaining - 1
     where order_number = $1 and remaining > 0
    returning remaining";
