//! "Which code allocates, and how much of it stays?": the table of all sites.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::analysis::describe::site_text;
use crate::analysis::snapshot::{SiteRow, Snapshot};
use crate::base::Bytes;
use crate::base::StackId;
use crate::base::text::{UNKNOWN, count, per_second};
use crate::tui::app::{App, List};
use crate::tui::layout::{self, Align, Column, ListAreas};
use crate::tui::screen::site;
use crate::tui::text::{Role, Span, bar, lifetimes, span, survival};
use crate::tui::theme::Theme;
use crate::tui::view::{self, SiteSort};
use crate::tui::widget::page;
use crate::tui::widget::table::Table;

pub fn draw(buf: &mut Buffer, area: Rect, app: &App, snapshot: &Snapshot, theme: Theme) {
    let areas = layout::sites(area);
    let rows = view::sites(app, snapshot);
    let order = (app.site_sort, app.is_site_order_ascending);
    draw_list(buf, &areas, &rows, &app.sites, order, theme);
    if !areas.preview.is_empty()
        && let Some(row) = rows.get(app.sites.selected)
    {
        let lines = site::page(row, snapshot, usize::from(areas.preview.width));
        page::draw(buf, areas.preview, &lines, 0, theme);
    }
}

/// Of the columns, in their order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Site,
    Live,
    Count,
    Peak,
    Allocated,
    BytesPerSecond,
    PerSecond,
    Lifetimes,
    Survival,
    Bar,
}

const FIELDS: [Field; 10] = [
    Field::Site,
    Field::Live,
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
    fn column(self, sort: SiteSort) -> Column {
        let right = |title, width, rank| Column {
            title,
            align: Align::Right,
            width_min: width,
            width_max: width,
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
            Self::Site => left("Sites", 20, 56, 0),
            Self::Live => right(SiteSort::Live.name(), 8, 1),
            Self::Count => right(SiteSort::Count.name(), 7, 2),
            Self::Peak => right("peak", 8, 8),
            Self::Allocated => right(SiteSort::Allocated.name(), 10, 7),
            Self::BytesPerSecond => right(SiteSort::Rate.name(), 10, 5),
            Self::PerSecond => right("stores", 7, 9),
            Self::Lifetimes => right("lifetime p50 / p99", 18, 4),
            Self::Survival => right(SiteSort::Survival.name(), 8, 3),
            Self::Bar => left("", 8, 24, 6),
        };
        if Some(sort) == self.sort() { Column { rank: 0, ..column } } else { column }
    }

    fn sort(self) -> Option<SiteSort> {
        match self {
            Self::Live => Some(SiteSort::Live),
            Self::Count => Some(SiteSort::Count),
            Self::Allocated => Some(SiteSort::Allocated),
            Self::BytesPerSecond => Some(SiteSort::Rate),
            Self::Survival => Some(SiteSort::Survival),
            Self::Site | Self::Peak | Self::PerSecond | Self::Lifetimes | Self::Bar => None,
        }
    }

    fn cell(self, row: &SiteRow, largest: Bytes, n_columns: u16) -> Span {
        let neutral = |text: String| {
            let role = if text == UNKNOWN || text == "0" { Role::Unknown } else { Role::Neutral };
            span(role, text)
        };
        match self {
            Self::Site => neutral(site_text(row)),
            Self::Live => span(Role::Title, row.live_bytes.to_string()),
            Self::Count => neutral(count(row.n_live)),
            Self::Peak => neutral(row.peak_bytes.to_string()),
            Self::Allocated => neutral(row.created_bytes.to_string()),
            Self::BytesPerSecond if row.created_bytes_per_s == 0 => neutral("0".to_owned()),
            Self::BytesPerSecond => neutral(format!("{}/s", Bytes(row.created_bytes_per_s))),
            Self::PerSecond => neutral(per_second(row.n_created_per_s)),
            Self::Lifetimes => neutral(lifetimes(row)),
            Self::Survival => neutral(survival(row)),
            Self::Bar => {
                let share = row.live_bytes.0 as f64 / largest.0.max(1) as f64;
                span(Role::Stores, bar(share, usize::from(n_columns)))
            }
        }
    }
}

/// Also the list of the overview.
pub fn draw_list(
    buf: &mut Buffer,
    areas: &ListAreas,
    rows: &[&SiteRow],
    list: &List<StackId>,
    (sort, is_ascending): (SiteSort, bool),
    theme: Theme,
) {
    let columns = FIELDS.map(|field| field.column(sort));
    let sorted = FIELDS.iter().position(|field| field.sort() == Some(sort));
    let largest = rows.iter().map(|row| row.live_bytes).max().unwrap_or_default();
    let table = Table {
        columns: &columns,
        sorted: sorted.map(|index| (index, is_ascending)),
        n_rows: rows.len(),
        offset: list.offset,
        selected: list.selected,
        empty: "no store has been allocated since the attach",
    };
    table.draw(buf, areas, theme, |row, column, n_columns| {
        match (rows.get(row), FIELDS.get(column)) {
            (Some(row), Some(field)) => field.cell(row, largest, n_columns),
            _ => span(Role::Unknown, ""),
        }
    });
}
