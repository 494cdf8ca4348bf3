//! "Which code allocates, and how much of it stays?": the table of the lines of code that allocated.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::analysis::snapshot::{GroupId, GroupRow, Snapshot, TargetState};
use crate::base::Bytes;
use crate::base::text::{UNKNOWN, count, known, rate};
use crate::tui::app::{App, List};
use crate::tui::layout::{self, Align, Column, ListAreas};
use crate::tui::screen::site;
use crate::tui::text::{Role, Span, bar, fit_site, lifetimes, span, survival};
use crate::tui::theme::Theme;
use crate::tui::view::{self, SiteSort};
use crate::tui::widget::page;
use crate::tui::widget::table::Table;

pub fn draw(buf: &mut Buffer, area: Rect, app: &App, snapshot: &Snapshot, theme: Theme) {
    let areas = layout::sites(area);
    let rows = view::sites(app, snapshot);
    let order = (app.site_sort, app.is_site_order_ascending);
    draw_list(buf, &areas, &rows, &app.sites, order, snapshot, theme);
    if !areas.preview.is_empty()
        && let Some(row) = rows.get(app.sites.selected)
    {
        let lines = site::page(row, None, snapshot, usize::from(areas.preview.width));
        page::draw(buf, areas.preview, &lines, 0, theme);
    }
}

/// Of the columns, in their order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Site,
    Live,
    InRam,
    Count,
    Peak,
    Allocated,
    BytesPerSecond,
    PerSecond,
    Lifetimes,
    Survival,
    Bar,
}

const FIELDS: [Field; 11] = [
    Field::Site,
    Field::Live,
    Field::InRam,
    Field::Count,
    Field::Peak,
    Field::Allocated,
    Field::BytesPerSecond,
    Field::PerSecond,
    Field::Lifetimes,
    Field::Survival,
    Field::Bar,
];

impl Field {
    /// The column of it; the one that is sorted by is never left out.
    fn column(self, sort: SiteSort, n_columns: u16) -> Column {
        let right = |title, n, rank| Column {
            title,
            align: Align::Right,
            width_min: n,
            width_max: n,
            rank,
        };
        let left = |title, width_min, width_max, rank| Column {
            title,
            align: Align::Left,
            width_min,
            width_max,
            rank,
        };
        let column = match self {
            // With room to spare, names come before the less important numbers.
            Self::Site => left(
                "Sites",
                if n_columns < 90 {
                    28
                } else if n_columns < 110 {
                    34
                } else {
                    40
                },
                64,
                0,
            ),
            Self::Live => right(SiteSort::Live.name(), 8, 1),
            Self::InRam => right(SiteSort::InRam.name(), 8, 2),
            Self::Count => right(SiteSort::Count.name(), 7, 3),
            Self::Peak => right("peak", 8, 9),
            Self::Allocated => right(SiteSort::Allocated.name(), 10, 8),
            Self::BytesPerSecond => right(SiteSort::Rate.name(), 8, 5),
            Self::PerSecond => right("stores/s", 8, 10),
            Self::Lifetimes => right("life p50 / p99", 17, 6),
            Self::Survival => right(SiteSort::Survival.name(), 8, 4),
            Self::Bar => left("", 8, 24, 7),
        };
        if Some(sort) == self.sort() { Column { rank: 0, ..column } } else { column }
    }

    fn sort(self) -> Option<SiteSort> {
        match self {
            Self::Live => Some(SiteSort::Live),
            Self::InRam => Some(SiteSort::InRam),
            Self::Count => Some(SiteSort::Count),
            Self::Allocated => Some(SiteSort::Allocated),
            Self::BytesPerSecond => Some(SiteSort::Rate),
            Self::Survival => Some(SiteSort::Survival),
            Self::Site | Self::Peak | Self::PerSecond | Self::Lifetimes | Self::Bar => None,
        }
    }

    fn cell(self, row: &GroupRow, largest: Bytes, n_columns: u16) -> Span {
        let tally = &row.tally;
        let neutral = |text: String| {
            let role = if text == UNKNOWN || text == "0" { Role::Unknown } else { Role::Neutral };
            span(role, text)
        };
        match self {
            Self::Site => neutral(fit_site(&row.label, row.via.as_deref(), usize::from(n_columns))),
            Self::Live => span(Role::Title, tally.live_bytes.to_string()),
            Self::InRam => neutral(known(tally.resident)),
            Self::Count => neutral(count(tally.n_live)),
            Self::Peak => neutral(tally.peak_bytes.to_string()),
            Self::Allocated => neutral(tally.created_bytes.to_string()),
            Self::BytesPerSecond if tally.created_bytes_per_s == 0 => neutral("0".to_owned()),
            Self::BytesPerSecond => neutral(Bytes(tally.created_bytes_per_s).to_string()),
            Self::PerSecond => neutral(rate(tally.n_created_per_s)),
            Self::Lifetimes => neutral(lifetimes(tally)),
            Self::Survival => neutral(survival(tally)),
            Self::Bar => {
                let share = tally.live_bytes.0 as f64 / largest.0.max(1) as f64;
                span(Role::Stores, bar(share, usize::from(n_columns)))
            }
        }
    }
}

/// Also the list of the overview.
pub fn draw_list(
    buf: &mut Buffer,
    areas: &ListAreas,
    rows: &[&GroupRow],
    list: &List<GroupId>,
    (sort, is_ascending): (SiteSort, bool),
    snapshot: &Snapshot,
    theme: Theme,
) {
    let columns = FIELDS.map(|field| field.column(sort, areas.rows.width));
    let sorted = FIELDS.iter().position(|field| field.sort() == Some(sort));
    let largest = rows.iter().map(|row| row.tally.live_bytes).max().unwrap_or_default();
    let table = Table {
        columns: &columns,
        sorted: sorted.map(|index| (index, is_ascending)),
        n_rows: rows.len(),
        offset: list.offset,
        selected: list.selected,
        empty: if snapshot.target.state == TargetState::Attaching {
            "attaching…"
        } else if !snapshot.target.backend.sees().stacks {
            "not known: this backend sees no stacks"
        } else {
            "no store has been allocated since the attach"
        },
    };
    table.draw(buf, areas, theme, |row, column, n_columns| {
        match (rows.get(row), FIELDS.get(column)) {
            (Some(row), Some(field)) => field.cell(row, largest, n_columns),
            _ => span(Role::Unknown, ""),
        }
    });
}
