//! A finding as a JSON value and as lines of text; which findings there are is `detect`'s part.

use serde_json::{Value, json};

use crate::analysis::finding::Finding;
use crate::base::text::{count, wrap};

/// One element of `findings`, the same in every schema.
pub fn to_value(finding: &Finding) -> Value {
    let holder = (!finding.holder.is_empty()).then(|| finding.holder.join(" "));
    json!({
        "kind": finding.kind.name(),
        "bytes": finding.bytes.0,
        "n_parents": finding.n_parents,
        "confidence": finding.confidence.name(),
        "summary": finding.summary,
        "evidence": finding.evidence,
        "remedy": finding.remedy.words,
        "remedy_code": finding.remedy.code,
        "site": finding.site.as_deref(),
        "via": finding.via.as_deref(),
        "holder": holder,
        "age_ns": finding.age.map(|age| age.0),
        "n_major_survived": finding.n_major_survived,
    })
}

pub fn to_values(findings: &[Finding]) -> Vec<Value> {
    findings.iter().map(to_value).collect()
}

/// The findings with evidence and remedy, at most `n_columns` wide but for code, which is not broken.
pub fn to_lines(findings: &[Finding], n_columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for finding in findings {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        let in_buffers = match finding.n_parents {
            0 => String::new(),
            1 => " in 1 array buffer".to_owned(),
            n => format!(" in {} array buffers", count(n)),
        };
        lines.push(format!(
            "  {}  {}{in_buffers}, confidence {}",
            finding.kind.name(),
            finding.bytes,
            finding.confidence.name()
        ));
        let mut say = |start: &str, text: &str| {
            for (n, line) in wrap(text, n_columns.saturating_sub(6)).into_iter().enumerate() {
                let start = if n == 0 { start } else { "      " };
                lines.push(format!("{start}{line}"));
            }
        };
        say("    ", &finding.summary);
        for evidence in &finding.evidence {
            say("    - ", evidence);
        }
        say("    → ", &finding.remedy.words);
        for line in finding.remedy.code.iter().flat_map(|code| code.lines()) {
            lines.push(format!("        {line}"));
        }
    }
    lines
}
