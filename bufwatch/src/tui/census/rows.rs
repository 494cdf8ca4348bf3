//! A census made ready for lists: sums, places of rows by their keys, and the rows in order. Made once for each census and each
//! change of order, never for a frame: a census may have 100,000 parents.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use crate::analysis::comparison::{Comparison, HolderChange, compare};
use crate::analysis::query::StoreFilter;
use crate::analysis::snapshot::{CensusLog, JoinedCensus};
use crate::base::{Avma, Bytes, FastMap};
use crate::event::census::{HolderGroup, Parent};
use crate::tui::census::filter::{matches_holder, matches_parent};
use crate::tui::census::order::{HolderSort, Order, ParentSort, sort};

/// Stands for a holder, by its path and root: the same in every census.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HolderKey(u64);

impl HolderKey {
    pub fn of(group: &HolderGroup) -> Self {
        let mut hasher = DefaultHasher::new();
        (group.root, &group.path).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Of all parents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub bytes: Bytes,
    pub covered: Bytes,
    pub n_views: u64,
}

#[derive(Clone, Debug)]
pub struct Rows {
    pub joined: Arc<JoinedCensus>,
    previous: Option<Arc<JoinedCensus>>,
    pub comparison: Option<Comparison>,
    pub totals: Totals,
    by_path: FastMap<HolderKey, u32>,
    by_address: FastMap<Avma, u32>,
    /// Of all holders, by index.
    keys: Vec<HolderKey>,
    /// Indices into the holders of the census, in order and filtered; and their keys.
    pub holders: Vec<u32>,
    pub holder_keys: Vec<HolderKey>,
    /// Indices into the parents of the census, in order and filtered; and their keys.
    pub parents: Vec<u32>,
    pub parent_keys: Vec<Avma>,
}

impl Rows {
    /// In no order yet.
    pub fn new(joined: &Arc<JoinedCensus>, previous: Option<&Arc<JoinedCensus>>) -> Self {
        let census = &joined.census;
        let keys: Vec<HolderKey> = census.holders.iter().map(HolderKey::of).collect();
        let totals = census.parents.iter().fold(Totals::default(), |sum, parent| Totals {
            bytes: sum.bytes + parent.size,
            covered: sum.covered + parent.covered,
            n_views: sum.n_views.saturating_add(parent.n_views),
        });
        Self {
            joined: Arc::clone(joined),
            previous: previous.cloned(),
            comparison: previous.map(|previous| compare(joined, previous)),
            totals,
            by_path: keys.iter().copied().zip(0..).collect(),
            by_address: census.parents.iter().map(|it| it.address).zip(0..).collect(),
            keys,
            holders: Vec::new(),
            holder_keys: Vec::new(),
            parents: Vec::new(),
            parent_keys: Vec::new(),
        }
    }

    /// True if they are made of the censuses that `log` has now.
    pub fn are_of(&self, log: &CensusLog) -> bool {
        let is_previous = match (&self.previous, &log.previous) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        is_previous && log.last.as_ref().is_some_and(|last| Arc::ptr_eq(last, &self.joined))
    }

    pub fn arrange_holders(&mut self, filter: &StoreFilter, order: Order<HolderSort>) {
        let census = &self.joined.census;
        let mut rows: Vec<u32> = (0..)
            .zip(&census.holders)
            .filter(|(_, group)| matches_holder(filter, group))
            .map(|(index, _)| index)
            .collect();
        sort(&mut rows, order.is_ascending, |row| {
            order.sort.value(census.holders.get(row as usize)?, self.change(row))
        });
        self.holder_keys = rows.iter().filter_map(|row| self.key(*row)).collect();
        self.holders = rows;
    }

    pub fn arrange_parents(&mut self, filter: &StoreFilter, order: Order<ParentSort>) {
        let joined = &self.joined;
        let parents = &joined.census.parents;
        let mut rows: Vec<u32> = (0..)
            .zip(parents)
            .filter(|(row, parent)| matches_parent(filter, parent, joined.traced(*row as usize)))
            .map(|(index, _)| index)
            .collect();
        sort(&mut rows, order.is_ascending, |row| {
            order.sort.value(parents.get(row as usize)?, joined.traced(row as usize))
        });
        self.parent_keys =
            rows.iter().filter_map(|row| parents.get(*row as usize)).map(|it| it.address).collect();
        self.parents = rows;
    }

    /// The holder at an index of the census.
    pub fn holder(&self, index: u32) -> Option<&HolderGroup> {
        self.joined.census.holders.get(index as usize)
    }

    /// The parent at an index of the census.
    pub fn parent(&self, index: u32) -> Option<&Parent> {
        self.joined.census.parents.get(index as usize)
    }

    fn key(&self, holder: u32) -> Option<HolderKey> {
        self.keys.get(holder as usize).copied()
    }

    pub fn find_holder(&self, key: HolderKey) -> Option<u32> {
        self.by_path.get(&key).copied()
    }

    pub fn find_parent(&self, address: Avma) -> Option<u32> {
        self.by_address.get(&address).copied()
    }

    /// `None` if there is no older census.
    pub fn change(&self, holder: u32) -> Option<HolderChange> {
        self.comparison.as_ref()?.holders.get(holder as usize).copied()
    }

    /// True if the older census did not have this parent.
    pub fn is_new(&self, parent: u32) -> bool {
        let comparison = self.comparison.as_ref();
        comparison.and_then(|it| it.is_new.get(parent as usize)).copied().unwrap_or(false)
    }
}
