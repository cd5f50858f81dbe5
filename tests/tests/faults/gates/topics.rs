//! Keys would move to other partitions.

use anyhow::{Result, anyhow};
use outboxd_tests::patience::eventually;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;

use super::Settled;

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_given_more_partitions() -> Result<()> {
    let settled = Settled::new().await?;
    let cluster = &settled.scene.cluster;
    let admin: AdminClient<DefaultClientContext> = cluster.config().create()?;
    let more = NewPartitions::new(settled.topic.name(), 6);
    for changed in admin.create_partitions([&more], &AdminOptions::new()).await? {
        changed.map_err(|(name, code)| anyhow!("more partitions for {name}: {code}"))?;
    }
    let grown = cluster.topic(settled.topic.name(), 6);
    eventually("six partitions", || async { Ok(grown.end_offsets().await.ok()) }).await?;
    settled.insert().await?;
    settled.expect_stop(13, "partitions_changed").await
}
