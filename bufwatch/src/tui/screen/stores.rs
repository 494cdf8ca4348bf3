//! "Which stores live?": the table of stores with its filter line.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::analysis::query::StoreSort;
use crate::analysis::snapshot::{Snapshot, StoreRow, TargetState};
use crate::base::Bytes;
use crate::base::text::{UNKNOWN, count};
use crate::tui::app::App;
use crate::tui::layout::{self, Align, Column};
use crate::tui::screen::filter_line::FilterLine;
use crate::tui::screen::store;
use crate::tui::text::{Role, Span, ago, fit_site, span, thread};
use crate::tui::theme::Theme;
use crate::tui::view;
use crate::tui::widget::page;
use crate::tui::widget::table::Table;

pub fn draw(buf: &mut Buffer, area: Rect, app: &App, snapshot: &Snapshot, theme: Theme) {
    let areas = layout::stores(area);
    let rows = view::stores(app, snapshot);
    let filter = FilterLine {
        filter: &app.query.filter,
        input: app.filter_input.as_ref(),
        all: "all stores",
    };
    let matches = vec![span(Role::Muted, match_text(app, snapshot, rows.len()))];
    filter.draw(buf, areas.top, &matches, theme);
    let columns = FIELDS.map(|field| field.column(app.query.sort, areas.rows.width));
    let sorted = FIELDS.iter().position(|field| field.sort() == Some(app.query.sort));
    let is_filtered = !app.query.filter.conditions.is_empty();
    let table = Table {
        columns: &columns,
        sorted: sorted.map(|index| (index, app.query.is_ascending)),
        n_rows: rows.len(),
        offset: app.stores.offset,
        selected: app.stores.selected,
        empty: match snapshot.target.state {
            TargetState::Attaching => "attaching…",
            _ if is_filtered => "no live store matches",
            _ => "no live store is tracked",
        },
    };
    table.draw(buf, &areas, theme, |row, column, n_columns| {
        match (rows.get(row), FIELDS.get(column)) {
            (Some(row), Some(field)) => field.cell(row, n_columns),
            _ => span(Role::Unknown, ""),
        }
    });
    filter.draw_error(buf, areas.top, area.bottom(), theme);
    if !areas.preview.is_empty()
        && let Some(row) = rows.get(app.stores.selected)
    {
        let lines =
            store::page(row.key, snapshot, snapshot, app.mode(), usize::from(areas.preview.width));
        page::draw(buf, areas.preview, &lines, 0, theme);
    }
}

fn match_text(app: &App, snapshot: &Snapshot, n_rows: usize) -> String {
    let listed = n_rows as u64;
    let order = app.query.sort.name();
    if snapshot.table.query != app.query {
        // The answer to the query is on its way, or waits for the end of the pause.
        let held = snapshot.table.rows.len() as u64;
        return format!("{} of the {} rows at hand, by {order}", count(listed), count(held));
    }
    let n_matched = snapshot.table.n_matched;
    if n_matched > listed {
        format!("first {} of {}, by {order}", count(listed), count(n_matched))
    } else {
        format!("{}, by {order}", count(n_matched))
    }
}

/// Of the columns, in their order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Number,
    Size,
    InRam,
    Touched,
    Kind,
    Age,
    Gcs,
    Thread,
    Placement,
    Site,
}

const FIELDS: [Field; 10] = [
    Field::Number,
    Field::Size,
    Field::InRam,
    Field::Touched,
    Field::Kind,
    Field::Age,
    Field::Gcs,
    Field::Thread,
    Field::Placement,
    Field::Site,
];

impl Field {
    fn column(self, sort: StoreSort, n_columns: u16) -> Column {
        let (title, align, width_min, width_max, rank) = match self {
            Self::Number => ("Stores", Align::Right, 8, 10, 2),
            Self::Size => ("size", Align::Right, 8, 8, 0),
            Self::InRam => ("in RAM", Align::Right, 8, 8, 1),
            Self::Touched => ("touched", Align::Right, 8, 8, 5),
            Self::Kind => ("kind", Align::Left, 11, 15, 4),
            Self::Age => ("age", Align::Right, 8, 8, 1),
            Self::Gcs => ("GCs min/maj", Align::Right, 12, 12, 3),
            Self::Thread => ("thread", Align::Left, if n_columns < 120 { 12 } else { 18 }, 18, 7),
            Self::Placement => ("in", Align::Left, 14, 14, 6),
            Self::Site => ("site", Align::Left, 20, 200, 0),
        };
        let rank = if self.sort() == Some(sort) { 0 } else { rank };
        Column { title, align, width_min, width_max, rank }
    }

    fn sort(self) -> Option<StoreSort> {
        match self {
            Self::Size => Some(StoreSort::Size),
            Self::InRam => Some(StoreSort::InRam),
            Self::Age => Some(StoreSort::Age),
            Self::Gcs => Some(StoreSort::MajorsSurvived),
            Self::Site => Some(StoreSort::Site),
            Self::Number | Self::Touched | Self::Kind | Self::Thread | Self::Placement => None,
        }
    }

    fn cell(self, row: &StoreRow, n_columns: u16) -> Span {
        match self {
            Self::Number => span(Role::Muted, format!("#{}", row.number)),
            Self::Size => span(Role::Title, row.size.to_string()),
            Self::InRam => in_ram(row),
            Self::Touched => touched(row),
            Self::Kind => span(Role::Neutral, row.kind.name()),
            Self::Age => span(Role::Neutral, row.age.to_string()),
            Self::Gcs => match row.survived {
                Some(it) => {
                    span(Role::Neutral, format!("{} / {}", count(it.n_minor.into()), it.n_major))
                }
                None => span(Role::Unknown, UNKNOWN),
            },
            Self::Thread => span(Role::Neutral, thread(row)),
            Self::Placement => span(Role::Neutral, row.placement.name()),
            Self::Site => {
                span(Role::Neutral, fit_site(&row.site, row.via.as_deref(), usize::from(n_columns)))
            }
        }
    }
}

fn in_ram(row: &StoreRow) -> Span {
    match row.residency {
        None => span(Role::Unknown, UNKNOWN),
        // Swapped out is not in RAM, but it was written.
        Some(known) if known.pages.held() == Bytes(0) => span(Role::Unknown, "none"),
        Some(known) => span(Role::Neutral, known.pages.resident.to_string()),
    }
}

/// How long ago it was first seen in RAM.
fn touched(row: &StoreRow) -> Span {
    match row.residency {
        Some(known) if known.is_recycled => span(Role::Neutral, "at birth"),
        Some(known) => match known.touched {
            Some(touched) => span(Role::Neutral, ago(touched)),
            None => span(Role::Unknown, "never"),
        },
        None => span(Role::Unknown, UNKNOWN),
    }
}
