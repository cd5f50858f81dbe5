//! What outboxd is run against: a Postgres with something wrong, and a Kafka that works.

use outboxd_sandbox::{PgOptions, PgVersion, Postgres};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// Nothing listens on this port.
pub(crate) const NOBODY: &str = "127.0.0.1:1";

pub(crate) async fn postgres(settings: &[(&str, &str)]) -> Postgres {
    start(PgOptions { settings: owned(settings), ..PgOptions::of(PgVersion::V17) }).await
}

pub(crate) async fn start(options: PgOptions) -> Postgres {
    Postgres::start(options).await.expect("Postgres starts")
}

pub(crate) fn owned(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Runs statements as the superuser.
pub(crate) async fn sql(postgres: &Postgres, database: &str, statements: &str) {
    let (client, connection) =
        tokio_postgres::connect(&postgres.url(database), tokio_postgres::NoTls)
            .await
            .expect("the superuser may log in");
    let connection = tokio::spawn(connection);
    client.batch_execute(statements).await.expect("the statements are valid");
    drop(client);
    connection.await.expect("no panic").expect("the connection ends in order");
}

/// A broker inside this process, with the empty progress topic of a relay for this database.
pub(crate) fn kafka(database: &str) -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).expect("a broker starts");
    let topic = format!("outboxd.progress.outboxd_{database}");
    cluster.create_topic(&topic, 1, 1).expect("the topic is created");
    cluster
}
