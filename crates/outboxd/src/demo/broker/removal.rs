//! Removes topics and group from brokers that stay.

use std::time::Duration;

use outboxd_core::stop::{Code, Stop};
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::{Instant, sleep};

use super::{admin, within};
use crate::demo::database::chain;
use crate::demo::names::Names;

pub(super) async fn remove(bootstrap: &str, names: &Names) -> Result<(), Stop> {
    let mut topics = names.event_topics().to_vec();
    topics.push(names.progress_topic());
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let group = names.run();
    let removed = async {
        let admin = admin(bootstrap)?;
        remove_topics(&admin, &topics).await?;
        remove_group(&admin, &group).await
    };
    removed.await.map_err(|error| {
        Stop::new(Code::KafkaUnreachable, "the demo could not remove what it made on the brokers")
            .detail(chain(&error))
            .hint(format!("delete the topics {} and the group {group}", topics.join(", ")))
    })
}

async fn remove_topics(
    admin: &AdminClient<DefaultClientContext>,
    topics: &[&str],
) -> Result<(), KafkaError> {
    let deleted = admin.delete_topics(topics, &within()).await?;
    deleted.into_iter().try_for_each(|result| match result {
        Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => Ok(()),
        Err((_, code)) => Err(KafkaError::AdminOp(code)),
    })
}

/// Its members were killed, and belong to it until the brokers miss them.
async fn remove_group(
    admin: &AdminClient<DefaultClientContext>,
    group: &str,
) -> Result<(), KafkaError> {
    let deadline = Instant::now() + MISSED_AFTER;
    loop {
        match admin.delete_groups(&[group], &within()).await?.pop() {
            Some(Err((_, RDKafkaErrorCode::NonEmptyGroup))) if Instant::now() < deadline => {
                sleep(ASK_AGAIN).await;
            }
            None | Some(Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound))) => return Ok(()),
            Some(Err((_, code))) => return Err(KafkaError::AdminOp(code)),
        }
    }
}

const ASK_AGAIN: Duration = Duration::from_millis(500);
/// Far longer than the services' session timeout.
const MISSED_AFTER: Duration = Duration::from_secs(20);
