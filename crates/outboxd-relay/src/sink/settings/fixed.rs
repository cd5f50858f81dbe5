//! The properties that carry a guarantee: set by outboxd, refused by name from the operator.

use super::SettingsError;

/// What makes the producer keep its promises.
///
/// The queue has no limit of its own, because the relay bounds what is in flight; a full queue
/// would be a record that cannot be handed over.
pub(super) const PRODUCER: &[(&str, &str)] = &[
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("max.in.flight.requests.per.connection", "5"),
    ("message.max.bytes", "1000000000"),
    ("queue.buffering.max.messages", "0"),
    ("queue.buffering.max.kbytes", "2147483647"),
    ("statistics.interval.ms", "0"),
];

/// Without transactions: nothing is written behind a record that was given up, and none is given up
/// for the time it takes.
pub(super) const AT_LEAST_ONCE: &[(&str, &str)] =
    &[("enable.gapless.guarantee", "true"), ("message.timeout.ms", "0")];

/// Says why a property is not the operator's to set.
pub(super) fn check(property: &str) -> Result<(), SettingsError> {
    if let Some((_, feature)) = FEATURES.iter().find(|(prefix, _)| property.starts_with(prefix)) {
        return Err(SettingsError::NotInBuild { feature: (*feature).to_owned() });
    }
    match REFUSED.iter().find(|(names, _)| names.contains(&property)) {
        Some((_, reason)) => Err(SettingsError::Refused { property: property.to_owned(), reason }),
        None => Ok(()),
    }
}

const FEATURES: &[(&str, &str)] =
    &[("sasl.kerberos.", "SASL GSSAPI (Kerberos)"), ("sasl.oauthbearer.", "SASL OAUTHBEARER")];

const REFUSED: &[(&[&str], &str)] = &[
    (
        &["acks", "request.required.acks"],
        "a record counts as delivered only when all in-sync replicas have it",
    ),
    (
        &["enable.idempotence", "enable.gapless.guarantee"],
        "without it, retries reorder, repeat or skip records",
    ),
    (
        &["message.timeout.ms", "delivery.timeout.ms", "retries", "message.send.max.retries"],
        "a record given up while a broker is away would be lost, or overtaken by later ones",
    ),
    (
        &["max.in.flight", "max.in.flight.requests.per.connection"],
        "it is what brokers check the order of records by",
    ),
    (
        &["queue.buffering.max.messages", "queue.buffering.max.kbytes"],
        "what is in flight is bounded by delivery.max_in_flight_events and _bytes",
    ),
    (&["message.max.bytes"], "records are checked against the limit of their topic"),
    (&["queuing.strategy"], "records must leave in the order they came"),
    (&["delivery.report.only.error"], "every delivery is confirmed to Postgres"),
    (&["linger.ms", "queue.buffering.max.ms"], "use kafka.linger"),
    (&["compression.codec", "compression.type"], "use kafka.compression"),
    (&["bootstrap.servers", "metadata.broker.list"], "use kafka.bootstrap_servers"),
    (&["allow.auto.create.topics"], "a topic must not come into being by a typo; use topic.create"),
    (
        &["transactional.id", "transaction.timeout.ms"],
        "it follows from source.name and delivery.mode",
    ),
    (
        &["partitioner", "partitioner_cb", "sticky.partitioning.linger.ms"],
        "outboxd computes the partition as the Java client does",
    ),
    (
        &[
            "group.id",
            "group.instance.id",
            "isolation.level",
            "enable.partition.eof",
            "enable.auto.commit",
            "auto.offset.reset",
        ],
        "outboxd consumes nothing but its own progress topic, and to its end",
    ),
    (&["test.mock.num.brokers"], "records would go nowhere"),
    (&["plugin.library.paths"], "outboxd loads no foreign code"),
    (
        &[
            "security.protocol",
            "sasl.mechanism",
            "sasl.mechanisms",
            "sasl.username",
            "sasl.password",
            "ssl.ca.location",
            "ssl.certificate.location",
            "ssl.key.location",
            "ssl.key.password",
            "ssl.endpoint.identification.algorithm",
        ],
        "use kafka.security",
    ),
];
