//! "Where is RSS, and why did it change?": RSS by what it is for, what Node itself says, the last minute, the steps with their causes, and
//! whose freed memory is still there.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::analysis::snapshot::{HeapNumbers, MemoryUsage, Snapshot, TargetState};
use crate::base::text::{UNKNOWN, known, pad, pad_left, width};
use crate::base::{Bytes, Nanos, sanitize};
use crate::event::residency::RssSplit;
use crate::tui::app::App;
use crate::tui::keymap::Mode;
use crate::tui::layout::{self, Align, Column};
use crate::tui::memory::{self, LAYERS, Listing, PartRow, StepKey, signed, why};
use crate::tui::screen::{site, step};
use crate::tui::text::{Line, Role, Span, ago, bar, fit_site, span};
use crate::tui::theme::Theme;
use crate::tui::widget::table::Table;
use crate::tui::widget::{page, stack};

const LABEL_COLUMNS: usize = 26;
const VALUE_COLUMNS: usize = 10;

/// What the history shows, or as much of it as there was.
const SPAN: Nanos = Nanos::from_secs(60);
const SPAN_MIN: Nanos = Nanos::from_secs(10);

pub fn draw(buf: &mut Buffer, area: Rect, app: &App, snapshot: &Snapshot, theme: Theme) {
    let areas = layout::memory(area);
    draw_parts(buf, areas.parts, app, snapshot, theme);
    draw_usage(buf, areas.usage, snapshot, app.mode(), theme);
    draw_history(buf, areas.history, snapshot, theme);
    match app.memory.listing {
        Listing::Steps => draw_steps(buf, &areas.list, app, snapshot, theme),
        Listing::Freed => draw_freed(buf, &areas.list, app, snapshot, theme),
    }
    let other = match app.memory.listing {
        Listing::Steps => "v whose freed memory is kept",
        Listing::Freed => "v steps of RSS",
    };
    draw_at_right(buf, areas.list.titles, other, theme);
}

/// Over the right end of a rule.
fn draw_at_right(buf: &mut Buffer, rule: Rect, text: &str, theme: Theme) {
    let n_columns = width(text) as u16 + 3;
    if rule.is_empty() || n_columns > rule.width {
        return;
    }
    let (key, words) = text.split_once(' ').unwrap_or((text, ""));
    let line = vec![
        span(Role::Muted, " "),
        span(Role::Key, key),
        span(Role::Muted, format!(" {words} ─")),
    ];
    page::draw_line(buf, rule.right() - n_columns, rule.y, rule.right(), &line, theme);
}

fn draw_parts(buf: &mut Buffer, area: Rect, app: &App, snapshot: &Snapshot, theme: Theme) {
    let Some((age, split)) = &snapshot.memory.split else {
        page::draw_rule(buf, area, "RSS by what it is for", theme);
        let why = match snapshot.target.state {
            TargetState::Attaching => "attaching…",
            TargetState::Live => "not looked at yet: 8 Health says if that is not possible here",
            TargetState::Execed | TargetState::Exited { .. } => "nobody has looked",
        };
        let why = match app.mode() {
            Mode::Live => why,
            Mode::Replay => "nobody had looked up to this moment",
        };
        page::draw_line(
            buf,
            area.x + 1,
            area.y + 1,
            area.right(),
            &vec![span(Role::Unknown, why)],
            theme,
        );
        return;
    };
    let title = format!("RSS {}, {age} ago", split.rss);
    page::draw_rule(buf, area, &title, theme);
    let n_lines = usize::from(area.height.saturating_sub(1));
    let bar_columns = usize::from(area.width).saturating_sub(LABEL_COLUMNS + VALUE_COLUMNS + 3);
    let beside = beside(split);
    let n_rows = n_lines.saturating_sub(1 + beside.len());
    let rows = memory::part_rows(split, n_rows);
    let largest = rows.iter().filter_map(|row| row.bytes).max().unwrap_or_default();
    let mut lines: Vec<Line> =
        rows.iter().map(|row| part_line(row, largest, bar_columns)).collect();
    lines.push(unexplained(split));
    lines.extend(beside);
    for (y, line) in (area.y + 1..area.bottom()).zip(&lines) {
        page::draw_line(buf, area.x + 1, y, area.right(), line, theme);
    }
}

fn part_line(row: &PartRow, largest: Bytes, bar_columns: usize) -> Line {
    let value = row.bytes.map_or_else(
        || UNKNOWN.to_owned(),
        |bytes| format!("{}{bytes}", if row.is_at_least { "≥ " } else { "" }),
    );
    let share = row.bytes.map_or(0.0, |bytes| bytes.0 as f64 / largest.0.max(1) as f64);
    let number = if row.bytes.is_some() { Role::Title } else { Role::Unknown };
    let end = if row.note.is_empty() {
        span(row.role, bar(share, bar_columns))
    } else {
        span(Role::Unknown, row.note)
    };
    vec![
        span(row.role, pad(&row.label, LABEL_COLUMNS)),
        span(number, pad_left(&value, VALUE_COLUMNS)),
        span(Role::Muted, " "),
        end,
    ]
}

/// Never hidden, and negative if a busy process changed meanwhile.
fn unexplained(split: &RssSplit) -> Line {
    /// Less than this share of RSS is noise of the moment.
    const NOISE: u64 = 100;
    let bytes = split.unexplained();
    let text = if bytes < 0 { signed(bytes) } else { Bytes(bytes.unsigned_abs()).to_string() };
    let is_much = bytes.unsigned_abs() > split.rss.0 / NOISE;
    vec![
        span(Role::Muted, pad("unexplained", LABEL_COLUMNS)),
        span(if is_much { Role::Accused } else { Role::Neutral }, pad_left(&text, VALUE_COLUMNS)),
    ]
}

/// What takes no RAM.
fn beside(split: &RssSplit) -> Vec<Line> {
    let line = |label: &str, bytes: Bytes, note: &str| {
        vec![
            span(Role::Muted, pad(label, LABEL_COLUMNS)),
            span(Role::Neutral, pad_left(&bytes.to_string(), VALUE_COLUMNS)),
            span(Role::Muted, format!(" {note}")),
        ]
    };
    let swapped =
        (split.swapped > Bytes(0)).then(|| line("not in RAM: swapped out", split.swapped, ""));
    let untouched = line("not in RAM: reserved", split.untouched, "untouched");
    swapped.into_iter().chain([untouched]).collect()
}

fn draw_usage(buf: &mut Buffer, area: Rect, snapshot: &Snapshot, mode: Mode, theme: Theme) {
    page::draw_rule(buf, area, "process.memoryUsage()", theme);
    let is_wide = area.width > 40;
    let lines = match &snapshot.memory.usage {
        Some(usage) => usage_lines(usage, is_wide),
        None => {
            let why = match mode {
                Mode::Live => "V8's counters are not known",
                Mode::Replay => "not recorded",
            };
            let unknown = |name| format!("{}{}", pad(name, 13), pad_left(UNKNOWN, 15));
            let names = ["rss", "heapTotal", "heapUsed", "external", "arrayBuffers"].map(unknown);
            let lines = names.into_iter().chain([why.to_owned()]);
            lines.map(|text| vec![span(Role::Unknown, text)]).collect()
        }
    };
    for (y, line) in (area.y + 1..area.bottom()).zip(&lines) {
        page::draw_line(buf, area.x + 1, y, area.right(), line, theme);
    }
}

/// Of the main thread, and with room of all isolates, if there are several.
fn usage_lines(usage: &MemoryUsage, is_wide: bool) -> Vec<Line> {
    const NAME: usize = 13;
    const VALUE: usize = 15;
    let has_all = is_wide && usage.n_isolates > 1;
    let value = |text: String| {
        let role = if text == UNKNOWN { Role::Unknown } else { Role::Title };
        span(role, pad_left(&text, VALUE))
    };
    let row = |name: &str, of: &dyn Fn(&HeapNumbers) -> String| {
        let main = usage.main.as_ref().map_or_else(|| UNKNOWN.to_owned(), of);
        let mut line = vec![span(Role::Neutral, pad(name, NAME)), value(main)];
        line.extend(has_all.then(|| value(of(&usage.all))));
        line
    };
    let head = |text: &str| span(Role::Muted, pad_left(text, VALUE));
    let mut lines = vec![vec![span(Role::Neutral, pad("rss", NAME)), value(known(usage.rss))]];
    if has_all {
        let all = format!("all {}", usage.n_isolates);
        lines.insert(0, vec![span(Role::Muted, pad("", NAME)), head("main thread"), head(&all)]);
    }
    lines.push(row("heapTotal", &|it| it.total.to_string()));
    lines.push(row("heapUsed", &used));
    lines.push(row("external", &|it| known(it.external)));
    lines.push(row("arrayBuffers", &|it| known(it.array_buffers)));
    lines.push(vec![span(Role::Muted, format!("read from outside {} ago", usage.age))]);
    let note = match (&usage.main, usage.n_isolates) {
        (Some(it), _) if it.used_min != it.used_max => "heapUsed is between the two",
        (None, _) => "which is the main is not clear",
        (Some(_), n) if n > 1 && !has_all => "of the main thread",
        (Some(_), _) => "all exact",
    };
    lines.push(vec![span(Role::Muted, note)]);
    lines
}

/// `18.2 MiB`, or both bounds: `18.2–18.9 MiB`.
fn used(numbers: &HeapNumbers) -> String {
    let (min, max) = (numbers.used_min.to_string(), numbers.used_max.to_string());
    if numbers.used_min == numbers.used_max {
        return max;
    }
    if min == max {
        return format!("~{max}");
    }
    match (min.rsplit_once(' '), max.rsplit_once(' ')) {
        (Some((number, unit)), Some((_, other))) if unit == other => format!("{number}–{max}"),
        _ => format!("{min}–{max}"),
    }
}

fn draw_history(buf: &mut Buffer, area: Rect, snapshot: &Snapshot, theme: Theme) {
    if area.height < 2 {
        return;
    }
    let span_shown = snapshot.elapsed.clamp(SPAN_MIN, SPAN);
    let title = format!("Last {} s", span_shown.0 / Nanos::SECOND.0);
    page::draw_rule(buf, area, &title, theme);
    let splits = &snapshot.recent.splits;
    let mut x = area.x + 13;
    for (role, symbol, name) in LAYERS {
        let line = vec![span(role, format!(" {symbol}")), span(Role::Muted, format!(" {name} "))];
        x = page::draw_line(buf, x, area.y, area.right(), &line, theme);
    }
    let n_columns = area.width.saturating_sub(VALUE_COLUMNS as u16 + 2);
    let plot = Rect::new(area.x + 1 + VALUE_COLUMNS as u16, area.y + 1, n_columns, area.height - 1);
    let columns = memory::history(splits, snapshot.taken_at, span_shown, usize::from(n_columns));
    let most = columns.iter().flatten().map(|it| it.iter().sum::<u64>()).max();
    let Some(most) = most else {
        let nothing = vec![span(Role::Unknown, "nobody has looked since then")];
        page::draw_line(buf, area.x + 1, plot.y, area.right(), &nothing, theme);
        return;
    };
    stack::draw(buf, plot, &columns, most, theme);
    let top = vec![span(Role::Muted, pad_left(&Bytes(most).to_string(), VALUE_COLUMNS))];
    page::draw_line(buf, area.x, plot.y, area.right(), &top, theme);
    let foot = vec![span(Role::Muted, pad_left("0", VALUE_COLUMNS))];
    page::draw_line(buf, area.x, plot.bottom() - 1, area.right(), &foot, theme);
}

const fn column(
    title: &'static str,
    align: Align,
    width_min: u16,
    width_max: u16,
    rank: u8,
) -> Column {
    Column { title, align, width_min, width_max, rank }
}

const STEP_COLUMNS: [Column; 4] = [
    column("Steps", Align::Right, 8, 8, 1),
    column("change", Align::Right, 9, 9, 0),
    column("RSS", Align::Right, 8, 8, 2),
    column("why", Align::Left, 30, 400, 0),
];

fn draw_steps(
    buf: &mut Buffer,
    areas: &layout::ListAreas,
    app: &App,
    snapshot: &Snapshot,
    theme: Theme,
) {
    let rows: Vec<_> = memory::steps(snapshot).collect();
    let table = Table {
        columns: &STEP_COLUMNS,
        sorted: None,
        n_rows: rows.len(),
        offset: app.memory.steps.offset,
        selected: app.memory.steps.selected,
        empty: match app.mode() {
            Mode::Live => "none so far: RSS has not moved by 16 MiB and 2 % between two looks",
            Mode::Replay => "none is recorded up to this moment",
        },
    };
    table.draw(buf, areas, theme, |row, column, _| {
        let Some(step) = rows.get(row) else { return span(Role::Unknown, "") };
        match column {
            0 => span(Role::Muted, ago(step.ago)),
            1 => change(step.delta),
            2 => span(Role::Neutral, step.rss.to_string()),
            _ => span(Role::Neutral, sanitize(why(step))),
        }
    });
    if !areas.preview.is_empty()
        && let Some(row) = rows.get(app.memory.steps.selected)
    {
        let key = StepKey::of(row, snapshot);
        let lines = step::page(key, snapshot, usize::from(areas.preview.width));
        page::draw(buf, areas.preview, &lines, 0, theme);
    }
}

fn change(delta: i64) -> Span {
    span(if delta > 0 { Role::Stores } else { Role::Freed }, signed(delta))
}

const FREED_COLUMNS: [Column; 3] = [
    column("Freed, but still in RAM, by the line that had allocated it", Align::Left, 50, 100, 0),
    column("in RAM", Align::Right, 8, 8, 1),
    column("", Align::Left, 4, 24, 2),
];

fn draw_freed(
    buf: &mut Buffer,
    areas: &layout::ListAreas,
    app: &App,
    snapshot: &Snapshot,
    theme: Theme,
) {
    let rows = &snapshot.freed;
    let largest = rows.iter().map(|row| row.resident).max().unwrap_or_default();
    let table = Table {
        columns: &FREED_COLUMNS,
        sorted: Some((1, false)),
        n_rows: rows.len(),
        offset: app.memory.freed.offset,
        selected: app.memory.freed.selected,
        empty: match app.mode() {
            Mode::Live => "no memory of a freed store is known to be in RAM",
            Mode::Replay => "none was known at this moment",
        },
    };
    table.draw(buf, areas, theme, |row, column, n_columns| {
        let Some(row) = rows.get(row) else { return span(Role::Unknown, "") };
        let n_columns = usize::from(n_columns);
        match column {
            0 => span(Role::Neutral, fit_site(&row.site, row.via.as_deref(), n_columns)),
            1 => span(Role::Title, row.resident.to_string()),
            _ => {
                let share = row.resident.0 as f64 / largest.0.max(1) as f64;
                span(Role::Freed, bar(share, n_columns))
            }
        }
    });
    if !areas.preview.is_empty()
        && let Some(row) = rows.get(app.memory.freed.selected)
    {
        let found = snapshot.groups.iter().find(|group| group.id == row.group);
        let n_columns = usize::from(areas.preview.width);
        let lines = found.map_or_else(
            || site::missing_page(n_columns),
            |group| site::page(group, None, snapshot, n_columns),
        );
        page::draw(buf, areas.preview, &lines, 0, theme);
    }
}
