//! Tells systemd how far the daemon is (`sd_notify(3)`), where it was started by it. Nobody listening is no error.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::sys::clock;

/// Where messages go; `None`: nowhere.
#[derive(Debug)]
pub struct Notify {
    socket: Option<(UnixDatagram, SocketAddr)>,
}

impl Notify {
    /// `name`: what `NOTIFY_SOCKET` says.
    pub fn new(name: Option<&OsString>) -> Self {
        let open = |name: &OsString| -> io::Result<(UnixDatagram, SocketAddr)> {
            let address = match name.as_bytes().split_first() {
                Some((b'@', rest)) => SocketAddr::from_abstract_name(rest)?,
                _ => SocketAddr::from_pathname(name)?,
            };
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            Ok((socket, address))
        };
        let socket = name.filter(|name| !name.is_empty()).map(open);
        let socket = socket.and_then(|opened| {
            opened.inspect_err(|error| tracing::warn!(%error, "NOTIFY_SOCKET is of no use")).ok()
        });
        Self { socket }
    }

    pub fn ready(&self) {
        self.send("READY=1");
    }

    pub fn status(&self, text: &str) {
        self.send(&format!("STATUS={text}"));
    }

    pub fn watchdog(&self) {
        self.send("WATCHDOG=1");
    }

    /// Settings are read again; `ready` says when that is done.
    pub fn reloading(&self) {
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", clock::now().0 / 1_000));
    }

    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    fn send(&self, message: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(message.as_bytes(), address)
        {
            tracing::debug!(%error, "systemd was not told");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        let notify = Notify::new(Some(&path.into_os_string()));
        notify.ready();
        let mut bytes = [0; 64];
        let n = listener.recv(&mut bytes).unwrap();
        assert_eq!(bytes.get(..n), Some(b"READY=1".as_slice()));
    }

    #[test]
    fn nobody_need_listen() {
        for name in [None, Some(OsString::new()), Some(OsString::from("/nowhere/at/all"))] {
            Notify::new(name.as_ref()).ready();
        }
    }
}
