//! Java and Kafka's jars: the broker itself and its command line tools. The jars come through the
//! ordinary Maven client, which knows where from; versions are pinned in `pom.xml` beside this file.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use sha2::{Digest, Sha256};

use crate::{
    Error, Result,
    host::{cache, command},
};

/// What it takes to run one of Kafka's classes.
#[derive(Clone, Debug)]
pub struct KafkaTools {
    java: PathBuf,
    /// Such as 17.0.15.
    java_version: String,
    jars: PathBuf,
}

impl KafkaTools {
    /// Finds Java, and fetches the jars on first use.
    pub async fn locate() -> Result<Self> {
        let (java, java_version) = java().await?;
        let jars = cache::entry(&entry_name(), fetch).await?;
        Ok(Self { java, java_version, jars })
    }

    pub fn java(&self) -> &Path {
        &self.java
    }

    /// For Java's option `-cp`.
    pub fn classpath(&self) -> String {
        format!("{}/*", self.jars.display())
    }

    pub(super) fn java_version(&self) -> &str {
        &self.java_version
    }

    pub(crate) fn version(&self) -> &'static str {
        version()
    }

    /// A command that runs `class`, such as `org.apache.kafka.tools.consumer.ConsoleConsumer`.
    pub fn command(&self, jvm_args: &[String], class: &str) -> Command {
        let mut command = Command::new(&self.java);
        command.args(jvm_args).args(["-cp", &self.classpath(), class]);
        command
    }
}

/// Another list of jars is another entry, also for the same Kafka.
fn entry_name() -> String {
    let digest = Sha256::digest(POM);
    format!(
        "kafka-{}-{:02x}{:02x}{:02x}{:02x}",
        version(),
        digest[0],
        digest[1],
        digest[2],
        digest[3]
    )
}

async fn fetch(folder: &Path) -> Result<()> {
    let maven = command::find("mvn").ok_or(Error::MissingProgram {
        program: "mvn",
        remedy: "install Maven (Debian: apt-get install maven)",
    })?;
    tracing::info!(version = version(), "fetching kafka");
    let pom = folder.join("pom.xml");
    fs::write(&pom, POM).map_err(Error::io("write pom.xml"))?;
    let mut copy = Command::new(maven);
    copy.args(["--quiet", "--batch-mode", "--strict-checksums", "--file"])
        .arg(&pom)
        .arg("dependency:copy-dependencies")
        .arg(format!("-DoutputDirectory={}", folder.display()))
        .arg("-DincludeScope=runtime");
    command::run(copy).await?;
    let mut open = Command::new("chmod");
    open.args(["-R", "a+rX"]).arg(folder);
    command::run(open).await.map(drop)
}

/// The first Java of JAVA_HOME and PATH, if it is new enough.
async fn java() -> Result<(PathBuf, String)> {
    let missing = || Error::MissingProgram {
        program: "java",
        remedy: "install Java 17 or newer (Debian: apt-get install openjdk-17-jre-headless) \
                 or point JAVA_HOME at one",
    };
    let home = env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    let java = home.filter(|java| java.is_file()).or_else(|| command::find("java"));
    let java = java.ok_or_else(missing)?;
    // `--version`, unlike `-version`, answers on standard output; Java 8 knows only the latter.
    let mut question = Command::new(&java);
    question.arg("--version");
    let answer = command::run(question).await.ok();
    match answer.as_deref().and_then(version_of_java) {
        Some(version) if major(version) >= Some(OLDEST_JAVA) => Ok((java, version.to_owned())),
        _ => Err(missing()),
    }
}

/// The 17.0.15 of `openjdk 17.0.15 2025-04-15`.
fn version_of_java(said: &str) -> Option<&str> {
    said.split_whitespace().nth(1)
}

fn major(version: &str) -> Option<u32> {
    version.split(['.', '-', '+']).next()?.parse().ok()
}

/// Kafka's version as the pom pins it.
fn version() -> &'static str {
    let (_, dependency) =
        POM.split_once("<artifactId>kafka_2.13</artifactId>").unwrap_or(("", POM));
    let (_, version) = dependency.split_once("<version>").unwrap_or(("", ""));
    version.split('<').next().unwrap_or("")
}

const POM: &str = include_str!("pom.xml");
const OLDEST_JAVA: u32 = 17;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_java_says() {
        let asked = |said| version_of_java(said).and_then(major);
        assert_eq!(version_of_java("openjdk 17.0.15 2025-04-15\nOpenJDK"), Some("17.0.15"));
        assert_eq!(asked("openjdk 17.0.15 2025-04-15\nOpenJDK Runtime"), Some(17));
        assert_eq!(asked("openjdk 21 2023-09-19\n"), Some(21));
        assert_eq!(asked("java 25-ea 2025-09-16"), Some(25));
        assert_eq!(asked("Unrecognized option: --version"), None);
    }

    #[test]
    fn all_of_kafka_is_pinned_to_one_version() {
        assert!(version().starts_with("4."));
        assert_eq!(POM.matches(&format!("<version>{}</version>", version())).count(), 2);
    }
}
