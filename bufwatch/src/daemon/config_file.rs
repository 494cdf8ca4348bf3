//! Reads files that the daemon must be able to trust: its settings and the token. Whoever could write to them could have it do as he likes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::daemon::config::{Config, SettingError};

/// Settings have some hundred bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Permission bits of others to write, and to read.
const WRITABLE_BY_OTHERS: u32 = 0o002;
const OF_OTHERS: u32 = 0o007;
/// Shorter ones can be guessed.
const TOKEN_BYTES_MIN: usize = 16;

/// Settings or a token that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("`{}` could not be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}` may be written by anybody: it is not believed", .0.display())]
    WorldWritable(PathBuf),
    #[error("`{}` belongs to user {uid}: it is not believed", path.display())]
    Foreign { path: PathBuf, uid: u32 },
    #[error("`{}` may be read by anybody: it is no secret", .0.display())]
    WorldReadable(PathBuf),
    #[error("`{}` has fewer than {TOKEN_BYTES_MIN} characters, or others than visible ASCII", .0.display())]
    WeakToken(PathBuf),
    #[error("`{}` is not as it should be: {what}", path.display())]
    Form { path: PathBuf, what: String },
    #[error("a setting is not as it should be: {0}")]
    Setting(#[from] SettingError),
}

impl ConfigError {
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Read { .. } => "does the file exist, and may bufwatch read it?",
            Self::WorldWritable(_) => "chmod o-w FILE",
            Self::Foreign { .. } => "chown it to root or to the user that bufwatch runs as",
            Self::WorldReadable(_) => "chmod 0600 FILE",
            Self::WeakToken(_) => "openssl rand -hex 32 > FILE",
            Self::Form { .. } | Self::Setting(_) => "docs/daemon.md lists all settings",
        }
    }
}

/// Settings of a file, not checked: flags come over them.
pub fn read_config(path: &Path) -> Result<Config, ConfigError> {
    let text = read_trusted(path)?;
    toml::from_str(&text).map_err(|error| ConfigError::Form {
        path: path.to_owned(),
        what: error.to_string().trim_end().to_owned(),
    })
}

/// The token that a file has.
pub fn read_token(path: &Path) -> Result<String, ConfigError> {
    let (file, mode) = open_trusted(path)?;
    if mode & OF_OTHERS != 0 {
        return Err(ConfigError::WorldReadable(path.to_owned()));
    }
    let token = read_text(file, path)?.trim().to_owned();
    let is_fine = token.len() >= TOKEN_BYTES_MIN && token.bytes().all(|it| it.is_ascii_graphic());
    if is_fine { Ok(token) } else { Err(ConfigError::WeakToken(path.to_owned())) }
}

fn read_trusted(path: &Path) -> Result<String, ConfigError> {
    let (file, _) = open_trusted(path)?;
    read_text(file, path)
}

fn open_trusted(path: &Path) -> Result<(File, u32), ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    // A pipe in its place is not waited for.
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
    let file = file.map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::other("it is not a file")));
    }
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(ConfigError::WorldWritable(path.to_owned()));
    }
    let (uid, own) = (metadata.uid(), nix::unistd::geteuid().as_raw());
    if uid != 0 && uid != own {
        return Err(ConfigError::Foreign { path: path.to_owned(), uid });
    }
    Ok((file, metadata.mode()))
}

fn read_text(file: File, path: &Path) -> Result<String, ConfigError> {
    let mut text = String::new();
    file.take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn what_anybody_may_write_is_not_believed() {
        let (_folder, path) = file("scan_every = 5", 0o666);
        assert!(matches!(read_config(&path), Err(ConfigError::WorldWritable(_))));
        let (_folder, path) = file("scan_every = 5", 0o644);
        assert_eq!(read_config(&path).unwrap().scan_every, crate::base::Nanos::from_secs(5));
    }

    #[test]
    fn a_token_is_a_secret() {
        let token = "0123456789abcdef";
        let (_folder, path) = file(token, 0o644);
        assert!(matches!(read_token(&path), Err(ConfigError::WorldReadable(_))));
        let (_folder, path) = file("short\n", 0o600);
        assert!(matches!(read_token(&path), Err(ConfigError::WeakToken(_))));
        let (_folder, path) = file("0123456789abcdef\n", 0o600);
        assert_eq!(read_token(&path).unwrap(), token);
    }

    #[test]
    fn a_folder_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read_config(folder.path()), Err(ConfigError::Read { .. })));
    }
}
