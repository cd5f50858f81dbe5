//! What a client of Kafka was made with, and whether it would be made with something else now.

use rdkafka::ClientConfig;

use super::security::{KEY_PASSWORD, PASSWORD, Security};

/// A client keeps the secrets it was made with. When brokers refuse them and the files hold others
/// by then, only a new client helps.
pub(in crate::sink) struct Credentials {
    security: Security,
    used: ClientConfig,
}

impl Credentials {
    /// Those in `used`, which was made of `security`.
    pub(in crate::sink) fn new(security: Security, used: ClientConfig) -> Self {
        Self { security, used }
    }

    pub(in crate::sink) fn are_outdated(&self) -> bool {
        let mut now = ClientConfig::new();
        // A file that cannot be read, or is just being written, says nothing yet.
        let is_readable = self.security.apply(&mut now).is_ok();
        is_readable && [PASSWORD, KEY_PASSWORD].iter().any(|it| now.get(it) != self.used.get(it))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::Secret;
    use crate::sink::settings::{KafkaSettings, SaslLogin, SaslMechanism, SecurityProtocol};

    #[test]
    fn another_password_in_the_file_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, "first").unwrap();
        let mut settings = KafkaSettings::plaintext("localhost:9092");
        settings.security.protocol = SecurityProtocol::SaslPlaintext;
        settings.security.login = Some(SaslLogin {
            mechanism: SaslMechanism::ScramSha512,
            username: "relay".to_owned(),
            password: Secret::File(path.clone()),
        });
        let made = || {
            let config = settings.client_config().unwrap();
            Credentials::new(settings.security.clone(), config)
        };
        let first = made();
        assert!(!first.are_outdated());
        fs::write(&path, "").unwrap();
        assert!(!first.are_outdated(), "nothing to use instead");
        fs::write(&path, "second\n").unwrap();
        assert!(first.are_outdated());
        assert!(!made().are_outdated());
    }
}
