//! Makes a broker's data folder. `StorageTool format` takes seconds of a starting Java, so its
//! result is kept and copied; what differs between brokers is their identity, a file of four lines.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use crate::{
    Error, KafkaTools, Result,
    host::{account::Account, cache, command, folder::Folder},
};

/// A random identity in Kafka's notation: 128 bits in URL-safe base64. The first letter keeps it
/// from looking like an option, the last one stands for the two bits that are left.
pub(super) fn random_id() -> Result<String> {
    let mut bytes = [0; 20];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .map_err(Error::io("read random bytes"))?;
    let letters: String =
        bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 64)])).collect();
    Ok(format!("s{letters}A"))
}

/// Makes the data folder of broker `node` as its `server.properties` in `home` describe it.
pub(super) async fn create(
    tools: &KafkaTools,
    cluster_id: &str,
    node: usize,
    home: &Path,
    format_args: &[String],
) -> Result<()> {
    if !format_args.is_empty() {
        return format(tools, cluster_id, home, format_args).await;
    }
    let data = home.join("data");
    command::copy_folder(&template(tools).await?.join("data"), &data).await?;
    let identity = format!(
        "version=1\ncluster.id={cluster_id}\nnode.id={node}\ndirectory.id={}\n",
        random_id()?
    );
    fs::write(data.join("meta.properties"), identity).map_err(Error::io("write meta.properties"))
}

/// The cache entry with a data folder that holds nothing but Kafka's feature levels.
async fn template(tools: &KafkaTools) -> Result<PathBuf> {
    cache::entry(&format!("data-kafka-{}", tools.version()), async |entry| {
        let folder = Folder::create(Account::Own)?;
        let properties = "process.roles=broker,controller\nnode.id=1\n\
             controller.quorum.voters=1@127.0.0.1:1\ncontroller.listener.names=CONTROLLER\n\
             listeners=PLAINTEXT://127.0.0.1:2,CONTROLLER://127.0.0.1:1\nlog.dirs=data\n";
        folder.write(&folder.path().join(PROPERTIES), properties.as_bytes())?;
        format(tools, &random_id()?, folder.path(), &[]).await?;
        command::copy_folder(&folder.path().join("data"), &entry.join("data")).await
    })
    .await
}

async fn format(tools: &KafkaTools, cluster_id: &str, home: &Path, more: &[String]) -> Result<()> {
    let mut format =
        tools.command(&["-XX:TieredStopAtLevel=1".to_owned()], "kafka.tools.StorageTool");
    format.args(["format", "-t", cluster_id, "-c", PROPERTIES]).args(more).current_dir(home);
    command::run(format).await.map(drop)
}

pub(super) const PROPERTIES: &str = "server.properties";

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_have_kafkas_length_and_differ() {
        let (one, other) = (random_id().unwrap(), random_id().unwrap());
        assert_eq!(one.len(), 22);
        assert_ne!(one, other);
    }
}
