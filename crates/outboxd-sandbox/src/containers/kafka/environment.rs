//! What one broker of a cluster is configured with, and how the image is told.

use crate::{KafkaOptions, kafka::base_settings};

/// Where a broker stands.
pub(crate) struct Node<'a> {
    pub(crate) id: usize,
    /// Name of the cluster, unique on the engine.
    pub(crate) cluster: &'a str,
    /// Of the plaintext listener.
    pub(crate) port: u16,
    /// Security protocol and port of the other listeners for clients.
    pub(crate) extra: Vec<(&'a str, u16)>,
}

impl Node<'_> {
    /// Name of a broker's container, which is its address in the cluster's network.
    pub(crate) fn host(&self, id: usize) -> String {
        format!("{}-{id}", self.cluster)
    }

    /// Lines of server.properties; of several with one name the last wins.
    pub(crate) fn settings(&self, options: &KafkaOptions) -> Vec<(String, String)> {
        let mut settings = vec![
            ("node.id".to_owned(), self.id.to_string()),
            ("process.roles".to_owned(), "broker,controller".to_owned()),
            ("controller.quorum.voters".to_owned(), self.voters(options.brokers.count())),
            ("controller.listener.names".to_owned(), "CONTROLLER".to_owned()),
            ("inter.broker.listener.name".to_owned(), "BROKER".to_owned()),
            ("listeners".to_owned(), self.listeners()),
            ("advertised.listeners".to_owned(), self.advertised()),
            ("listener.security.protocol.map".to_owned(), self.protocols()),
            ("log.dirs".to_owned(), "/var/lib/kafka/data".to_owned()),
        ];
        settings.extend(base_settings(options.brokers));
        settings.extend(options.settings.iter().cloned());
        settings
    }

    fn voters(&self, count: usize) -> String {
        joined((1..=count).map(|id| format!("{id}@{}:{CONTROLLER_PORT}", self.host(id))))
    }

    fn listeners(&self) -> String {
        let inner =
            [format!("BROKER://:{BROKER_PORT}"), format!("CONTROLLER://:{CONTROLLER_PORT}")];
        joined(self.client_listeners().map(|(name, port)| format!("{name}://:{port}")).chain(inner))
    }

    fn advertised(&self) -> String {
        let inner = format!("BROKER://{}:{BROKER_PORT}", self.host(self.id));
        let outer =
            self.client_listeners().map(|(name, port)| format!("{name}://127.0.0.1:{port}"));
        joined(outer.chain([inner]))
    }

    fn protocols(&self) -> String {
        let inner = ["BROKER:PLAINTEXT".to_owned(), "CONTROLLER:PLAINTEXT".to_owned()];
        joined(self.client_listeners().map(|(name, _)| format!("{name}:{name}")).chain(inner))
    }

    fn client_listeners(&self) -> impl Iterator<Item = (&str, u16)> {
        std::iter::once(("PLAINTEXT", self.port)).chain(self.extra.iter().copied())
    }
}

/// The variable that the image turns into the setting `name`.
pub(crate) fn variable(name: &str) -> String {
    let mut variable = "KAFKA_".to_owned();
    for letter in name.chars() {
        match letter {
            '.' => variable.push('_'),
            '_' => variable.push_str("__"),
            '-' => variable.push_str("___"),
            other => variable.push(other.to_ascii_uppercase()),
        }
    }
    variable
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(",")
}

// Below every range that ports for clients are taken from.
const BROKER_PORT: u16 = 1092;
const CONTROLLER_PORT: u16 = 1093;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Brokers;

    fn value(settings: &[(String, String)], name: &str) -> String {
        let last = settings.iter().rfind(|(found, _)| found == name);
        last.map(|(_, value)| value.clone()).unwrap_or_default()
    }

    #[test]
    fn clients_get_the_loopback_address_and_brokers_their_names() {
        let node = Node { id: 2, cluster: "c", port: 20_000, extra: vec![("SSL", 20_001)] };
        let options = KafkaOptions { brokers: Brokers::Three, ..KafkaOptions::default() };
        let settings = node.settings(&options);
        assert_eq!(
            value(&settings, "advertised.listeners"),
            "PLAINTEXT://127.0.0.1:20000,SSL://127.0.0.1:20001,BROKER://c-2:1092"
        );
        assert_eq!(
            value(&settings, "listeners"),
            "PLAINTEXT://:20000,SSL://:20001,BROKER://:1092,CONTROLLER://:1093"
        );
        assert_eq!(
            value(&settings, "controller.quorum.voters"),
            "1@c-1:1093,2@c-2:1093,3@c-3:1093"
        );
    }

    #[test]
    fn own_settings_win() {
        let node = Node { id: 1, cluster: "c", port: 20_000, extra: Vec::new() };
        let own = ("min.insync.replicas".to_owned(), "7".to_owned());
        let options = KafkaOptions { settings: vec![own], ..KafkaOptions::default() };
        assert_eq!(value(&node.settings(&options), "min.insync.replicas"), "7");
    }

    #[test]
    fn every_letter_of_a_setting_survives_the_environment() {
        assert_eq!(variable("log.dirs"), "KAFKA_LOG_DIRS");
        assert_eq!(
            variable("listener.name.sasl_ssl.scram-sha-256"),
            "KAFKA_LISTENER_NAME_SASL__SSL_SCRAM___SHA___256"
        );
    }
}
