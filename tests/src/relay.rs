//! The binary under test as a process of its own.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::{NamedTempFile, TempPath};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::guard::Guard;
use crate::log::{Line, Log};
use crate::patience::{DEADLINE, eventually};
use crate::proxy::Proxy;
use crate::{binary, database::Database};

/// What to run, and with which settings.
#[derive(Clone, Debug)]
pub struct RelayCommand {
    args: Vec<String>,
    settings: Vec<(String, String)>,
    expected: BTreeSet<String>,
    file: Option<Arc<TempPath>>,
    /// What a shell does to become the relay; the process id stays.
    shell: Option<String>,
}

/// A running relay. It dies with this value and with this process. Dropping it fails the test when
/// it has said an error that was not announced.
#[derive(Debug)]
pub struct RelayProcess {
    child: Child,
    pid: Pid,
    guard: Guard,
    log: Log,
    expected: BTreeSet<String>,
}

impl RelayCommand {
    /// `outboxd run`, which creates its slot when there is none.
    pub fn run(database_url: &str, kafka: &str) -> Self {
        Self::bare(&["run", "--create-slot", "--database-url", database_url, "--kafka", kafka])
            .set("http.listen", "off")
    }

    /// `outboxd` with these arguments, and nothing of this process's own configuration.
    pub fn bare(args: &[&str]) -> Self {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        let (settings, expected) = (Vec::new(), BTreeSet::new());
        Self { args, settings, expected, file: None, shell: None }
            .set("log.format", "json")
            .set("log.level", "info")
    }

    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// A setting by its name in the file, such as `delivery.progress_interval`. A later one wins.
    #[must_use]
    pub fn set(self, key: &str, value: &str) -> Self {
        let name = format!("OUTBOXD_{}", key.to_uppercase().replace('.', "__"));
        self.env(&name, value)
    }

    #[must_use]
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A configuration file with this content; what `set` says wins over it.
    pub fn file(mut self, toml: &str) -> Result<Self> {
        let mut file = NamedTempFile::with_suffix(".toml")?;
        file.write_all(toml.as_bytes())?;
        self.file = Some(Arc::new(file.into_temp_path()));
        Ok(self)
    }

    /// No more file descriptors than that.
    #[must_use]
    pub fn open_files_max(mut self, count: u32) -> Self {
        self.shell = Some(format!(r#"ulimit -n {count} && exec "$0" "$@""#));
        self
    }

    /// Its log goes to a disk that is full, and tells nothing to the test either.
    #[must_use]
    pub fn log_to_full_disk(mut self) -> Self {
        self.shell = Some(r#"exec "$0" "$@" 2>/dev/full"#.to_owned());
        self
    }

    /// Announces an error by its event or code: it does not fail the test.
    #[must_use]
    pub fn expect_error(mut self, code: &str) -> Self {
        self.expected.insert(code.to_owned());
        self
    }

    /// Runs a command that ends by itself, for what it prints.
    pub async fn output(&self) -> Result<Output> {
        let mut command = self.command()?;
        let output = timeout(DEADLINE, command.stdout(Stdio::piped()).output()).await;
        Ok(output.context("the command runs on")??)
    }

    pub fn spawn(&self) -> Result<RelayProcess> {
        let mut child = self.command()?.spawn().context("start the relay")?;
        let id = child.id().context("a child that was not waited for has an id")?;
        let guard = Guard::over(id)?;
        let stderr = child.stderr.take().context("stderr is piped")?.into_owned_fd()?;
        let log = Log::read(fs::File::from(stderr));
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw).context("a process id")?;
        Ok(RelayProcess { child, pid, guard, log, expected: self.expected.clone() })
    }

    fn command(&self) -> Result<Command> {
        let mut command = self.program()?;
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_ours(name)) {
            command.env_remove(name);
        }
        command
            .args(&self.args)
            .envs(self.settings.iter().cloned())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(file) = &self.file {
            command.arg("--config").arg(file.as_os_str());
        }
        Ok(command)
    }

    fn program(&self) -> Result<Command> {
        let binary = binary::path()?;
        let Some(script) = &self.shell else { return Ok(Command::new(binary)) };
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(script).arg(binary);
        Ok(shell)
    }

    /// Runs it until it dies at the failpoint `<step>:<pass>`.
    pub async fn die_at(&self, failpoint: &str) -> Result<RelayProcess> {
        let mut relay = self.clone().set("failpoint", failpoint).spawn()?;
        let status = relay.wait().await?;
        ensure!(status.signal() == Some(Signal::ABORT.as_raw()), "ended otherwise: {status}");
        Ok(relay)
    }

    /// Spawns and waits until the stream runs.
    pub async fn start(&self) -> Result<RelayProcess> {
        let relay = self.spawn()?;
        relay.wait_event("slot.streaming").await?;
        Ok(relay)
    }
}

impl RelayProcess {
    /// The first line with that event, whether it was said already or not.
    pub async fn wait_event(&self, event: &str) -> Result<Line> {
        self.wait_event_after(0, event).await
    }

    /// The first one past a [`Self::mark`].
    pub async fn wait_event_after(&self, mark: usize, event: &str) -> Result<Line> {
        let found = timeout(DEADLINE, self.log.find(mark, |line| line.event() == event)).await;
        found.ok().flatten().with_context(|| format!("the relay never said {event}"))
    }

    /// Where the log ends now: what is awaited after an act is awaited from a mark before it.
    pub fn mark(&self) -> usize {
        self.log.len()
    }

    pub fn lines(&self) -> Vec<Line> {
        self.log.lines()
    }

    /// Announces an error that an act to come will cause.
    pub fn expect_error(&mut self, code: &str) {
        self.expected.insert(code.to_owned());
    }

    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits for its end by itself, and for all it had to say.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        let status = timeout(DEADLINE, self.child.wait()).await.context("the relay runs on")??;
        self.guard.release();
        self.log.find(usize::MAX, |_| false).await;
        Ok(status)
    }

    /// Waits for its end, which must be with that exit code and that reported error.
    pub async fn wait_stop(&mut self, exit_code: i32, code: &str) -> Result<Vec<Line>> {
        self.expect_error(code);
        let status = self.wait().await?;
        let lines = self.lines();
        ensure!(status.code() == Some(exit_code), "ended with {status}, not {exit_code}");
        let report = format!("error[{code}]: ");
        ensure!(lines.iter().any(|line| line.text.starts_with(&report)), "no report of {code}");
        Ok(lines)
    }

    /// Asks it to end in order, as an operator would.
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        kill_process(self.pid, Signal::TERM).context("terminate")?;
        self.wait().await
    }

    /// Kills it as a power cut would.
    pub async fn kill(&mut self) -> Result<()> {
        kill_process(self.pid, Signal::KILL).context("kill")?;
        let status = self.wait().await?;
        ensure!(status.signal() == Some(Signal::KILL.as_raw()), "ended by itself: {status}");
        Ok(())
    }

    /// Suspends it; when this returns, none of its threads runs.
    pub async fn freeze(&self) -> Result<()> {
        kill_process(self.pid, Signal::STOP).context("freeze")?;
        self.wait_frozen().await
    }

    /// Waits until it stands still, as it does at a failpoint `<step>:<pass>:freeze`.
    pub async fn wait_frozen(&self) -> Result<()> {
        let pid = self.pid();
        eventually("frozen", || async move { Ok(is_frozen(pid)?.then_some(())) }).await
    }

    pub fn thaw(&self) -> Result<()> {
        kill_process(self.pid, Signal::CONT).context("thaw")
    }

    /// The most memory it ever held at once.
    pub fn peak_rss_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).context("no VmHWM")?;
        Ok(kib.trim().parse::<u64>()? * 1024)
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        let unexpected = self.log.unexpected_errors(&self.expected);
        // What a test prints is shown when it fails.
        let lines = self.log.lines();
        let last = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
        let text: Vec<&str> = last.iter().map(|line| line.text.as_str()).collect();
        println!("log of relay {}:\n{}", self.pid(), text.join("\n"));
        if !std::thread::panicking() && !unexpected.is_empty() {
            panic!("the relay said errors that no test announced: {unexpected:#?}");
        }
    }
}

/// What configures a relay in the environment of the test run.
fn is_ours(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name == "DATABASE_URL" || name.starts_with("OUTBOXD_")
}

fn is_frozen(pid: u32) -> Result<bool> {
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let Some(stat) = of_thread(&task?.path().join("stat"))? else { return Ok(false) };
        let state = stat.rsplit_once(") ").and_then(|(_, tail)| tail.chars().next());
        if state != Some('T') {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Nothing where the thread has ended since it was listed: no file any more, or no process behind it.
fn of_thread(file: &Path) -> Result<Option<String>> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::SRCH) => Ok(None),
        text => Ok(Some(text?)),
    }
}

/// Starts a relay on a database.
pub fn relay_on(database: &Database, kafka: &str) -> RelayCommand {
    RelayCommand::run(database.url(), kafka)
}

/// The same, where the way to Postgres leads through a proxy.
pub fn relay_through(proxy: &Proxy, database: &Database, kafka: &str) -> RelayCommand {
    let url = format!("postgres://postgres@{}/{}", proxy.address(), database.name());
    RelayCommand::run(&url, kafka)
}

const LINES_SHOWN: usize = 100;
