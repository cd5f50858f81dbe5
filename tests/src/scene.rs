//! What one test has for itself on the shared servers: a database with an outbox, and a topic.

use anyhow::Result;
use outboxd_sandbox::PgVersion;
use uuid::Uuid;

use crate::database::Database;
use crate::relay::{RelayCommand, relay_on};
use crate::servers;
use crate::topic::{Cluster, Topic};
use crate::workload::{Running, Workload};

#[derive(Debug)]
pub struct Scene {
    pub database: Database,
    pub cluster: Cluster,
    /// Unlike that of any other scene.
    name: String,
}

impl Scene {
    /// On the shared servers, with the table and the publication of `outboxd setup`.
    pub async fn new() -> Result<Self> {
        Self::on(PgVersion::V17).await
    }

    pub async fn on(version: PgVersion) -> Result<Self> {
        let scene = Self::bare(version).await?;
        scene.database.create_outbox().await?;
        Ok(scene)
    }

    /// With an empty database.
    pub async fn bare(version: PgVersion) -> Result<Self> {
        let name = unique("t");
        let database = Database::create(servers::postgres(version).await?, &name).await?;
        let cluster = Cluster::new(&servers::kafka().await?.bootstrap());
        Ok(Self { database, cluster, name })
    }

    /// The aggregate type of this test: it routes to [`Self::topic_name`].
    pub fn kind(&self) -> &str {
        &self.name
    }

    pub fn topic_name(&self) -> String {
        format!("outbox.event.{}", self.name)
    }

    /// Creates the topic of [`Self::kind`].
    pub async fn topic(&self, partitions: i32) -> Result<Topic> {
        self.cluster.create_topic(&self.topic_name(), partitions, &[]).await
    }

    /// Starts writers that go on without end.
    pub async fn load(&self) -> Result<Running> {
        Workload::endless(self.kind()).start(&self.database).await
    }

    pub fn relay(&self) -> RelayCommand {
        relay_on(&self.database, self.cluster.bootstrap())
    }
}

/// A name for a database, a topic, an aggregate type.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}{}", &Uuid::new_v4().simple().to_string()[..12])
}
