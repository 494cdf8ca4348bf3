//! A process of a daemon as a dashboard elsewhere is told of it: everything that a snapshot has, as JSON (`bufwatch.live/1`). No contract with
//! scripts, for which there are samples: it changes with the snapshot, and both sides say which bufwatch they are.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::analysis::Snapshot;
use crate::analysis::query::StoreQuery;
use crate::base::StoreKey;

/// Of the daemon; another one may have other snapshots.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What is told of one moment.
#[derive(Debug, Serialize)]
struct Told<'a> {
    bufwatch: &'a str,
    snapshot: &'a Snapshot,
    has_censuses: bool,
}

/// The same, read.
#[derive(Debug, Deserialize)]
struct Read {
    bufwatch: String,
    snapshot: Snapshot,
    /// The censuses are in it: they are large, and are sent once.
    has_censuses: bool,
}

/// What a dashboard wants to see besides what there is always.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Look {
    pub query: Option<StoreQuery>,
    /// `None` inside: of no store.
    pub detail: Option<Option<StoreKey>>,
}

/// What was read is not what this bufwatch tells.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    #[error("it is bufwatch {0}, this one is {VERSION}")]
    Version(String),
    #[error("its answer is not understood: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// `n_censuses`: so many were taken when the dashboard was told of them last.
pub fn encode(snapshot: &Snapshot, n_censuses: Option<u64>) -> serde_json::Result<Vec<u8>> {
    let has_censuses = n_censuses != Some(snapshot.census.n_taken);
    let bare = (!has_censuses).then(|| {
        let mut bare = snapshot.clone();
        (bare.census.last, bare.census.previous) = (None, None);
        bare
    });
    let snapshot = bare.as_ref().unwrap_or(snapshot);
    serde_json::to_vec(&Told { bufwatch: VERSION, snapshot, has_censuses })
}

/// `before`: what was read last, of which the censuses are if they are not sent again.
pub fn decode(bytes: &[u8], before: Option<&Snapshot>) -> Result<Snapshot, LiveError> {
    #[derive(Deserialize)]
    struct Version {
        bufwatch: String,
    }
    let read: Result<Read, _> = serde_json::from_slice(bytes);
    let Read { bufwatch, mut snapshot, has_censuses } = match read {
        Ok(read) => read,
        // Which version it is, is the better message if it is another one.
        Err(error) => {
            let version: Result<Version, _> = serde_json::from_slice(bytes);
            let other = version.ok().filter(|it| it.bufwatch != VERSION);
            return Err(other.map_or(error.into(), |it| LiveError::Version(it.bufwatch)));
        }
    };
    if bufwatch != VERSION {
        return Err(LiveError::Version(bufwatch));
    }
    if let Some(before) = before.filter(|_| !has_censuses) {
        snapshot.census.last = before.census.last.as_ref().map(Arc::clone);
        snapshot.census.previous = before.census.previous.as_ref().map(Arc::clone);
    }
    Ok(snapshot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::snapshot::JoinedCensus;

    #[test]
    fn censuses_are_told_once() {
        let mut snapshot = Snapshot::blank();
        snapshot.census.n_taken = 1;
        snapshot.census.last = Some(Arc::new(JoinedCensus::default()));
        let first = decode(&encode(&snapshot, None).unwrap(), None).unwrap();
        assert!(first.census.last.is_some());
        let again = encode(&snapshot, Some(1)).unwrap();
        assert!(decode(&again, None).unwrap().census.last.is_none());
        let kept = decode(&again, Some(&first)).unwrap().census.last.unwrap();
        assert!(Arc::ptr_eq(&kept, first.census.last.as_ref().unwrap()));
        snapshot.census.n_taken = 2;
        let next = decode(&encode(&snapshot, Some(1)).unwrap(), Some(&first)).unwrap();
        assert!(!Arc::ptr_eq(next.census.last.as_ref().unwrap(), &kept));
    }

    #[test]
    fn another_version_is_named() {
        let text = r#"{"bufwatch":"99.0.0","snapshot":{},"has_censuses":true}"#;
        assert!(
            matches!(decode(text.as_bytes(), None), Err(LiveError::Version(it)) if it == "99.0.0")
        );
        for text in ["", "{}", "[1]", "\u{0}", r#"{"bufwatch":"0.1.0"}"#] {
            assert!(
                matches!(decode(text.as_bytes(), None), Err(LiveError::Malformed(_))),
                "{text}"
            );
        }
    }
}
