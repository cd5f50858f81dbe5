//! Java keeps what it made of Kafka's classes in a file, with which a broker starts in little more than
//! half of the processor's time.

use super::ProcessKafka;
use crate::{KafkaOptions, KafkaTools, Result, host::cache};

/// The option of Java that starts a broker with the classes of an earlier one. Java looks for itself
/// whether they are of its own version and of the same jars, and does without them if not.
pub(super) async fn kept(tools: &KafkaTools) -> Result<String> {
    let name = format!("classes-kafka-{}-java-{}", tools.version(), tools.java_version());
    let entry = cache::entry(&name, async |entry| {
        let mut options = KafkaOptions::default();
        options.jvm_args.push(format!("-XX:ArchiveClassesAtExit={}", entry.join(FILE).display()));
        ProcessKafka::start_with(tools, &options).await?.stop_broker(1).await
    });
    Ok(format!("-XX:SharedArchiveFile={}", entry.await?.join(FILE).display()))
}

const FILE: &str = "classes.jsa";
