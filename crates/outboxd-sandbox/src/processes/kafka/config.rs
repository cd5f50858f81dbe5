//! Where the brokers of one cluster listen, and the server.properties that say so.

use crate::{Error, KafkaOptions, Result, host::port::Port, kafka::base_settings};

/// The ports of one broker.
#[derive(Debug)]
pub(super) struct Listeners {
    plaintext: Port,
    controller: Port,
    /// By security protocol.
    extra: Vec<(String, Port)>,
}

impl Listeners {
    pub(super) fn reserve(extra: &[String]) -> Result<Self> {
        let with_port = |name: &String| Ok((name.clone(), Port::reserve()?));
        Ok(Self {
            plaintext: Port::reserve()?,
            controller: Port::reserve()?,
            extra: extra.iter().map(with_port).collect::<Result<_>>()?,
        })
    }

    pub(super) fn plaintext(&self) -> u16 {
        self.plaintext.number()
    }

    pub(super) fn extra(&self, name: &str) -> Result<u16> {
        let found = self.extra.iter().find(|(listener, _)| listener == name);
        found.map(|(_, port)| port.number()).ok_or_else(|| Error::NoSuchListener(name.to_owned()))
    }

    /// `NAME://127.0.0.1:port` of everything that clients may use.
    fn for_clients(&self) -> String {
        let extra = self.extra.iter().map(|(name, port)| (name.as_str(), port));
        let all = [("PLAINTEXT", &self.plaintext)].into_iter().chain(extra);
        join(all.map(|(name, port)| format!("{name}://127.0.0.1:{}", port.number())))
    }

    fn protocols(&self) -> String {
        let extra = self.extra.iter().map(|(name, _)| format!("{name}:{name}"));
        let fixed = ["CONTROLLER:PLAINTEXT".to_owned(), "PLAINTEXT:PLAINTEXT".to_owned()];
        join(fixed.into_iter().chain(extra))
    }
}

/// The server.properties of broker `node` among `all`. The last line for a name wins, so the
/// caller's come last.
pub(super) fn properties(node: usize, all: &[Listeners], options: &KafkaOptions) -> String {
    let own = &all[node - 1];
    let clients = own.for_clients();
    let voters =
        (1..).zip(all).map(|(id, at)| format!("{id}@127.0.0.1:{}", at.controller.number()));
    let placed = [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", node.to_string()),
        ("log.dirs", "data".to_owned()),
        ("controller.quorum.voters", join(voters)),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("inter.broker.listener.name", "PLAINTEXT".to_owned()),
        ("listeners", format!("{clients},CONTROLLER://127.0.0.1:{}", own.controller.number())),
        ("advertised.listeners", clients),
        ("listener.security.protocol.map", own.protocols()),
    ];
    let placed = placed.into_iter().map(|(name, value)| (name.to_owned(), value));
    let lines =
        placed.chain(base_settings(options.brokers)).chain(options.settings.iter().cloned());
    lines.map(|(name, value)| format!("{name}={value}\n")).collect()
}

pub(super) fn join(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Brokers;

    #[test]
    fn each_broker_votes_for_all_and_listens_for_itself() {
        let options = KafkaOptions {
            brokers: Brokers::Three,
            listeners: vec!["SASL_SSL".to_owned()],
            settings: vec![("min.insync.replicas".to_owned(), "1".to_owned())],
            ..KafkaOptions::default()
        };
        let all: Vec<_> = (0..3).map(|_| Listeners::reserve(&options.listeners).unwrap()).collect();
        let properties = properties(2, &all, &options);
        let value = |name: &str| {
            let line = properties.lines().rfind(|line| line.starts_with(&format!("{name}=")));
            line.unwrap().split_once('=').unwrap().1.to_owned()
        };
        assert_eq!(value("node.id"), "2");
        assert_eq!(value("controller.quorum.voters").split(',').count(), 3);
        assert_eq!(
            value("advertised.listeners"),
            format!(
                "PLAINTEXT://127.0.0.1:{},SASL_SSL://127.0.0.1:{}",
                all[1].plaintext(),
                all[1].extra("SASL_SSL").unwrap()
            )
        );
        assert_eq!(value("min.insync.replicas"), "1");
        assert_eq!(value("default.replication.factor"), "3");
        assert!(matches!(all[1].extra("SSL"), Err(Error::NoSuchListener(_))));
    }
}
