//! The list of holders: who keeps how much alive, how much of it is in use, and what changed since the census before.

use ratatui::buffer::Buffer;

use crate::analysis::comparison::HolderChange;
use crate::base::text::{UNKNOWN, count};
use crate::event::census::HolderGroup;
use crate::tui::app::App;
use crate::tui::census::order::HolderSort;
use crate::tui::census::rows::Rows;
use crate::tui::census::text::{change, share};
use crate::tui::layout::{Align, Column, ListAreas};
use crate::tui::path::fit_path;
use crate::tui::text::{Role, Span, span};
use crate::tui::theme::Theme;
use crate::tui::widget::table::Table;

/// Of the columns, in their order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Holder,
    Bytes,
    Unviewed,
    Viewed,
    Retained,
    Parents,
    Views,
    Change,
}

const FIELDS: [Field; 8] = [
    Field::Holder,
    Field::Bytes,
    Field::Unviewed,
    Field::Viewed,
    Field::Retained,
    Field::Parents,
    Field::Views,
    Field::Change,
];

impl Field {
    /// The one that is sorted by is never left out.
    fn column(self, sort: HolderSort) -> Column {
        let right = |title, width, rank| Column {
            title,
            align: Align::Right,
            width_min: width,
            width_max: width,
            rank,
        };
        let column = match self {
            Self::Holder => Column {
                title: "Holders",
                align: Align::Left,
                width_min: 26,
                width_max: 400,
                rank: 0,
            },
            Self::Bytes => right(HolderSort::Bytes.name(), 8, 1),
            Self::Unviewed => right(HolderSort::Wasted.name(), 9, 5),
            Self::Viewed => right("viewed", 7, 3),
            Self::Retained => right(HolderSort::Retained.name(), 8, 7),
            Self::Parents => right(HolderSort::Parents.name(), 8, 2),
            Self::Views => right(HolderSort::Views.name(), 8, 6),
            Self::Change => right(HolderSort::Change.name(), 17, 4),
        };
        if self.sort() == Some(sort) { Column { rank: 0, ..column } } else { column }
    }

    const fn sort(self) -> Option<HolderSort> {
        match self {
            Self::Bytes => Some(HolderSort::Bytes),
            Self::Unviewed => Some(HolderSort::Wasted),
            Self::Retained => Some(HolderSort::Retained),
            Self::Parents => Some(HolderSort::Parents),
            Self::Views => Some(HolderSort::Views),
            Self::Change => Some(HolderSort::Change),
            Self::Holder | Self::Viewed => None,
        }
    }

    fn cell(self, group: &HolderGroup, since: Option<HolderChange>, n_columns: u16) -> Span {
        match self {
            Self::Holder => {
                // What Node itself holds is no news.
                let role = if group.is_by_application { Role::Neutral } else { Role::Muted };
                span(role, fit_path(&group.path, usize::from(n_columns)))
            }
            Self::Bytes => span(Role::Title, group.bytes.to_string()),
            Self::Unviewed => {
                span(Role::Neutral, group.bytes.saturating_sub(group.covered).to_string())
            }
            Self::Viewed => span(Role::Neutral, share(group.covered, group.bytes)),
            Self::Retained => match group.retained {
                Some(retained) => span(Role::Neutral, retained.total().to_string()),
                None => span(Role::Unknown, UNKNOWN),
            },
            Self::Parents => span(Role::Neutral, count(group.n_parents)),
            Self::Views => span(Role::Neutral, count(group.n_views)),
            Self::Change => change_cell(since),
        }
    }
}

fn change_cell(since: Option<HolderChange>) -> Span {
    let Some(since) = since else { return span(Role::Unknown, UNKNOWN) };
    let role = match since {
        HolderChange::New => Role::Title,
        HolderChange::By { bytes, .. } if bytes > 0 => Role::Accused,
        HolderChange::By { bytes, .. } if bytes < 0 => Role::Healthy,
        HolderChange::By { .. } | HolderChange::Unknown => Role::Unknown,
    };
    span(role, change(since))
}

pub fn draw(buf: &mut Buffer, areas: &ListAreas, app: &App, rows: &Rows, theme: Theme) {
    let order = app.census.holder_order;
    // Without an older census there is nothing to compare with.
    let is_shown = |field: &Field| *field != Field::Change || rows.comparison.is_some();
    let fields: Vec<Field> = FIELDS.into_iter().filter(is_shown).collect();
    let columns: Vec<Column> = fields.iter().map(|field| field.column(order.sort)).collect();
    let sorted = fields.iter().position(|field| field.sort() == Some(order.sort));
    let table = Table {
        columns: &columns,
        sorted: sorted.map(|index| (index, order.is_ascending)),
        n_rows: rows.holders.len(),
        offset: app.census.holders.offset,
        selected: app.census.holders.selected,
        empty: if app.census.filter.conditions.is_empty() {
            "nobody holds an array buffer"
        } else {
            "no holder matches; age, gc, kind and tid are of parents (v)"
        },
    };
    table.draw(buf, areas, theme, |row, column, n_columns| {
        let found = rows.holders.get(row).and_then(|at| Some((rows.holder(*at)?, *at)));
        match (found, fields.get(column)) {
            (Some((group, at)), Some(field)) => field.cell(group, rows.change(at), n_columns),
            _ => span(Role::Unknown, ""),
        }
    });
}
