//! One finding in full: what is wrong, why bufwatch thinks so, and what to change. Builds a page; the frame draws it.

use crate::analysis::describe::site_text;
use crate::analysis::finding::Finding;
use crate::analysis::snapshot::Snapshot;
use crate::base::sanitize;
use crate::base::text::{width, wrap};
use crate::tui::census::text::{major_gcs, parents};
use crate::tui::findings::{FindingKey, kind_text, mark};
use crate::tui::screen::census::holder;
use crate::tui::text::{Line, Page, Role, fact, heading, span};

/// `is_open`: not only beside its list.
pub fn page(key: FindingKey, is_open: bool, snapshot: &Snapshot, n_columns: usize) -> Page {
    let Some(finding) = snapshot.findings.iter().find(|it| FindingKey::of(it) == key) else {
        return vec![
            heading("Finding", n_columns),
            vec![span(Role::Healthy, "  the newest census does not find it any more")],
        ];
    };
    let (role, sign) = mark(finding.confidence);
    let mut page = vec![heading(&kind_text(finding), n_columns)];
    page.extend(text(role, &format!("{sign} "), &finding.summary, n_columns));
    page.push(Line::new());
    page.extend(facts(finding, n_columns));
    page.push(Line::new());
    page.push(heading("Why bufwatch thinks so", n_columns));
    if finding.evidence.is_empty() {
        page.push(vec![span(Role::Unknown, "  no evidence was kept")]);
    }
    for evidence in &finding.evidence {
        page.extend(text(Role::Neutral, "· ", evidence, n_columns));
    }
    page.push(Line::new());
    page.push(heading("What to change", n_columns));
    page.extend(text(Role::Neutral, "", &finding.remedy.words, n_columns));
    if let Some(code) = &finding.remedy.code {
        page.push(Line::new());
        // As written: its indentation is part of it.
        page.extend(code.lines().map(|line| {
            vec![span(Role::Title, format!("    {}", sanitize(&line.replace('\t', "  "))))]
        }));
    }
    if !finding.holder.is_empty() {
        page.push(Line::new());
        page.push(holder::path_heading(is_open, n_columns));
        page.extend(holder::path(&finding.holder, n_columns));
    }
    page
}

fn facts(finding: &Finding, n_columns: usize) -> Page {
    let mut page = Page::new();
    let mut say = |label: &str, value: &str, role| {
        page.extend(fact(label, value, role, n_columns));
    };
    let bytes = match finding.n_parents {
        0 => finding.bytes.to_string(),
        n => format!("{} in {}", finding.bytes, parents(n)),
    };
    let label = if finding.kind.gives_back() { "would be freed" } else { "bytes" };
    say(label, &bytes, Role::Title);
    say("confidence", finding.confidence.name(), Role::Neutral);
    if let Some(site) = &finding.site {
        let site = sanitize(&site_text(site, finding.via.as_deref()));
        say("allocated at", &site, Role::Title);
    }
    if let Some(age) = finding.age {
        say("oldest", &age.to_string(), Role::Neutral);
    }
    if let Some(n) = finding.n_major_survived {
        say("survived", &format!("up to {}", major_gcs(n)), Role::Neutral);
    }
    page
}

/// Words in lines, `mark` before the first.
fn text(role: Role, mark: &str, words: &str, n_columns: usize) -> Page {
    let n_mark = width(mark);
    wrap(&sanitize(words), n_columns.saturating_sub(4 + n_mark))
        .into_iter()
        .enumerate()
        .map(|(n, line)| {
            let mark = if n == 0 { mark.to_owned() } else { " ".repeat(n_mark) };
            vec![span(role, format!("  {mark}{line}"))]
        })
        .collect()
}
