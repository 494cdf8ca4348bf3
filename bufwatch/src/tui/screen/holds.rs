//! What the memory consists of, on the overview: RSS by what it is for, or what is allocated as long as nobody has looked at the pages.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::analysis::holding::Holdings;
use crate::analysis::residency::kept_by_malloc;
use crate::analysis::snapshot::{Snapshot, TargetState};
use crate::base::text::{UNKNOWN, count, pad, pad_left, width};
use crate::base::{Bytes, Fidelity};
use crate::event::residency::{RssPart, RssSplit};
use crate::tui::memory::{obstacle_text, signed};
use crate::tui::screen::overview::{LABEL_COLUMNS, VALUE_COLUMNS};
use crate::tui::text::{Line, Role, bar, span};
use crate::tui::theme::Theme;
use crate::tui::widget::page;

struct Part {
    label: &'static str,
    role: Role,
    bytes: Option<Bytes>,
    /// `~` or `≥` before the number.
    sign: &'static str,
    note: String,
}

/// Columns of a note beside a bar, on a terminal of 80.
const NOTE_COLUMNS: usize = 40;

/// RSS by what it is for.
fn resident(split: &RssSplit, snapshot: &Snapshot) -> Vec<Part> {
    let sum = |is_in: &dyn Fn(RssPart) -> bool| -> Bytes {
        RssPart::ALL.into_iter().filter(|part| is_in(*part)).map(|part| split.get(part)).sum()
    };
    let part = |label, role, bytes, note| Part { label, role, bytes, sign: "", note };
    // As many as are not cut on a small terminal.
    let named = |names: &[(RssPart, &str)]| {
        let named = names.iter().filter(|(part, _)| split.get(*part) > Bytes(0));
        let texts = named.map(|(part, name)| format!("{name} {}", split.get(*part)));
        texts.fold(String::new(), |all, text| match all.as_str() {
            "" => text,
            some if width(some) + 2 + width(&text) > NOTE_COLUMNS => all,
            some => format!("{some}, {text}"),
        })
    };
    let stores = &snapshot.stores;
    let allocated =
        format!("in RAM, of {} allocated in {}", stores.live_bytes, count(stores.n_live));
    let kept = kept_by_malloc(split);
    let kept_note = match kept {
        Some(_) => "in RAM, 7 Memory says of which lines".to_owned(),
        None => format!("not known: {}", obstacle_text(split.survey.obstacle)),
    };
    let kept_sign = if split.is_allocator_known { "" } else { "≥ " };
    let small = match stores.small.map(|it| it.live_bytes) {
        None => "small stores, native memory".to_owned(),
        Some(Bytes(0)) => "native memory, stores before attach".to_owned(),
        Some(bytes) => format!("small stores {bytes}, native memory"),
    };
    let is_other = |part: RssPart| {
        let is_of_allocator = matches!(part, RssPart::AllocatorFree | RssPart::AllocatorOther);
        !(part.is_v8() || part.is_of_stores() || is_of_allocator)
    };
    let other = named(&[(RssPart::Binaries, "binaries"), (RssPart::Files, "files")]);
    let unexplained = match split.unexplained() {
        bytes if bytes.unsigned_abs() < split.rss.0 / 100 => String::new(),
        bytes => format!("; unexplained {}", signed(bytes)),
    };
    let v8 = [(RssPart::V8Young, "young"), (RssPart::V8Old, "old"), (RssPart::V8Large, "large")];
    let in_stores = Some(sum(&RssPart::is_of_stores));
    let malloc = Some(split.get(RssPart::AllocatorOther));
    vec![
        part("live stores", Role::Stores, in_stores, allocated),
        Part { sign: kept_sign, ..part("freed, kept", Role::Freed, kept, kept_note) },
        part("malloc, other", Role::ArrayBuffers, malloc, small),
        part("V8 heap", Role::Heap, Some(split.v8()), named(&v8)),
        part("other", Role::Rest, Some(sum(&is_other)), format!("{other}{unexplained}")),
    ]
}

/// What is allocated, and what the rest of RSS is at least.
fn allocated(snapshot: &Snapshot) -> Vec<Part> {
    let holdings = Holdings::of(snapshot);
    let stores = &snapshot.stores;
    let min_size = snapshot.target.min_size;
    let is_known = snapshot.target.state != TargetState::Attaching;
    let part = |label, role, bytes, sign, note| Part { label, role, bytes, sign, note };
    let counted =
        |counts: String| format!("allocated{}", if is_known { counts.as_str() } else { "" });
    let before_sign = match holdings.before_attach_fidelity {
        Fidelity::Exact => "",
        Fidelity::Sampled | Fidelity::Inferred => "~",
    };
    let (rest_sign, rest_note) = match holdings.not_resident_at_least {
        Some(bytes) => ("≥ ", format!("≥ {bytes} of the stores is not in RAM")),
        None => ("≥ ", "resident: code, malloc, freed but kept".to_owned()),
    };
    vec![
        part(
            "live stores",
            Role::Stores,
            is_known.then_some(holdings.live_stores),
            "",
            counted(format!(", {} of {min_size} and more", count(stores.n_live))),
        ),
        part(
            "small stores",
            Role::Stores,
            holdings.small_stores.filter(|_| is_known),
            "",
            match stores.small {
                Some(small) => counted(format!(", {} below {min_size}", count(small.n_live))),
                None if snapshot.target.backend.sees().small_stores => counted(String::new()),
                None => format!("below {min_size}: not counted"),
            },
        ),
        part(
            "before attach",
            Role::ArrayBuffers,
            holdings.before_attach,
            before_sign,
            "allocated, older than bufwatch".to_owned(),
        ),
        part("V8 heap", Role::Heap, holdings.v8_heap, "", "resident, sampled".to_owned()),
        part("rest of RSS", Role::Rest, holdings.rest_at_least, rest_sign, rest_note),
    ]
}

pub fn draw(buf: &mut Buffer, area: Rect, snapshot: &Snapshot, theme: Theme) {
    if area.is_empty() {
        return;
    }
    let (title, parts) = match &snapshot.memory.split {
        Some((_, split)) => ("RSS by what it is for", resident(split, snapshot)),
        None => ("What it holds", allocated(snapshot)),
    };
    page::draw_rule(buf, area, title, theme);
    let largest = parts.iter().filter_map(|part| part.bytes).max().unwrap_or_default();
    let largest = largest.0.max(1) as f64;
    // With room to spare each note has a line of its own, and the bars get the width.
    let n_lines = parts.len() as u16 + 1;
    let step = match area.height {
        h if h >= n_lines * 3 => 3,
        h if h >= n_lines * 2 => 2,
        _ => 1,
    };
    let used = usize::from(LABEL_COLUMNS + VALUE_COLUMNS) + 3;
    let note_columns = if step > 1 { 0 } else { 42.min(usize::from(area.width) / 2) };
    let bar_columns = usize::from(area.width).saturating_sub(used + note_columns + 2);
    for (n, part) in parts.iter().enumerate() {
        let y = area.y + 1 + n as u16 * step;
        if y >= area.bottom() {
            break;
        }
        let share = part.bytes.map_or(0.0, |bytes| bytes.0 as f64 / largest);
        let mut line = part_line(part, share, bar_columns);
        let note = vec![span(Role::Muted, part.note.as_str())];
        if step > 1 && y + 1 < area.bottom() {
            let x = area.x + LABEL_COLUMNS + VALUE_COLUMNS + 3;
            page::draw_line(buf, x, y + 1, area.right(), &note, theme);
        } else {
            line.push(span(Role::Muted, "  "));
            line.extend(note);
        }
        page::draw_line(buf, area.x + 1, y, area.right(), &line, theme);
    }
}

fn part_line(part: &Part, share: f64, bar_columns: usize) -> Line {
    let value =
        part.bytes.map_or_else(|| UNKNOWN.to_owned(), |bytes| format!("{}{bytes}", part.sign));
    let role = if part.bytes.is_some() { Role::Title } else { Role::Unknown };
    vec![
        span(part.role, pad(part.label, usize::from(LABEL_COLUMNS))),
        span(role, pad_left(&value, usize::from(VALUE_COLUMNS) + 1)),
        span(Role::Muted, " "),
        span(part.role, pad(&bar(share, bar_columns), bar_columns)),
    ]
}
