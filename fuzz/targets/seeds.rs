//! Writes the seeds of every target: `cargo run --bin seeds -- FOLDER`.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use outboxd_fuzz::seeds;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(env::args().nth(1).ok_or("a folder for the seeds is missing")?);
    for (target, seeds) in seeds::all() {
        let folder = folder.join(target);
        fs::create_dir_all(&folder)?;
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:02}")), seed)?;
        }
    }
    Ok(())
}
