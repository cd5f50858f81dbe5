//! The clock of day and the names of hosts as a relay sees them, which a test may put wrong.
//!
//! A library that is loaded before the C library stands in for both; it is built by the C compiler,
//! which the Kafka client takes as well.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::relay::RelayCommand;

#[derive(Debug)]
pub struct World {
    folder: TempDir,
    clock_shift_s: i64,
    names_fail: bool,
}

impl World {
    /// As it is.
    pub fn new() -> Result<Self> {
        let world = Self { folder: TempDir::new()?, clock_shift_s: 0, names_fail: false };
        let source = world.folder.path().join("world.c");
        fs::write(&source, include_str!("world.c"))?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(world.library()).arg(&source);
        let built = compiler.arg("-ldl").output().context("run the C compiler")?;
        ensure!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        fs::write(world.state(), world.words())?;
        Ok(world)
    }

    /// A relay that lives in it.
    pub fn of(&self, command: RelayCommand) -> RelayCommand {
        command
            .env("LD_PRELOAD", &self.library().to_string_lossy())
            .env("TESTS_WORLD", &self.state().to_string_lossy())
    }

    /// Ahead of the real clock, or behind it.
    pub fn shift_clock(&mut self, seconds: i64) -> Result<()> {
        self.clock_shift_s = seconds;
        self.write()
    }

    /// Whether names of hosts can be resolved. Numeric addresses always can.
    pub fn resolve_names(&mut self, works: bool) -> Result<()> {
        self.names_fail = !works;
        self.write()
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("world.so")
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// In place: the relay has the file mapped.
    fn write(&self) -> Result<()> {
        let mut file = OpenOptions::new().write(true).open(self.state())?;
        Ok(file.write_all(&self.words())?)
    }

    /// As the library reads them.
    fn words(&self) -> Vec<u8> {
        [self.clock_shift_s, i64::from(self.names_fail)].map(i64::to_ne_bytes).concat()
    }
}
