//! What a user sees: each command's output, exit status and errors, as snapshots.
//!
//! Every run has an empty environment and a folder of its own, and names files by relative paths,
//! so that the snapshots are the same on every machine.

use std::fs;

use assert_cmd::Command;
use insta::assert_snapshot;
use tempfile::TempDir;

const MINIMUM: &str = "--database-url postgres://app:hunter2@db/shop --kafka kafka:9092";

/// A command line with its surroundings.
struct Outboxd {
    folder: TempDir,
    command: Command,
}

impl Outboxd {
    fn new(line: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_outboxd"));
        command.env_clear().current_dir(folder.path()).args(line.split_whitespace());
        Self { folder, command }
    }

    /// `config <action>` with all that is required, and this file.
    fn config(action: &str, file: &str) -> Self {
        Self::new(&format!("config {action} --config outboxd.toml {MINIMUM}")).file(file)
    }

    fn file(self, text: &str) -> Self {
        fs::write(self.folder.path().join("outboxd.toml"), text).expect("a writable folder");
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    fn run(mut self) -> String {
        let output = self.command.output().expect("outboxd starts");
        let status = output.status.code().expect("outboxd exits");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("outboxd prints text");
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        let text = format!("exit: {status}\n--- stdout\n{stdout}--- stderr\n{stderr}");
        assert!(!text.contains("hunter2"), "a secret is shown:\n{text}");
        text
    }
}

fn validate(file: &str) -> String {
    Outboxd::config("validate", file).run()
}

#[test]
fn a_valid_configuration() {
    assert_snapshot!(validate("[log]\nlevel = 'info'\n"));
}

#[test]
fn logs_are_json_lines_on_stderr_without_a_terminal() {
    let text = validate("[log]\nlevel = 'debug'\n");
    let log = text.lines().last().unwrap_or_default();
    let log: serde_json::Value = serde_json::from_str(log).expect("a JSON line");
    assert_eq!(log["level"], "debug");
    assert_eq!(log["event"], "config.loaded");
    assert_eq!(log["msg"], "configuration read");
    assert_eq!(log["name"], "outboxd_shop");
}

#[test]
fn a_misspelt_key() {
    assert_snapshot!(validate("[kafka]\nbootstrap_server = 'kafka:9092'\n"));
}

#[test]
fn a_misspelt_variable() {
    let outboxd = Outboxd::config("validate", "").variable("OUTBOXD_KAFKA__LINGR", "1ms");
    assert_snapshot!(outboxd.run());
}

#[test]
fn an_unknown_section() {
    assert_snapshot!(validate("[sorce]\nslot = 'x'\n"));
}

#[test]
fn a_wrong_type() {
    assert_snapshot!(validate("[delivery]\nprogress_interval = 100\n"));
}

#[test]
fn several_problems() {
    assert_snapshot!(validate("[http]\nlisten = 80\nport = 80\n[errors]\nmax_parked = 0\n"));
}

#[test]
fn invalid_toml() {
    assert_snapshot!(validate("[kafka.security.sasl]\npassword = 'hunter2\n"));
}

#[test]
fn an_absent_file() {
    assert_snapshot!(Outboxd::new("config validate --config none.toml").run());
}

#[test]
fn no_database() {
    assert_snapshot!(Outboxd::new("config validate --kafka kafka:9092").run());
}

#[test]
fn no_kafka() {
    let outboxd = Outboxd::new("config validate").variable("DATABASE_URL", "postgres://db/shop");
    assert_snapshot!(outboxd.run());
}

#[test]
fn what_comes_later() {
    assert_snapshot!(validate("[format]\nmode = 'cloudevents'\n"));
}

#[test]
fn an_unset_variable_in_the_file() {
    assert_snapshot!(validate("[source]\nname = '${RELAY_NAME:?one name per relay}'\n"));
}

#[test]
fn print_the_effective_configuration() {
    let file = "[kafka.security]\nprotocol = 'SASL_SSL'\n[kafka.security.sasl]\n\
                mechanism = 'PLAIN'\nusername = 'relay'\npassword = '${PASSWORD}'\n\
                [columns]\nextra = [{ column = 'tenant', as = 'x-tenant' }]\n";
    let outboxd = Outboxd::config("print", file)
        .variable("PASSWORD", "hunter2")
        .variable("OUTBOXD_TOPIC__MAP", "order=orders");
    assert_snapshot!(outboxd.run());
}

#[test]
fn print_without_anything() {
    let text = Outboxd::new("config print").run();
    assert!(text.starts_with("exit: 0\n--- stdout\n[source]\n# url is not set\n"), "{text}");
}

#[test]
fn the_file_may_be_named_by_the_environment() {
    let outboxd = Outboxd::new(&format!("config validate {MINIMUM}"));
    let outboxd = outboxd.file("x = 1").variable("OUTBOXD_CONFIG", "outboxd.toml");
    assert_snapshot!(outboxd.run());
}

#[test]
fn a_flag_that_is_none() {
    assert_snapshot!(Outboxd::new("config validate --kafak x").run());
}

#[test]
fn the_version() {
    assert_snapshot!(Outboxd::new("version").run());
    assert_snapshot!("the_version_as_json", Outboxd::new("version --json").run());
}

#[test]
fn help() {
    assert_snapshot!(Outboxd::new("--help").run());
}

#[test]
fn help_of_config() {
    assert_snapshot!(Outboxd::new("config --help").run());
    assert_snapshot!("help_of_config_validate", Outboxd::new("config validate --help").run());
    assert_snapshot!("help_of_config_print", Outboxd::new("config print --help").run());
}

#[test]
fn help_of_migrate() {
    assert_snapshot!(Outboxd::new("migrate --help").run());
    assert_snapshot!("help_of_migrate_up", Outboxd::new("migrate up --help").run());
    assert_snapshot!("help_of_migrate_status", Outboxd::new("migrate status --help").run());
    assert_snapshot!("help_of_migrate_print", Outboxd::new("migrate print --help").run());
}

#[test]
fn a_schema_belongs_to_one_part() {
    assert_snapshot!(Outboxd::new("migrate print --only dead-letters --schema x").run());
    let outboxd = Outboxd::new("migrate print --schema x");
    assert_snapshot!("a_schema_without_a_part", outboxd.run());
}

#[test]
fn help_of_the_rest() {
    assert_snapshot!("help_of_version", Outboxd::new("version --help").run());
    assert_snapshot!("help_of_completions", Outboxd::new("completions --help").run());
}

#[test]
fn completions_for_each_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let text = Outboxd::new(&format!("completions {shell}")).run();
        assert!(text.starts_with("exit: 0\n") && text.contains("database-url"), "{shell}: {text}");
        assert!(text.ends_with("--- stderr\n"), "{shell}");
    }
}
