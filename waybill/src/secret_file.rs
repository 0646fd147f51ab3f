//! Secrets that live in files which only their owner can read.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use service_kit::config::Secret;

/// Hexadecimal digits of a secret that is made up: 256 bits.
const DIGITS: usize = 64;

/// The secret in the file, which is made up and stored first where there is no file.
pub(crate) fn read_or_make(path: &Path) -> io::Result<Secret> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret = random();
            write(path, secret.expose())?;
            Ok(secret)
        }
        known => known,
    }
}

/// The secret in the file.
pub(crate) fn read(path: &Path) -> io::Result<Secret> {
    let text = fs::read_to_string(path)?;
    let text = text.trim();
    if text.len() < DIGITS {
        let problem = format!("it holds no secret of {DIGITS} digits; delete it to have a new one made");
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    Ok(Secret::new(text))
}

/// Puts `text` and a line break into the file, whole or not at all, with mode 0600 from its first moment.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let _ = fs::remove_file(&draft);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fs::rename(&draft, path)
}

/// A secret that nobody guesses.
pub(crate) fn random() -> Secret {
    Secret::new(format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_readable_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let secret = read_or_make(&path).unwrap();
        assert_eq!(secret.expose().len(), DIGITS);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read_or_make(&path).unwrap(), secret);
    }

    #[test]
    fn two_secrets_differ() {
        assert_ne!(random(), random());
    }

    #[test]
    fn a_file_that_was_emptied_signs_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "\n").unwrap();
        assert_eq!(read_or_make(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
