//! Secrets: given in place, or in a file that is read again each time, so that a rotated password
//! is picked up by the next connection. Never shown by `Debug`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use secrecy::SecretString;

#[derive(Clone, Debug)]
pub enum Secret {
    Value(SecretString),
    File(PathBuf),
}

impl Secret {
    /// The secret as it is now.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        match self {
            Self::Value(value) => Ok(value.clone()),
            Self::File(path) => read_file(path),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("cannot read the secret in {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("the secret in {path} is empty")]
    Empty { path: PathBuf },
    #[error("the secret in {path} is longer than {SECRET_BYTES_MAX} bytes")]
    TooLong { path: PathBuf },
}

/// Ends of line after the secret are an editor's, not part of it.
fn read_file(path: &Path) -> Result<SecretString, SecretError> {
    let path = path.to_owned();
    let text = match read_bounded(&path) {
        Ok(text) => text,
        Err(source) => return Err(SecretError::Read { path, source }),
    };
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(SecretError::TooLong { path });
    }
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(SecretError::Empty { path }),
        secret => Ok(SecretString::from(secret)),
    }
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text)?;
    Ok(text)
}

const SECRET_BYTES_MAX: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::fs;

    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_file_is_read_again_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let secret = Secret::File(path.clone());
        assert!(matches!(secret.read(), Err(SecretError::Read { .. })));
        fs::write(&path, " first\r\n\n").unwrap();
        assert_eq!(secret.read().unwrap().expose_secret(), " first");
        fs::write(&path, "second").unwrap();
        assert_eq!(secret.read().unwrap().expose_secret(), "second");
    }

    #[test]
    fn an_empty_or_endless_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, "\n").unwrap();
        assert!(matches!(read_file(&path), Err(SecretError::Empty { .. })));
        assert!(matches!(read_file(Path::new("/dev/zero")), Err(SecretError::TooLong { .. })));
    }

    #[test]
    fn is_not_in_debug_output() {
        let secret = Secret::Value(SecretString::from("hunter2"));
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
}
