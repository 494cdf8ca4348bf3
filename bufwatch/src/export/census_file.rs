//! Reads back what `census_json` wrote, as far as a comparison needs it. Foreign or damaged files give an error, never a wrong outline.

use serde::Deserialize;

use crate::analysis::census_diff::{Group, Outline};
use crate::base::{Avma, Bytes, sanitize};
use crate::export::census_json::SCHEMA;

/// What a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CensusFile {
    pub pid: u32,
    /// Of the process, in clock ticks since boot; with the pid it says which process it was.
    pub start_ticks: Option<u64>,
    pub outline: Outline,
}

#[derive(Debug, thiserror::Error)]
pub enum CensusFileError {
    #[error("it is not JSON of a census: {0}")]
    Json(#[from] serde_json::Error),
    #[error("its schema is `{0}`, not `{SCHEMA}`")]
    Schema(String),
    #[error("`{0}` is not an address")]
    Address(String),
}

#[derive(Deserialize)]
struct Header {
    schema: String,
}

#[derive(Deserialize)]
struct Document {
    pid: u32,
    process_start_ticks: Option<u64>,
    n_parents_total: u64,
    total_bytes: u64,
    parents: Vec<ParentRow>,
    holders: Vec<GroupRow>,
}

#[derive(Deserialize)]
struct ParentRow {
    address: String,
    size_bytes: u64,
}

#[derive(Deserialize)]
struct GroupRow {
    path: Vec<String>,
    n_parents: u64,
    n_views: u64,
    size_bytes: u64,
    covered_bytes: u64,
}

impl CensusFile {
    pub fn parse(text: &str) -> Result<Self, CensusFileError> {
        let header: Header = serde_json::from_str(text)?;
        if header.schema != SCHEMA {
            return Err(CensusFileError::Schema(sanitize(&header.schema)));
        }
        let document: Document = serde_json::from_str(text)?;
        let is_complete = document.parents.len() as u64 == document.n_parents_total;
        let parents = if is_complete {
            let rows =
                document.parents.iter().map(|row| Ok((address(row)?, Bytes(row.size_bytes))));
            Some(rows.collect::<Result<_, CensusFileError>>()?)
        } else {
            None
        };
        let groups = document.holders.into_iter().map(|row| Group {
            path: row.path.iter().map(|step| sanitize(step)).collect(),
            n_parents: row.n_parents,
            n_views: row.n_views,
            bytes: Bytes(row.size_bytes),
            covered: Bytes(row.covered_bytes),
        });
        Ok(Self {
            pid: document.pid,
            start_ticks: document.process_start_ticks,
            outline: Outline {
                groups: groups.collect(),
                parents,
                n_parents: document.n_parents_total,
                bytes: Bytes(document.total_bytes),
            },
        })
    }

    /// True if both are certainly of one process.
    pub fn is_same_process(&self, other: &Self) -> bool {
        self.pid == other.pid && self.start_ticks.is_some() && self.start_ticks == other.start_ticks
    }
}

fn address(row: &ParentRow) -> Result<Avma, CensusFileError> {
    let digits = row.address.strip_prefix("0x");
    digits
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .map(Avma)
        .ok_or_else(|| CensusFileError::Address(sanitize(&row.address)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_refused_with_a_reason() {
        let said = |text: &str| CensusFile::parse(text).unwrap_err().to_string();
        assert!(said("").contains("not JSON"));
        assert!(said("{\"schema\":\"bufwatch.census/9\"}").contains("bufwatch.census/9"));
        assert!(said("{\"schema\":\"bufwatch.census/1\"}").contains("missing field"));
        let bad = "{\"schema\":\"bufwatch.census/1\",\"pid\":1,\"n_parents_total\":1,\"total_bytes\":1,\"holders\":[],\
            \"parents\":[{\"address\":\"x\",\"size_bytes\":1}]}";
        assert!(said(bad).contains("`x` is not an address"));
    }

    #[test]
    fn without_all_parents_there_are_none() {
        let text = "{\"schema\":\"bufwatch.census/1\",\"pid\":1,\"n_parents_total\":2,\"total_bytes\":1,\"holders\":[],\
            \"parents\":[{\"address\":\"0x10\",\"size_bytes\":1}]}";
        assert_eq!(CensusFile::parse(text).unwrap().outline.parents, None);
    }
}
