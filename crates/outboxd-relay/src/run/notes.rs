//! The core's notes as log lines.

use outboxd_core::relay::{Note, RotationFailure};

use crate::rotation::Rotated;

pub(super) fn log(note: &Note) {
    match note {
        Note::Claimed { acquisition, end_lsn, partial, repeats_max } => {
            let partial = partial.map_or(0, |partial| partial.changes);
            tracing::info!(
                event = "progress.claimed",
                acquisition,
                lsn = %end_lsn,
                partial,
                repeats_max,
                "took over at the recorded position; at most {repeats_max} events may repeat"
            );
        }
        Note::PositionLowered { from, to } => tracing::warn!(
            event = "gate.position_lowered",
            %from,
            lsn = %to,
            "idle WAL past the timeline's switch point was given back"
        ),
        Note::SlotRecorded { end_lsn } => {
            tracing::info!(event = "slot.recorded", lsn = %end_lsn, "position of the slot recorded");
        }
        Note::Streaming { end_lsn } => {
            tracing::info!(event = "slot.streaming", lsn = %end_lsn, "stream requested");
        }
        Note::Released => tracing::warn!(
            event = "slot.released",
            "stream ended until Kafka answers, so that Postgres may shut down; the lock is kept"
        ),
        Note::StrayMessage => tracing::warn!(
            event = "messages.ignored",
            "a logical message with the prefix of events was written outside of its transaction: it \
             is not published, nor is any other such message, since its writer may have rolled back"
        ),
        Note::RotationFailed(RotationFailure { kind, error, hint }) => tracing::warn!(
            event = "retention.failed",
            error_kind = kind,
            error,
            hint,
            "the outbox was not rotated; events are published as before"
        ),
        Note::ParkingOff => tracing::warn!(
            event = "parking.off",
            "no table outbox.dead_letters (run `outboxd setup`): the relay will halt at an event \
             that cannot be published"
        ),
        Note::ProducerFailed { error } => {
            tracing::error!(event = "producer.failed", %error, "producer failed");
        }
        Note::ProducerRetired { reason } => {
            tracing::info!(event = "producer.retired", reason, "the producer is to be replaced");
        }
        Note::ProducerReplaced { lost: 0 } => {
            tracing::info!(event = "producer.replaced", lost = 0, "new producer");
        }
        Note::ProducerReplaced { lost } => {
            tracing::warn!(event = "producer.replaced", lost, "new producer; lost records go again")
        }
        Note::TopicUnavailable { topic, error } => {
            tracing::warn!(event = "topic.unavailable", topic, %error, "its events wait");
        }
        Note::PartitionsSwitched { topic, from, to, at } => tracing::warn!(
            event = "topic.partitions_switched",
            topic,
            from,
            to,
            lsn = %at,
            "keys are placed over the new number of partitions from this transaction on"
        ),
        Note::Draining { in_flight } => {
            tracing::info!(event = "relay.draining", in_flight, "waiting for what is in flight");
        }
    }
}

pub(super) fn log_rotated(rotated: &Rotated) {
    let Rotated { action, leaf, reason } = rotated;
    tracing::info!(event = "retention.rotated", action, leaf, reason, "a leaf of the outbox");
}
