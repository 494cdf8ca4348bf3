//! "What does the process hold, and since when?": curves, parts and the sites that hold most.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::analysis::describe::{growth_noise, growth_per_min, growth_text};
use crate::analysis::holding::Holdings;
use crate::analysis::snapshot::{Snapshot, TargetState};
use crate::base::text::{UNKNOWN, count, known, pad, pad_left, rate};
use crate::base::{Bytes, Fidelity, Series};
use crate::tui::app::App;
use crate::tui::layout;
use crate::tui::screen::{findings, site, sites};
use crate::tui::text::{Line, Role, bar, span};
use crate::tui::theme::Theme;
use crate::tui::view::SiteSort;
use crate::tui::widget::{curve, gc_marks, page};

const LABEL_COLUMNS: u16 = 13;
const VALUE_COLUMNS: u16 = 10;
const TREND_COLUMNS: u16 = 16;

pub fn draw(buf: &mut Buffer, area: Rect, app: &App, snapshot: &Snapshot, theme: Theme) {
    let areas = layout::overview(area);
    draw_memory(buf, areas.memory, areas.curve_height, snapshot, theme);
    draw_holds(buf, areas.holds, snapshot, theme);
    findings::draw_brief(buf, areas.findings, snapshot, app.mode(), theme);
    let rows: Vec<_> = snapshot.groups.iter().collect();
    let order = (SiteSort::Live, false);
    sites::draw_list(buf, &areas.sites, &rows, &app.top_sites, order, snapshot, theme);
    if !areas.sites.preview.is_empty()
        && let Some(row) = snapshot.groups.get(app.top_sites.selected)
    {
        let lines = site::page(row, None, snapshot, usize::from(areas.sites.preview.width));
        page::draw(buf, areas.sites.preview, &lines, 0, theme);
    }
}

struct Curve<'a> {
    label: &'static str,
    role: Role,
    value: String,
    trend: String,
    series: &'a Series,
}

fn curves(snapshot: &Snapshot) -> [Curve<'_>; layout::N_CURVES as usize] {
    let history = &snapshot.history;
    let memory = &snapshot.memory;
    let stores = &snapshot.stores;
    let is_known = snapshot.target.state != TargetState::Attaching;
    let live = is_known.then_some(stores.live_bytes);
    let held = |label, role, value: Option<Bytes>, series| Curve {
        label,
        role,
        value: known(value),
        trend: trend(series, value),
        series,
    };
    let flow = |label, role, bytes_per_s: u64, trend, series| Curve {
        label,
        role,
        value: if is_known { format!("{}/s", Bytes(bytes_per_s)) } else { UNKNOWN.to_owned() },
        trend,
        series,
    };
    let n_per_s =
        if is_known { format!("{} stores/s", rate(stores.n_created_per_s)) } else { String::new() };
    [
        held("RSS", Role::Rss, memory.rss, &history.rss),
        held("arrayBuffers", Role::ArrayBuffers, memory.array_buffers, &history.array_buffers),
        held("live stores", Role::Stores, live, &history.live_bytes),
        held("V8 heap", Role::Heap, memory.v8_heap, &history.v8_heap),
        flow(
            "allocated",
            Role::Stores,
            stores.created_bytes_per_s,
            n_per_s,
            &history.created_bytes_per_s,
        ),
        flow(
            "freed",
            Role::Freed,
            stores.destroyed_bytes_per_s,
            String::new(),
            &history.destroyed_bytes_per_s,
        ),
    ]
}

fn trend(series: &Series, value: Option<Bytes>) -> String {
    match (growth_per_min(series), value) {
        (Some(growth), Some(value)) => growth_text(growth, growth_noise(value)),
        _ => String::new(),
    }
}

fn draw_memory(buf: &mut Buffer, area: Rect, height: u16, snapshot: &Snapshot, theme: Theme) {
    if area.height <= height {
        return;
    }
    page::draw_rule(buf, area, "Memory", theme);
    let plot_x = area.x + 1 + LABEL_COLUMNS + VALUE_COLUMNS + 1;
    let plot_width = area.right().saturating_sub(plot_x + TREND_COLUMNS + 1);
    let mut y = area.y + 1;
    for (n, curve) in curves(snapshot).iter().enumerate() {
        // GC marks stand right below what they free, above the rates.
        if n == 4 {
            draw_gc(buf, Rect::new(area.x, y, area.width, 1), plot_x, plot_width, snapshot, theme);
            y += 1;
        }
        let plot = Rect::new(plot_x, y, plot_width, height).intersection(area);
        if plot.is_empty() {
            break;
        }
        let columns = curve::resample(curve.series, snapshot.elapsed, usize::from(plot_width));
        curve::draw(buf, plot, &columns, theme.style(curve.role));
        // The newest value stands at the foot of a tall curve, where the eye looks for its name.
        let foot = plot.bottom() - 1;
        let role = if curve.value == UNKNOWN { Role::Unknown } else { Role::Title };
        let line = vec![
            span(curve.role, pad(curve.label, usize::from(LABEL_COLUMNS))),
            span(role, pad_left(&curve.value, usize::from(VALUE_COLUMNS))),
        ];
        page::draw_line(buf, area.x + 1, foot, area.right(), &line, theme);
        let trend = vec![span(Role::Neutral, curve.trend.as_str())];
        page::draw_line(buf, plot.right() + 1, foot, area.right(), &trend, theme);
        y += height;
    }
}

fn draw_gc(buf: &mut Buffer, row: Rect, x: u16, n_columns: u16, snapshot: &Snapshot, theme: Theme) {
    let gc = &snapshot.gc;
    let marks = Rect::new(x, row.y, n_columns, 1);
    let n_total = gc.n_minor + gc.n_major;
    gc_marks::draw(buf, marks, &snapshot.history.gcs, n_total, snapshot.elapsed, theme);
    let role = if gc.last.is_some() { Role::Title } else { Role::Unknown };
    let label = vec![
        span(Role::Heap, pad("last GC", usize::from(LABEL_COLUMNS))),
        span(role, pad_left(&known(gc.last), usize::from(VALUE_COLUMNS))),
    ];
    page::draw_line(buf, row.x + 1, row.y, row.right(), &label, theme);
    let counts = vec![
        span(Role::Muted, format!("│ {}  ", count(gc.n_minor))),
        span(Role::Heap, format!("┃ {}", count(gc.n_major))),
    ];
    page::draw_line(buf, marks.right() + 1, row.y, row.right(), &counts, theme);
}

struct Part {
    label: &'static str,
    role: Role,
    bytes: Option<Bytes>,
    /// `~` or `≥` before the number.
    sign: &'static str,
    note: String,
}

fn parts(snapshot: &Snapshot) -> Vec<Part> {
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
            is_known.then_some(holdings.small_stores),
            "",
            counted(format!(", {} below {min_size}", count(stores.n_small_live))),
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

fn draw_holds(buf: &mut Buffer, area: Rect, snapshot: &Snapshot, theme: Theme) {
    if area.is_empty() {
        return;
    }
    page::draw_rule(buf, area, "What it holds", theme);
    let largest = Holdings::of(snapshot).largest().0.max(1) as f64;
    let parts = parts(snapshot);
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
