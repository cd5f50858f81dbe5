//! The servers and everything made on them. What is started is kept here from its first moment, so
//! that it can be removed however the demo ends.

use outboxd_core::stop::Stop;

use super::broker::{Broker, BrokerChoice};
use super::database::Database;
use super::names::Names;
use super::{Options, Story};

pub(super) struct Stage {
    pub(super) names: Names,
    pub(super) database: Option<Database>,
    pub(super) broker: Option<Broker>,
}

impl Stage {
    /// Nothing is started yet.
    pub(super) fn new() -> Self {
        Self { names: Names::of_this_run(), database: None, broker: None }
    }

    /// Starts what is ours and reaches what is the user's.
    pub(super) async fn set(
        &mut self,
        options: &Options,
        story: &Story,
    ) -> Result<(&Database, &Broker), Stop> {
        let starting = match options.broker {
            BrokerChoice::InProcess => "starting an in-process broker",
            BrokerChoice::Sandbox => "starting Kafka (the first time it is fetched)",
            BrokerChoice::Yours(_) => "looking for Kafka",
        };
        let broker = story.during(|| starting.to_owned(), Broker::start(&options.broker)).await?;
        let broker = self.broker.insert(broker);
        broker.create_topics(&self.names).await?;
        story.tell(&broker.describe());

        let database = match &options.database_url {
            Some(url) => Database::of_the_user(url),
            None => {
                let starting = "starting Postgres (the first time it is fetched)";
                story.during(|| starting.to_owned(), Database::start()).await?
            }
        };
        let version = database.version().await?;
        let database = self.database.insert(database);
        database.set_up(&self.names).await?;
        story.tell(&format!(
            "Postgres {version}: tables and publication in schema {}",
            self.names.run()
        ));
        Ok((database, broker))
    }

    /// Removes everything; the first thing that could not be removed.
    pub(super) async fn strike(self) -> Result<(), Stop> {
        let Self { names, database, broker } = self;
        let of_database = match database {
            Some(database) => database.remove(&names).await,
            None => Ok(()),
        };
        let of_broker = match broker {
            Some(broker) => broker.remove(&names).await,
            None => Ok(()),
        };
        of_database.and(of_broker)
    }
}
