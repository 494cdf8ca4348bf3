//! Who is answered. Over TCP: who knows the token, if there is one; without one, who is on this host and no page in somebody's browser. On a
//! unix socket the kernel has decided.

use axum::http::{HeaderMap, Method, header};
use sha2::{Digest as _, Sha256};

/// Names of loopback that a browser on this host would use; any other in `Host` is a name that was made to lead here (DNS rebinding).
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// A token, as its hash, so that comparing takes the same time however much of it is right.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    pub fn new(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

/// What is asked of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// By the permissions of a socket.
    Anybody,
    /// Over loopback, without a token.
    Local,
    Token(Secret),
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NoToken,
    ForeignHost,
    FromAPage,
}

impl Access {
    pub(super) fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
        match self {
            Self::Anybody => Ok(()),
            Self::Token(secret) => {
                let given = headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
                let token = given.and_then(|given| given.strip_prefix("Bearer "));
                if token.is_some_and(|token| Secret::new(token.trim()) == *secret) {
                    Ok(())
                } else {
                    Err(Refusal::NoToken)
                }
            }
            Self::Local => {
                let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
                let name = host.map(|host| host.rsplit_once(':').map_or(host, |it| it.0));
                // `[::1]` without a port has colons of its own.
                let is_local =
                    name.is_none_or(|name| LOCAL_NAMES.contains(&name)) || host == Some("[::1]");
                if !is_local {
                    return Err(Refusal::ForeignHost);
                }
                if *method != Method::GET && headers.contains_key(header::ORIGIN) {
                    return Err(Refusal::FromAPage);
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_token_must_be_right() {
        let access = Access::Token(Secret::new("0123456789abcdef"));
        let with = |value| access.check(&Method::GET, &headers(&[(header::AUTHORIZATION, value)]));
        assert_eq!(with("Bearer 0123456789abcdef"), Ok(()));
        for wrong in ["Bearer 0123456789abcde", "0123456789abcdef", "Bearer ", "Basic MDEy"] {
            assert_eq!(with(wrong), Err(Refusal::NoToken), "{wrong}");
        }
        assert_eq!(access.check(&Method::GET, &HeaderMap::new()), Err(Refusal::NoToken));
    }

    #[test]
    fn a_page_in_a_browser_is_not_answered() {
        let check = |method: &Method, pairs: &[(header::HeaderName, &str)]| {
            Access::Local.check(method, &headers(pairs))
        };
        for host in ["localhost:9478", "127.0.0.1:9478", "127.0.0.1", "[::1]:9478", "[::1]"] {
            assert_eq!(check(&Method::GET, &[(header::HOST, host)]), Ok(()), "{host}");
        }
        let evil = [(header::HOST, "evil.example:9478")];
        assert_eq!(check(&Method::GET, &evil), Err(Refusal::ForeignHost));
        let page = [(header::HOST, "localhost"), (header::ORIGIN, "http://evil.example")];
        assert_eq!(check(&Method::POST, &page), Err(Refusal::FromAPage));
    }
}
