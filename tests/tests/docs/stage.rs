//! What a reader has before the first line: Postgres and Kafka at the addresses that the pages name,
//! and on the path `outboxd`, `psql` and Kafka's tools.
//!
//! Servers of its own for each page, because pages create roles, topics and slots by the names that
//! they print.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use outboxd_sandbox::{Kafka, KafkaOptions, KafkaTools, PgOptions, PgVersion, Postgres};
use outboxd_tests::binary;
use tempfile::TempDir;

pub(crate) struct Stage {
    folder: TempDir,
    postgres: Postgres,
    kafka: Option<Kafka>,
}

impl Stage {
    pub(crate) async fn new(wants_kafka: bool) -> Result<Self> {
        let settings = [("wal_level", "logical"), ("fsync", "off"), ("max_wal_senders", "20")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let options = PgOptions { settings, ..PgOptions::of(PgVersion::V17) };
        let postgres = Postgres::start(options).await?;
        postgres.create_database("shop").await?;
        let kafka =
            if wants_kafka { Some(Kafka::start(KafkaOptions::default()).await?) } else { None };
        let stage = Self { folder: TempDir::new()?, postgres, kafka };
        stage.furnish().await?;
        Ok(stage)
    }

    /// Where commands run: `examples` is there as in a checkout.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A block with the addresses of these servers in place of those of the page.
    pub(crate) fn with_addresses(&self, text: &str) -> String {
        let address = format!("{}:{}", self.postgres.host(), self.postgres.port());
        let text = text
            .replace("postgres://user:password@db:5432", &format!("postgres://postgres@{address}"))
            .replace("@db:5432", &format!("@{address}"));
        match &self.kafka {
            Some(kafka) => text.replace("kafka:9092", &kafka.bootstrap()),
            None => text,
        }
    }

    /// What every page may take for given, as the quick start sets it.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut variables = vec![
            ("DATABASE_URL", self.postgres.url("shop")),
            ("PATH", format!("{}:{path}", self.folder().join("bin").display())),
            ("PGPASSWORD", "password".to_owned()),
            // Pages are read beside each other, and a port is there once.
            ("OUTBOXD_HTTP__LISTEN", "off".to_owned()),
            ("OUTBOXD_LOG__FORMAT", "json".to_owned()),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        ];
        if let Some(kafka) = &self.kafka {
            variables.push(("KAFKA", kafka.bootstrap()));
        }
        variables
    }

    async fn furnish(&self) -> Result<()> {
        let bin = self.folder().join("bin");
        fs::create_dir(&bin)?;
        symlink(binary::path()?, bin.join("outboxd"))?;
        symlink(repository().join("examples"), self.folder().join("examples"))?;
        if self.kafka.is_some() {
            let tools = KafkaTools::locate().await?;
            for (name, class) in TOOLS {
                let script = format!(
                    "#!/bin/sh\nexec '{}' -Xmx256m -XX:TieredStopAtLevel=1 -cp '{}' {class} \"$@\"\n",
                    tools.java().display(),
                    tools.classpath()
                );
                let path = bin.join(name);
                fs::write(&path, script)?;
                fs::set_permissions(&path, Permissions::from_mode(0o755))?;
            }
        }
        Ok(())
    }
}

/// The folder of the workspace.
pub(crate) fn repository() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().map(Path::to_owned).unwrap_or_default()
}

pub(crate) fn read(page: &str) -> Result<String> {
    fs::read_to_string(repository().join(page)).with_context(|| format!("read {page}"))
}

/// Kafka's tools as its own distribution names them.
const TOOLS: [(&str, &str); 4] = [
    ("kafka-topics.sh", "org.apache.kafka.tools.TopicCommand"),
    ("kafka-console-consumer.sh", "org.apache.kafka.tools.consumer.ConsoleConsumer"),
    ("kafka-console-producer.sh", "org.apache.kafka.tools.ConsoleProducer"),
    ("kafka-consumer-groups.sh", "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"),
];
