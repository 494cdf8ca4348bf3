//! How findings are told apart and named on screen. They have no number of their own: what they are about tells them apart.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::analysis::finding::{Confidence, Finding};
use crate::base::text::count;
use crate::tui::text::Role;

/// Stands for a finding, the same in every snapshot that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FindingKey(u64);

impl FindingKey {
    pub fn of(finding: &Finding) -> Self {
        let mut hasher = DefaultHasher::new();
        (finding.kind, &finding.holder, &finding.site, &finding.via).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// `PINNED PARENT`.
pub fn kind_text(finding: &Finding) -> String {
    finding.kind.name().replace('_', " ")
}

/// What stands before it: how sure it is, also without colours.
pub const fn mark(confidence: Confidence) -> (Role, &'static str) {
    match confidence {
        Confidence::High => (Role::Accused, "▲"),
        Confidence::Medium => (Role::Accused, "△"),
        Confidence::Low => (Role::Unknown, "·"),
    }
}

/// `3 findings`.
pub fn count_text(n: usize) -> String {
    match n {
        1 => "1 finding".to_owned(),
        n => format!("{} findings", count(n as u64)),
    }
}

/// One line of text for the clipboard.
pub fn finding_row(finding: &Finding) -> String {
    let in_parents = match finding.n_parents {
        0 => String::new(),
        n => format!(" in {} parents", count(n)),
    };
    format!(
        "{}: {}{in_parents}, {} confidence: {}",
        finding.kind.name(),
        finding.bytes,
        finding.confidence.name(),
        finding.summary
    )
}

pub fn keys(findings: &[Finding]) -> Vec<FindingKey> {
    findings.iter().map(FindingKey::of).collect()
}
