//! Where the brokers of one cluster listen, and the server.properties that say so.

use crate::{Error, KafkaOptions, Result, host::port::Port, kafka::base_settings};

/// The ports of one broker.
#[derive(Debug)]
pub(super) struct Listeners {
    plaintext: Port,
    controller: Port,
    /// Named after their security protocols.
    extra: Vec<(String, Port)>,
    detour: Option<Detour>,
}

/// A plaintext listener that sends clients to another port.
#[derive(Debug)]
struct Detour {
    port: Port,
    announced: u16,
}

impl Listeners {
    /// Those of all brokers.
    pub(super) fn of_all(options: &KafkaOptions) -> Result<Vec<Self>> {
        let (found, brokers) = (options.detours.len(), options.brokers.count());
        if found != 0 && found != brokers {
            return Err(Error::Detours { found, brokers });
        }
        (0..brokers)
            .map(|index| Self::reserve(&options.listeners, options.detours.get(index).copied()))
            .collect()
    }

    fn reserve(extra: &[String], detour_port: Option<u16>) -> Result<Self> {
        let with_port = |name: &String| Ok((name.clone(), Port::reserve()?));
        let detour = |announced| Ok(Detour { port: Port::reserve()?, announced });
        Ok(Self {
            plaintext: Port::reserve()?,
            controller: Port::reserve()?,
            extra: extra.iter().map(with_port).collect::<Result<_>>()?,
            detour: detour_port.map(detour).transpose()?,
        })
    }

    pub(super) fn plaintext(&self) -> u16 {
        self.plaintext.number()
    }

    pub(super) fn extra(&self, name: &str) -> Result<u16> {
        let mut all = self.for_clients();
        let found = all.find(|(listener, _)| *listener == name && name != PLAINTEXT);
        found.map(|(_, port)| port.number()).ok_or_else(|| Error::NoSuchListener(name.to_owned()))
    }

    /// Everything that clients may use.
    fn for_clients(&self) -> impl Iterator<Item = (&str, &Port)> {
        let extra = self.extra.iter().map(|(name, port)| (name.as_str(), port));
        let detour = self.detour.iter().map(|detour| (KafkaOptions::DETOUR, &detour.port));
        std::iter::once((PLAINTEXT, &self.plaintext)).chain(extra).chain(detour)
    }

    /// Where they listen.
    fn bound(&self) -> String {
        join(self.for_clients().map(|(name, port)| address(name, port.number())))
    }

    /// Where clients are sent.
    fn announced(&self) -> String {
        let announced = |name, port: &Port| match &self.detour {
            Some(detour) if name == KafkaOptions::DETOUR => detour.announced,
            _ => port.number(),
        };
        join(self.for_clients().map(|(name, port)| address(name, announced(name, port))))
    }

    fn protocols(&self) -> String {
        let extra = self.extra.iter().map(|(name, _)| format!("{name}:{name}"));
        let plain = ["CONTROLLER", PLAINTEXT, KafkaOptions::DETOUR];
        join(plain.map(|name| format!("{name}:PLAINTEXT")).into_iter().chain(extra))
    }
}

/// The server.properties of broker `node` among `all`. The last line for a name wins, so the
/// caller's come last.
pub(super) fn properties(node: usize, all: &[Listeners], options: &KafkaOptions) -> String {
    let own = &all[node - 1];
    let voters =
        (1..).zip(all).map(|(id, at)| format!("{id}@127.0.0.1:{}", at.controller.number()));
    let controller = address("CONTROLLER", own.controller.number());
    let placed = [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", node.to_string()),
        ("log.dirs", "data".to_owned()),
        ("controller.quorum.voters", join(voters)),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("inter.broker.listener.name", "PLAINTEXT".to_owned()),
        ("listeners", join([own.bound(), controller].into_iter())),
        ("advertised.listeners", own.announced()),
        ("listener.security.protocol.map", own.protocols()),
    ];
    let placed = placed.into_iter().map(|(name, value)| (name.to_owned(), value));
    let lines =
        placed.chain(base_settings(options.brokers)).chain(options.settings.iter().cloned());
    lines.map(|(name, value)| format!("{name}={value}\n")).collect()
}

fn address(name: &str, port: u16) -> String {
    format!("{name}://127.0.0.1:{port}")
}

pub(super) fn join(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(",")
}

const PLAINTEXT: &str = "PLAINTEXT";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Brokers;

    #[test]
    fn each_broker_votes_for_all_and_listens_for_itself() {
        let options = KafkaOptions {
            brokers: Brokers::Three,
            listeners: vec!["SASL_SSL".to_owned()],
            detours: vec![9001, 9002, 9003],
            settings: vec![("min.insync.replicas".to_owned(), "1".to_owned())],
            ..KafkaOptions::default()
        };
        let all = Listeners::of_all(&options).unwrap();
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
                "PLAINTEXT://127.0.0.1:{},SASL_SSL://127.0.0.1:{},DETOUR://127.0.0.1:9002",
                all[1].plaintext(),
                all[1].extra("SASL_SSL").unwrap()
            )
        );
        let detour = all[1].extra(KafkaOptions::DETOUR).unwrap();
        assert!(value("listeners").contains(&format!("DETOUR://127.0.0.1:{detour},")));
        assert_eq!(value("min.insync.replicas"), "1");
        assert_eq!(value("default.replication.factor"), "3");
        assert!(matches!(all[1].extra("SSL"), Err(Error::NoSuchListener(_))));
    }

    #[test]
    fn each_broker_needs_a_detour_or_none_does() {
        let options = KafkaOptions { detours: vec![9001, 9002], ..KafkaOptions::default() };
        let refused = Listeners::of_all(&options);
        assert!(matches!(refused, Err(Error::Detours { found: 2, brokers: 1 })));
        let none = Listeners::of_all(&KafkaOptions::default()).unwrap();
        assert!(none[0].extra(KafkaOptions::DETOUR).is_err());
    }
}
