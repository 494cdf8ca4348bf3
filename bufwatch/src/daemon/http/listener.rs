//! The socket that HTTP is spoken on. A second daemon on the same socket is refused; what one that was killed has left is taken over.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{
    FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::daemon::listen::Listen;

/// Only its owner and group may connect.
const SOCKET_MODE: u32 = 0o660;

/// A socket that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("another bufwatch daemon listens on `{0}`")]
    Taken(String),
    #[error("`{}` is there and is not a socket", .0.display())]
    NotASocket(PathBuf),
    #[error("cannot listen on `{on}`: {source}")]
    Failed { on: String, source: io::Error },
}

impl ListenError {
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Taken(_) => {
                "one daemon watches the whole host; end the other one, or listen elsewhere"
            }
            Self::NotASocket(_) => "name another path",
            Self::Failed { .. } => "may bufwatch use this address or folder?",
        }
    }
}

/// Bound, and listening.
#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener),
    Unix { listener: UnixListener, path: PathBuf, lock: Flock<File> },
}

/// Somebody who connected.
#[derive(Debug)]
pub(super) enum Connection {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    pub async fn bind(listen: &Listen) -> Result<Self, ListenError> {
        match listen {
            Listen::Tcp(address) => match TcpListener::bind(address).await {
                Ok(listener) => Ok(Self::Tcp(listener)),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    Err(ListenError::Taken(address.to_string()))
                }
                Err(source) => Err(ListenError::Failed { on: address.to_string(), source }),
            },
            Listen::Unix(path) => bind_unix(path),
        }
    }

    /// As clients name it; the port is the one that the system chose.
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => {
                listener.local_addr().map_or_else(|_| String::new(), |address| address.to_string())
            }
            Self::Unix { path, .. } => format!("unix:{}", path.display()),
        }
    }

    pub(super) async fn accept(&self) -> io::Result<Connection> {
        match self {
            Self::Tcp(listener) => {
                listener.accept().await.map(|(stream, _)| Connection::Tcp(stream))
            }
            Self::Unix { listener, .. } => {
                listener.accept().await.map(|(stream, _)| Connection::Unix(stream))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let Self::Unix { path, lock, .. } = self else { return };
        // While the lock is held nobody else has put a socket there.
        if let Err(error) = fs::remove_file(&*path) {
            tracing::debug!(%error, "the socket had gone");
        }
        tracing::debug!(?lock, "unlocked when it is dropped");
    }
}

/// The lock tells a daemon that lives from the socket of one that was killed.
fn bind_unix(path: &Path) -> Result<Listener, ListenError> {
    let on = || format!("unix:{}", path.display());
    let failed = |source| ListenError::Failed { on: on(), source };
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let no_follow = nix::fcntl::OFlag::O_NOFOLLOW.bits();
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(no_follow);
    let file = options.open(beside).map_err(failed)?;
    let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| {
        if error == nix::errno::Errno::EWOULDBLOCK {
            ListenError::Taken(on())
        } else {
            failed(error.into())
        }
    })?;
    match fs::symlink_metadata(path) {
        Ok(old) if old.file_type().is_socket() => {
            tracing::debug!(uid = old.uid(), "a socket without a daemon is replaced");
            fs::remove_file(path).map_err(failed)?;
        }
        Ok(_) => return Err(ListenError::NotASocket(path.to_owned())),
        Err(_) => {}
    }
    let listener = StdUnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let listener = UnixListener::from_std(listener).map_err(failed)?;
    Ok(Listener::Unix { listener, path: path.to_owned(), lock })
}
