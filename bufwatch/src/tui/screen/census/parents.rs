//! The list of parents: each live store that views show, with what is known of its origin and its first holder.

use ratatui::buffer::Buffer;

use crate::analysis::snapshot::TracedStore;
use crate::base::text::{UNKNOWN, count, known};
use crate::event::census::Parent;
use crate::tui::app::App;
use crate::tui::census::filter::kind_name;
use crate::tui::census::order::{ParentSort, unviewed};
use crate::tui::census::rows::Rows;
use crate::tui::census::text::share;
use crate::tui::layout::{Align, Column, ListAreas};
use crate::tui::path::fit_path;
use crate::tui::text::{Role, Span, fit_site, span};
use crate::tui::theme::Theme;
use crate::tui::widget::table::Table;

/// From here on names come before the less important numbers.
const WIDTH_NAMES: u16 = 100;

/// Of the columns, in their order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Number,
    Size,
    Viewed,
    Unviewed,
    Views,
    Kind,
    Age,
    Gcs,
    New,
    Site,
    Holder,
}

const FIELDS: [Field; 11] = [
    Field::Number,
    Field::Size,
    Field::Viewed,
    Field::Unviewed,
    Field::Views,
    Field::Kind,
    Field::Age,
    Field::Gcs,
    Field::New,
    Field::Site,
    Field::Holder,
];

impl Field {
    /// The one that is sorted by is never left out.
    fn column(self, sort: ParentSort, n_columns: u16) -> Column {
        let is_wide = n_columns >= WIDTH_NAMES;
        let column = |title, align, width_min, width_max, rank| Column {
            title,
            align,
            width_min,
            width_max,
            rank,
        };
        let column = match self {
            Self::Number => column("Parents", Align::Right, 8, 9, 5),
            Self::Size => column(ParentSort::Size.name(), Align::Right, 8, 8, 0),
            Self::Viewed => column("viewed", Align::Right, 7, 7, 1),
            Self::Unviewed => column(ParentSort::Wasted.name(), Align::Right, 9, 9, 9),
            Self::Views => column(ParentSort::Views.name(), Align::Right, 7, 7, 3),
            Self::Kind => column("kind", Align::Left, 10, 10, 6),
            Self::Age => column(ParentSort::Age.name(), Align::Right, 7, 7, 4),
            Self::Gcs => column(ParentSort::Gcs.name(), Align::Right, 4, 5, 8),
            Self::New => column("new", Align::Left, 3, 3, 7),
            Self::Site => column("allocated at", Align::Left, if is_wide { 28 } else { 20 }, 44, 2),
            Self::Holder => column("held by", Align::Left, if is_wide { 34 } else { 24 }, 400, 0),
        };
        if self.sort() == Some(sort) { Column { rank: 0, ..column } } else { column }
    }

    const fn sort(self) -> Option<ParentSort> {
        match self {
            Self::Size => Some(ParentSort::Size),
            Self::Unviewed => Some(ParentSort::Wasted),
            Self::Views => Some(ParentSort::Views),
            Self::Age => Some(ParentSort::Age),
            Self::Gcs => Some(ParentSort::Gcs),
            Self::Number | Self::Viewed | Self::Kind | Self::New | Self::Site | Self::Holder => {
                None
            }
        }
    }

    fn cell(self, row: &Row<'_>, n_columns: u16) -> Span {
        let Row { parent, traced, is_new } = *row;
        let n_columns = usize::from(n_columns);
        let neutral = |text: String| {
            let role = if text == UNKNOWN { Role::Unknown } else { Role::Neutral };
            span(role, text)
        };
        match self {
            Self::Number => {
                span(Role::Muted, known(traced.map(|traced| format!("#{}", traced.number))))
            }
            Self::Size => span(Role::Title, parent.size.to_string()),
            Self::Viewed => neutral(share(parent.covered, parent.size)),
            Self::Unviewed => neutral(unviewed(parent).to_string()),
            Self::Views => neutral(count(parent.n_views)),
            Self::Kind => neutral(kind_name(parent.kind).to_owned()),
            Self::Age => neutral(known(traced.map(|traced| traced.age))),
            Self::Gcs => neutral(known(traced.and_then(|traced| traced.n_major_survived))),
            Self::New => span(Role::Title, if is_new { "new" } else { "" }),
            Self::Site => {
                let site = traced.and_then(|traced| traced.site.as_ref());
                neutral(known(site.map(|it| fit_site(&it.label, it.via.as_deref(), n_columns))))
            }
            Self::Holder => neutral(known(
                parent.holders.first().map(|holder| fit_path(&holder.path, n_columns)),
            )),
        }
    }
}

#[derive(Clone, Copy)]
struct Row<'a> {
    parent: &'a Parent,
    traced: Option<&'a TracedStore>,
    is_new: bool,
}

pub fn draw(buf: &mut Buffer, areas: &ListAreas, app: &App, rows: &Rows, theme: Theme) {
    let order = app.census.parent_order;
    let is_shown = |field: &Field| *field != Field::New || rows.comparison.is_some();
    let fields: Vec<Field> = FIELDS.into_iter().filter(is_shown).collect();
    let columns: Vec<Column> =
        fields.iter().map(|field| field.column(order.sort, areas.rows.width)).collect();
    let sorted = fields.iter().position(|field| field.sort() == Some(order.sort));
    let table = Table {
        columns: &columns,
        sorted: sorted.map(|index| (index, order.is_ascending)),
        n_rows: rows.parents.len(),
        offset: app.census.parents.offset,
        selected: app.census.parents.selected,
        empty: if app.census.filter.conditions.is_empty() {
            "no array buffer with memory outside of the heap is alive"
        } else {
            "no parent matches; age and gc are known of traced ones only"
        },
    };
    table.draw(buf, areas, theme, |row, column, n_columns| {
        let found = rows.parents.get(row).and_then(|at| {
            let (parent, traced) = (rows.parent(*at)?, rows.joined.traced(*at as usize));
            Some(Row { parent, traced, is_new: rows.is_new(*at) })
        });
        match (found, fields.get(column)) {
            (Some(row), Some(field)) => field.cell(&row, n_columns),
            _ => span(Role::Unknown, ""),
        }
    });
}
