//! Assignments as they come and go.
//!
//! librdkafka calls from inside a poll. What is assigned is taken at once; what is revoked is given
//! back by the loop, when what is in flight is through: librdkafka waits for that, and polling goes
//! on meanwhile.

use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::mpsc;

use super::lanes::Place;

/// Partitions to be given back.
#[derive(Debug)]
pub(super) struct Revoked {
    pub(super) places: Vec<Place>,
    /// Others have them already: nothing of them may be committed.
    pub(super) lost: bool,
}

pub(super) struct Context {
    revoked: mpsc::Sender<Revoked>,
}

impl Context {
    /// The loop holds the other end for as long as it can give back what is revoked.
    pub(super) fn new() -> (Self, mpsc::Receiver<Revoked>) {
        let (revoked, receiver) = mpsc::channel(REVOKED_MAX);
        (Self { revoked }, receiver)
    }
}

impl ClientContext for Context {}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let done = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => take(consumer, partitions),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                let (places, lost) = (places_of(partitions), consumer.assignment_lost());
                match self.revoked.try_send(Revoked { places, lost }) {
                    Ok(()) => Ok(()),
                    // The loop has ended, and nothing is in flight.
                    Err(_) => give_back(consumer, partitions),
                }
            }
            _ => consumer.unassign(),
        };
        if let Err(error) = done {
            tracing::error!(%error, event = "inbox.rebalance", "rebalance");
        }
    }
}

fn take(consumer: &BaseConsumer<Context>, partitions: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(partitions)?,
        _ => consumer.assign(partitions)?,
    }
    // Whoever had them before may have paused them: this process, at an earlier time.
    consumer.resume(partitions)
}

/// Commits what is stored, unless it is lost, and lets the rebalance go on.
pub(super) fn give_back<C>(consumer: &C, partitions: &TopicPartitionList) -> KafkaResult<()>
where
    C: Consumer<Context>,
{
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(partitions),
        _ => consumer.unassign(),
    }
}

pub(super) fn list_of(places: &[Place]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(places.len());
    for (topic, partition) in places {
        list.add_partition(topic, *partition);
    }
    list
}

fn places_of(list: &TopicPartitionList) -> Vec<Place> {
    let elements = list.elements();
    elements.iter().map(|one| (one.topic().to_owned(), one.partition())).collect()
}

/// librdkafka begins no rebalance before the last one has ended.
const REVOKED_MAX: usize = 16;
