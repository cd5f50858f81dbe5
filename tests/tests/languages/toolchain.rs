//! The languages that have an example, and how each is made ready.
//!
//! Built in a folder below `target`, so that a checkout stays clean and a second run finds everything
//! there; what is downloaded comes through each language's own client and its usual cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// An example that can be run.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) language: &'static str,
    command: Vec<String>,
}

/// What has to be there, and what makes a program of an example.
struct Toolchain {
    language: &'static str,
    tools: &'static [&'static str],
    /// Shell, in a copy of the example.
    build: &'static str,
    /// `{}` is the folder of that copy, and a name in brackets the content of a file in it.
    run: &'static [&'static str],
}

impl Program {
    pub(crate) fn command(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.command[0]);
        command.args(&self.command[1..]);
        command
    }
}

/// Every language: its program, or which tool is missing.
pub(crate) fn prepare_all() -> Result<Vec<std::result::Result<Program, String>>> {
    let mut prepared = vec![Ok(rust())];
    std::thread::scope(|scope| {
        let work: Vec<_> = TOOLCHAINS.iter().map(|one| scope.spawn(|| prepare(one))).collect();
        for one in work {
            prepared.push(one.join().expect("preparing an example does not panic")?);
        }
        Ok(prepared)
    })
}

/// Built together with this test.
fn rust() -> Program {
    Program { language: "rust", command: vec![env!("CARGO_BIN_EXE_example-shop").to_owned()] }
}

fn prepare(toolchain: &Toolchain) -> Result<std::result::Result<Program, String>> {
    let language = toolchain.language;
    if let Some(missing) = toolchain.tools.iter().find(|tool| !is_installed(tool)) {
        return Ok(Err(format!("{language}: no {missing}")));
    }
    let folder = copy(language)?;
    let mut build = Command::new("bash");
    build.args(["-euc", toolchain.build]).current_dir(&folder);
    let built = build.output()?;
    let said = String::from_utf8_lossy(&built.stdout) + String::from_utf8_lossy(&built.stderr);
    ensure!(built.status.success(), "build the example in {language}:\n{said}");
    let command = toolchain.run.iter().map(|word| fill(word, &folder));
    Ok(Ok(Program { language, command: command.collect::<Result<_>>()? }))
}

fn fill(word: &str, folder: &Path) -> Result<String> {
    let word = word.replace("{}", &folder.display().to_string());
    let Some((before, rest)) = word.split_once('[') else { return Ok(word) };
    let (file, after) = rest.split_once(']').context("a closing bracket")?;
    let content = fs::read_to_string(folder.join(file))?;
    Ok(format!("{before}{}{after}", content.trim()))
}

fn is_installed(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(tool).is_file())
}

/// Sources over those of an earlier run; what that run has built stays.
fn copy(language: &str) -> Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(language);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("examples").join(language);
    fs::create_dir_all(&folder)?;
    let copied = Command::new("cp").arg("-R").arg(source.join(".")).arg(&folder).status()?;
    ensure!(copied.success(), "copy {}", source.display());
    Ok(folder)
}

const TOOLCHAINS: [Toolchain; 4] = [
    Toolchain {
        language: "python",
        tools: &["python3"],
        build: "[ -x venv/bin/pip ] || python3 -m venv venv\n\
                venv/bin/pip install --quiet --requirement requirements.txt",
        run: &["{}/venv/bin/python", "{}/shop.py"],
    },
    Toolchain {
        language: "java",
        tools: &["javac", "java", "mvn"],
        build: "mvn -q -B compile dependency:build-classpath -Dmdep.outputFile=classpath",
        run: &[
            "java",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            "{}/target/classes:[classpath]",
            "shop.Shop",
        ],
    },
    Toolchain {
        language: "go",
        tools: &["go"],
        build: "go vet ./... && go build -mod=readonly -o shop .",
        run: &["{}/shop"],
    },
    Toolchain {
        language: "node",
        tools: &["node", "npm"],
        build: "cmp -s package-lock.json installed.json || npm ci --silent\n\
                cp package-lock.json installed.json",
        run: &["node", "{}/shop.js"],
    },
];
