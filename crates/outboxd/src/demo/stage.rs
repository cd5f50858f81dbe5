//! The servers and everything made on them. What is started is kept here from its first moment, so
//! that it can be removed however the demo ends.

use outboxd_core::stop::Stop;

use super::broker::{Broker, BrokerChoice};
use super::database::{Databases, by_hand};
use super::names::Names;
use super::plan::Plan;
use super::{Options, Story};

pub(super) struct Stage {
    pub(super) names: Names,
    pub(super) databases: Option<Databases>,
    pub(super) broker: Option<Broker>,
}

impl Stage {
    /// Nothing is started yet.
    pub(super) fn new() -> Self {
        Self { names: Names::of_this_run(), databases: None, broker: None }
    }

    /// Starts what is ours and reaches what is the user's.
    pub(super) async fn set(
        &mut self,
        options: &Options,
        plan: &Plan,
        story: &Story,
    ) -> Result<(&Databases, &mut Broker), Stop> {
        let starting = match options.broker {
            BrokerChoice::Embedded => "starting an embedded broker",
            BrokerChoice::Sandbox => "starting Kafka (the first time it is fetched)",
            BrokerChoice::Yours(_) => "looking for Kafka",
        };
        let broker = story
            .during(|| starting.to_owned(), Broker::start(&options.broker, &self.names))
            .await?;
        let broker = self.broker.insert(broker);
        broker.create_topics(&self.names).await?;
        story.tell(&broker.describe());

        let databases = match &options.database_url {
            Some(url) => Databases::of_the_user(url, &self.names),
            None => {
                let starting = "starting Postgres (the first time it is fetched)";
                story.during(|| starting.to_owned(), Databases::start(&self.names)).await?
            }
        };
        let version = databases.version().await?;
        for run in databases.left_by_others().await? {
            let remedy = by_hand(&run);
            story.tell(&format!("a demo that was killed may have left something behind: {remedy}"));
        }
        let databases = self.databases.insert(databases);
        databases.set_up(plan).await?;
        let (orders, payments) = (self.names.orders_database(), self.names.payments_database());
        story.tell(&format!("Postgres {version}: databases {orders} and {payments}"));
        Ok((databases, broker))
    }

    /// Removes everything; the first thing that could not be removed.
    pub(super) async fn strike(self) -> Result<(), Stop> {
        let Self { names, databases, broker } = self;
        let of_databases = match databases {
            Some(databases) => databases.remove().await,
            None => Ok(()),
        };
        let of_broker = match broker {
            Some(broker) => broker.remove(&names).await,
            None => Ok(()),
        };
        of_databases.and(of_broker)
    }
}
