//! Postgres in a container.
//!
//! Settings and files are put in place by a script that the image runs after it has created the
//! cluster: earlier the data folder has to be empty, and the server that runs meanwhile could not
//! start with settings that name files which are not there yet.

use std::{path::Path, time::Duration};

use testcontainers::{ContainerRequest, CopyTargetOptions, GenericImage, ImageExt};

use super::{container::Container, guard::Guard, image, readiness};
use crate::{PgOptions, Result, StopMode, host::port::Port, postgres::BASE_SETTINGS};

#[derive(Debug)]
pub(crate) struct ContainerPostgres {
    // Dropped in this order: the guard looks for what is left of the container.
    container: Container,
    port: Port,
    _guard: Guard,
}

impl ContainerPostgres {
    pub(crate) async fn start(options: PgOptions) -> Result<Self> {
        let port = Port::reserve()?;
        let guard = Guard::start()?;
        let server = format!("postgres {}", options.version);
        let container =
            Container::start(server, request(options), &guard, &[(INSIDE_PORT, &port)]).await?;
        let postgres = Self { container, port, _guard: guard };
        postgres.wait_ready().await?;
        Ok(postgres)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    pub(crate) fn socket_dir(&self) -> Option<&Path> {
        None
    }

    pub(crate) fn data_dir(&self) -> Option<&Path> {
        None
    }

    pub(crate) fn bin_dir(&self) -> Option<&Path> {
        None
    }

    pub(crate) async fn log(&self) -> Result<String> {
        self.container.log().await
    }

    pub(crate) async fn stop(&mut self, mode: StopMode, limit: Duration) -> Result<()> {
        let signal = match mode {
            StopMode::Smart => "SIGTERM",
            StopMode::Fast => "SIGINT",
            StopMode::Immediate => "SIGQUIT",
        };
        self.container.stop(signal, limit).await
    }

    pub(crate) async fn start_again(&mut self) -> Result<()> {
        self.container.start_again().await?;
        self.wait_ready().await
    }

    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.container.kill().await
    }

    pub(crate) async fn freeze(&mut self) -> Result<()> {
        self.container.freeze().await
    }

    pub(crate) async fn thaw(&mut self) -> Result<()> {
        self.container.thaw().await
    }

    async fn wait_ready(&self) -> Result<()> {
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", self.port.number());
        readiness::wait(&self.container, || readiness::postgres_answers(&url)).await
    }
}

fn request(options: PgOptions) -> ContainerRequest<GenericImage> {
    let mut request = image::postgres(options.version)
        .with_env_var("POSTGRES_HOST_AUTH_METHOD", "trust")
        .with_env_var("POSTGRES_INITDB_ARGS", shell_words(&options.initdb_args))
        // Parallel queries share more memory than engines allow by default.
        .with_shm_size(256 << 20)
        .with_copy_to("/docker-entrypoint-initdb.d/outboxd.sh", SETUP.as_bytes().to_vec())
        .with_copy_to("/outboxd/settings.conf", settings(&options.settings).into_bytes());
    if let Some(lines) = options.hba {
        request = request.with_copy_to("/outboxd/hba.conf", (lines.join("\n") + "\n").into_bytes());
    }
    for (name, content) in options.files {
        let target = CopyTargetOptions::new(format!("/outboxd/files/{name}"));
        request = request.with_copy_to(target, content);
    }
    request
}

fn settings(own: &[(String, String)]) -> String {
    let base = BASE_SETTINGS.iter().copied();
    // The last of several lines with one name wins.
    let own = own.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    base.chain(own)
        .map(|(name, value)| format!("{name} = '{}'\n", value.replace('\'', "''")))
        .collect()
}

/// The image hands the variable to a shell.
fn shell_words(words: &[String]) -> String {
    let quoted = words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''")));
    quoted.collect::<Vec<_>>().join(" ")
}

const INSIDE_PORT: u16 = 5432;

/// Runs as the server's user, before the server starts for good.
const SETUP: &str = r#"
cat /outboxd/settings.conf >>"$PGDATA/postgresql.conf"
if [ -e /outboxd/hba.conf ]; then
    cat /outboxd/hba.conf >"$PGDATA/pg_hba.conf"
fi
if [ -d /outboxd/files ]; then
    install -m 600 /outboxd/files/* "$PGDATA"
fi
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_settings_come_last_and_quotes_are_doubled() {
        let text = settings(&[("wal_level".to_owned(), "it's".to_owned())]);
        assert!(text.starts_with("wal_level = 'logical'\n"));
        assert!(text.ends_with("wal_level = 'it''s'\n"));
    }

    #[test]
    fn arguments_survive_a_shell() {
        let words = ["--locale=C".to_owned(), "it's two".to_owned()];
        assert_eq!(shell_words(&words), r"'--locale=C' 'it'\''s two'");
    }
}
