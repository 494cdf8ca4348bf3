//! The body on a terminal too small for tables: the most important facts in a few short lines.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::analysis::describe::{growth_noise, growth_per_min, growth_text};
use crate::analysis::snapshot::Snapshot;
use crate::base::sanitize;
use crate::base::text::{count, known};
use crate::tui::findings::{kind_text, mark};
use crate::tui::text::{Line, Role, span};
use crate::tui::theme::Theme;
use crate::tui::widget::page;

pub fn draw(buf: &mut Buffer, area: Rect, snapshot: &Snapshot, theme: Theme) {
    page::draw(buf, area, &lines(snapshot), 0, theme);
}

fn lines(snapshot: &Snapshot) -> Vec<Line> {
    let memory = &snapshot.memory;
    let stores = &snapshot.stores;
    let growth = growth_per_min(&snapshot.history.rss).map_or_else(String::new, |growth| {
        format!(", {}", growth_text(growth, growth_noise(memory.rss.unwrap_or_default())))
    });
    let rss = format!(" RSS {}{growth}", known(memory.rss));
    let mut lines = vec![
        vec![span(Role::Rss, rss)],
        vec![span(Role::ArrayBuffers, format!(" arrayBuffers {}", known(memory.array_buffers)))],
        vec![span(
            Role::Stores,
            format!(" {} live stores, {}", count(stores.n_live), stores.live_bytes),
        )],
        vec![span(Role::Heap, format!(" V8 heap {}", known(memory.v8_heap)))],
    ];
    if let Some(finding) = snapshot.findings.first() {
        let (role, sign) = mark(finding.confidence);
        let text = format!(" {sign} {} {}", kind_text(finding), finding.bytes);
        lines.push(vec![span(role, text)]);
    }
    if let Some(site) = snapshot.groups.first() {
        lines.push(vec![span(Role::Muted, " most is from")]);
        lines.push(vec![span(
            Role::Neutral,
            format!(" {} ({})", sanitize(&site.label), site.tally.live_bytes),
        )]);
    }
    lines.push(vec![span(Role::Muted, " 60×16 or more shows tables")]);
    lines
}
