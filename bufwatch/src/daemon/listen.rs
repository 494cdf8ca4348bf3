//! Where HTTP is spoken, as it is typed: by the daemon, and by who asks one. Listening and connecting are done by others.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

/// Where `bufwatch daemon` listens if nothing else is said.
const DEFAULT_PORT: u16 = 9_478;

/// Where HTTP is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Default for Listen {
    fn default() -> Self {
        Self::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), DEFAULT_PORT))
    }
}

impl Listen {
    /// Others than those of this host may ask.
    pub const fn is_open(&self) -> bool {
        match self {
            Self::Tcp(address) => !address.ip().is_loopback(),
            Self::Unix(_) => false,
        }
    }
}

/// As it is typed.
impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            let error = "the path of a unix socket must be absolute: unix:/run/bufwatch.sock";
            return if path.is_absolute() { Ok(Self::Unix(path)) } else { Err(error.to_owned()) };
        }
        text.parse().map(Self::Tcp).map_err(|_| {
            format!("`{text}` is neither ADDRESS:PORT (127.0.0.1:{DEFAULT_PORT}) nor unix:/PATH")
        })
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
