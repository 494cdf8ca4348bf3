//! Who is told what: the settings of webhook and OTLP.

use std::fmt;
use std::str::FromStr;

use axum::http::Uri;
use serde::{Deserialize, Deserializer, de};

use crate::base::Nanos;
use crate::daemon::config::duration;

/// Of http, if none is said.
const HTTP_PORT: u16 = 80;
/// Where a receiver of OTLP takes metrics, if nothing else is said.
const OTLP_PATH: &str = "/v1/metrics";

/// `http://HOST:PORT/PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
    path: String,
}

impl Endpoint {
    pub(super) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// With the path that OTLP has by itself, if none is said.
    pub(super) fn for_otlp(&self) -> Self {
        let path = if self.path == "/" { OTLP_PATH } else { &self.path };
        Self { path: path.to_owned(), ..self.clone() }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.path)
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|_| format!("`{text}` is no http://HOST:PORT/PATH"))?;
        if uri.scheme_str() != Some("http") {
            return Err(format!("`{text}`: only http:// is spoken, there is no TLS"));
        }
        let authority = uri.authority().map(axum::http::uri::Authority::as_str).unwrap_or_default();
        if authority.contains('@') {
            return Err(format!("`{text}`: a name and a password in it are not used"));
        }
        let host = uri.host().unwrap_or_default();
        if host.is_empty() {
            return Err(format!("`{text}` names no host"));
        }
        Ok(Self {
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(HTTP_PORT),
            path: uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
        })
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Events that are sent by POST.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventSettings {
    /// Without one, they are only written to stdout.
    pub webhook: Option<Endpoint>,
    /// Names of those that it is told.
    pub webhook_events: Vec<String>,
}

impl Default for EventSettings {
    fn default() -> Self {
        Self {
            webhook: None,
            webhook_events: vec!["finding_opened".to_owned(), "finding_closed".to_owned()],
        }
    }
}

/// Metrics that are pushed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Otlp {
    /// Without one, none.
    pub endpoint: Option<Endpoint>,
    #[serde(deserialize_with = "duration")]
    pub every: Nanos,
}

impl Default for Otlp {
    fn default() -> Self {
        Self { endpoint: None, every: Nanos::from_mins(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_read() {
        for (text, shown) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/"),
            ("http://collector/a/b?c=d", "http://collector:80/a/b?c=d"),
            ("http://[::1]:9/x", "http://[::1]:9/x"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), shown);
        }
        for (text, said) in [
            ("https://127.0.0.1:4318", "no TLS"),
            ("http://user:secret@127.0.0.1/", "not used"),
            ("127.0.0.1:4318", "no TLS"),
            ("/path", "no TLS"),
            ("http://", "is no http"),
            ("http://a b/", "is no http"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn otlp_has_a_path_of_its_own() {
        let path = |text: &str| text.parse::<Endpoint>().unwrap().for_otlp().path().to_owned();
        assert_eq!(path("http://127.0.0.1:4318"), "/v1/metrics");
        assert_eq!(path("http://127.0.0.1:4318/"), "/v1/metrics");
        assert_eq!(path("http://127.0.0.1:9090/api/v1/otlp/v1/metrics"), "/api/v1/otlp/v1/metrics");
    }
}
