//! "What does the process hold, and since when?": curves, parts and the sites that hold most.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::analysis::describe::{growth_noise, growth_per_min, growth_text};
use crate::analysis::snapshot::{Snapshot, TargetState};
use crate::base::text::{UNKNOWN, count, known, pad, pad_left, rate};
use crate::base::{Bytes, Series};
use crate::tui::app::App;
use crate::tui::layout;
use crate::tui::screen::{findings, holds, site, sites};
use crate::tui::text::{Role, span};
use crate::tui::theme::Theme;
use crate::tui::view::SiteSort;
use crate::tui::widget::{curve, gc_marks, page};

pub(super) const LABEL_COLUMNS: u16 = 13;
pub(super) const VALUE_COLUMNS: u16 = 10;
const TREND_COLUMNS: u16 = 16;

pub fn draw(buf: &mut Buffer, area: Rect, app: &App, snapshot: &Snapshot, theme: Theme) {
    let areas = layout::overview(area);
    draw_memory(buf, areas.memory, areas.curve_height, snapshot, theme);
    holds::draw(buf, areas.holds, snapshot, theme);
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
    let gc = snapshot.gc.unwrap_or_default();
    let marks = Rect::new(x, row.y, n_columns, 1);
    let n_total = gc.n_minor + gc.n_major;
    gc_marks::draw(buf, marks, &snapshot.history.gcs, n_total, snapshot.elapsed, theme);
    let role = if gc.last.is_some() { Role::Title } else { Role::Unknown };
    let label = vec![
        span(Role::Heap, pad("last GC", usize::from(LABEL_COLUMNS))),
        span(role, pad_left(&known(gc.last), usize::from(VALUE_COLUMNS))),
    ];
    page::draw_line(buf, row.x + 1, row.y, row.right(), &label, theme);
    let counts = match snapshot.gc {
        Some(gc) => vec![
            span(Role::Muted, format!("│ {}  ", count(gc.n_minor))),
            span(Role::Heap, format!("┃ {}", count(gc.n_major))),
        ],
        None => vec![span(Role::Unknown, "not seen")],
    };
    page::draw_line(buf, marks.right() + 1, row.y, row.right(), &counts, theme);
}
