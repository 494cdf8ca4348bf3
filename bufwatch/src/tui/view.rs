//! Which rows of a snapshot a list shows, in which order, and which page is open. Pure; drawing and
//! selecting must agree on it.

use std::cmp::Ordering;

use crate::analysis::query::{StoreQuery, StoreSort};
use crate::analysis::snapshot::{GroupId, GroupRow, SiteRow, Snapshot, StoreRow};
use crate::base::{Bytes, StoreKey};
use crate::tui::app::{App, Detail, Screen};
use crate::tui::screen::{census, finding, health, help, site, step, store};
use crate::tui::text::Page;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SiteSort {
    #[default]
    Live,
    InRam,
    Allocated,
    Count,
    Rate,
    Survival,
}

impl SiteSort {
    pub const ALL: [Self; 6] =
        [Self::Live, Self::InRam, Self::Allocated, Self::Count, Self::Rate, Self::Survival];

    /// Also the title of the column.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::InRam => "in RAM",
            Self::Allocated => "allocated",
            Self::Count => "count",
            Self::Rate => "alloc/s",
            Self::Survival => "survive",
        }
    }

    #[must_use]
    pub fn next(self) -> Self {
        let at = Self::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        Self::ALL.get(at + 1).copied().unwrap_or_default()
    }

    /// Largest first.
    fn compare(self, a: &GroupRow, b: &GroupRow) -> Ordering {
        let (a, b) = (&a.tally, &b.tally);
        match self {
            Self::Live => b.live_bytes.cmp(&a.live_bytes),
            // Unknown comes last.
            Self::InRam => b.resident.cmp(&a.resident),
            Self::Allocated => b.created_bytes.cmp(&a.created_bytes),
            Self::Count => b.n_live.cmp(&a.n_live),
            Self::Rate => b.created_bytes_per_s.cmp(&a.created_bytes_per_s),
            // Unknown comes last.
            Self::Survival => b.survival.unwrap_or(-1.0).total_cmp(&a.survival.unwrap_or(-1.0)),
        }
    }
}

/// The lines of code in the order of the sites screen; equal ones by their number, so that rows do not
/// flicker.
pub fn sites<'a>(app: &App, snapshot: &'a Snapshot) -> Vec<&'a GroupRow> {
    let mut rows: Vec<&GroupRow> = snapshot.groups.iter().collect();
    rows.sort_by(|a, b| {
        let order = app.site_sort.compare(a, b);
        let order = if app.is_site_order_ascending { order.reverse() } else { order };
        order.then(a.id.cmp(&b.id))
    });
    rows
}

/// The store table. As long as the session has not answered the newest query (it does not while paused),
/// the rows at hand are filtered and sorted here.
pub fn stores<'a>(app: &App, snapshot: &'a Snapshot) -> Vec<&'a StoreRow> {
    let rows = snapshot.table.rows.iter();
    if snapshot.table.query == app.query {
        return rows.collect();
    }
    let mut rows: Vec<&StoreRow> = rows.filter(|row| app.query.filter.matches(row)).collect();
    rows.sort_by(|a, b| compare_stores(&app.query, a, b));
    rows
}

/// Less than nothing if it is not known.
fn in_ram(row: &StoreRow) -> Option<Bytes> {
    row.residency.map(|known| known.pages.resident)
}

fn majors(row: &StoreRow) -> Option<u32> {
    row.survived.map(|it| it.n_major)
}

fn compare_stores(query: &StoreQuery, a: &StoreRow, b: &StoreRow) -> Ordering {
    let order = match query.sort {
        StoreSort::Size => b.size.cmp(&a.size),
        StoreSort::InRam => in_ram(b).cmp(&in_ram(a)),
        StoreSort::Age => b.age.cmp(&a.age),
        StoreSort::MajorsSurvived => majors(b).cmp(&majors(a)),
        StoreSort::Site => a.site.cmp(&b.site),
    };
    let order = if query.is_ascending { order.reverse() } else { order };
    order.then(a.number.cmp(&b.number))
}

pub fn site_keys(rows: &[&GroupRow]) -> Vec<GroupId> {
    rows.iter().map(|row| row.id).collect()
}

/// The stacks of a site, those of most live bytes first; without those that the snapshot has no room for.
pub fn stacks_of(id: GroupId, snapshot: &Snapshot) -> Vec<&SiteRow> {
    snapshot.sites.iter().filter(|row| row.group == id).collect()
}

pub fn store_keys(rows: &[&StoreRow]) -> Vec<StoreKey> {
    rows.iter().map(|row| row.key).collect()
}

/// The scrolling text that covers the body, if one does.
pub fn page(app: &App, latest: &Snapshot, n_columns: usize) -> Option<Page> {
    let snapshot = app.shown(latest);
    if app.is_help_open {
        return Some(help::page(app.mode(), n_columns));
    }
    match (app.detail, app.screen) {
        (Some(Detail::Site(id)), _) => {
            let found = snapshot.groups.iter().find(|row| row.id == id);
            Some(found.map_or_else(
                || site::missing_page(n_columns),
                |row| site::page(row, app.site_stack, snapshot, n_columns),
            ))
        }
        (Some(Detail::Store(key)), _) => {
            Some(store::page(key, snapshot, latest, app.mode(), n_columns))
        }
        (Some(Detail::Holder(key)), _) => Some(census::holder::page(key, app, snapshot, n_columns)),
        (Some(Detail::Parent(at)), _) => Some(census::parent::page(at, app, snapshot, n_columns)),
        (Some(Detail::Finding(key)), _) => Some(finding::page(key, true, snapshot, n_columns)),
        (Some(Detail::Step(key)), _) => Some(step::page(key, snapshot, n_columns)),
        (None, Screen::Census) if snapshot.census.last.is_none() => {
            Some(census::intro::page(snapshot, app.mode(), n_columns))
        }
        (None, Screen::Health) => Some(health::page(snapshot, n_columns)),
        (None, _) => None,
    }
}
