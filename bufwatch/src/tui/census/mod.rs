//! What the user looks at of a census: which of its lists, in which order, and what is selected. Changes only in `update`; what is wrong
//! with the target is another screen.

pub mod filter;
pub mod order;
pub mod rows;
pub mod text;

use crate::analysis::holder::parents_of;
use crate::analysis::query::StoreFilter;
use crate::analysis::snapshot::CensusLog;
use crate::base::Avma;
use crate::tui::app::List;
use crate::tui::census::order::{HolderSort, Order, ParentSort};
use crate::tui::census::rows::{HolderKey, Rows};

/// What the screen lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listing {
    /// Who keeps parents alive, those of the same path together.
    #[default]
    Holders,
    /// The parents one by one.
    Parents,
}

#[derive(Clone, Debug, Default)]
pub struct CensusView {
    pub listing: Listing,
    pub holder_order: Order<HolderSort>,
    pub parent_order: Order<ParentSort>,
    pub filter: StoreFilter,
    pub holders: List<HolderKey>,
    pub parents: List<Avma>,
    /// Of the holder that is open, or selected beside its preview.
    pub held: Option<Held>,
    rows: Option<Rows>,
}

/// The parents of a holder.
#[derive(Clone, Debug)]
pub struct Held {
    pub holder: HolderKey,
    /// Indices into the parents of the census.
    pub parents: Vec<u32>,
    /// The one that enter opens, as an index into `parents`.
    pub selected: usize,
}

impl CensusView {
    /// The rows of the last census of `log`, unless it came after the state was last changed.
    pub fn rows(&self, log: &CensusLog) -> Option<&Rows> {
        self.rows.as_ref().filter(|rows| rows.are_of(log))
    }

    pub fn n_rows(&self) -> usize {
        let rows = self.rows.as_ref();
        rows.map_or(0, |rows| match self.listing {
            Listing::Holders => rows.holders.len(),
            Listing::Parents => rows.parents.len(),
        })
    }

    /// Selected row and first row on screen.
    pub fn selection(&self) -> (usize, usize) {
        match self.listing {
            Listing::Holders => (self.holders.selected, self.holders.offset),
            Listing::Parents => (self.parents.selected, self.parents.offset),
        }
    }

    /// Follows a census that is new, or a size that is.
    pub fn settle(&mut self, log: &CensusLog, n_visible: usize) {
        let Some(last) = &log.last else {
            *self = Self { rows: None, held: None, ..std::mem::take(self) };
            self.holders.settle(&[], n_visible);
            self.parents.settle(&[], n_visible);
            return;
        };
        if self.rows(log).is_none() {
            self.rows = Some(Rows::new(last, log.previous.as_ref()));
            self.arrange(n_visible);
            if let Some(Held { holder, selected, .. }) = self.held.take() {
                self.hold(Some(holder));
                self.select_held(selected);
            }
        }
        self.follow(n_visible);
    }

    /// After a change of order or filter.
    pub fn arrange(&mut self, n_visible: usize) {
        if let Some(rows) = &mut self.rows {
            rows.arrange_holders(&self.filter, self.holder_order);
            rows.arrange_parents(&self.filter, self.parent_order);
        }
        self.follow(n_visible);
    }

    fn follow(&mut self, n_visible: usize) {
        let Some(rows) = &self.rows else { return };
        self.holders.settle(&rows.holder_keys, n_visible);
        self.parents.settle(&rows.parent_keys, n_visible);
    }

    pub fn move_by(&mut self, delta: isize, n_visible: usize) {
        let Some(rows) = &self.rows else { return };
        match self.listing {
            Listing::Holders => self.holders.move_by(delta, &rows.holder_keys, n_visible),
            Listing::Parents => self.parents.move_by(delta, &rows.parent_keys, n_visible),
        }
    }

    pub fn selected_holder(&self) -> Option<HolderKey> {
        self.rows.as_ref()?.holder_keys.get(self.holders.selected).copied()
    }

    pub fn selected_parent(&self) -> Option<Avma> {
        self.rows.as_ref()?.parent_keys.get(self.parents.selected).copied()
    }

    /// Makes ready what the page of a holder needs, which takes a pass over all parents.
    pub fn hold(&mut self, holder: Option<HolderKey>) {
        let Some(holder) = holder else {
            self.held = None;
            return;
        };
        if self.held.as_ref().is_some_and(|held| held.holder == holder) {
            return;
        }
        let parents = self.rows.as_ref().and_then(|rows| {
            let group = rows.holder(rows.find_holder(holder)?)?;
            Some(parents_of(&rows.joined.census, &group.path))
        });
        self.held = Some(Held { holder, parents: parents.unwrap_or_default(), selected: 0 });
    }

    fn select_held(&mut self, selected: usize) {
        if let Some(held) = &mut self.held {
            held.selected = selected.min(held.parents.len().saturating_sub(1));
        }
    }

    /// Another parent of the holder that is open.
    pub fn move_held(&mut self, delta: isize) {
        let selected = self.held.as_ref().map_or(0, |held| held.selected);
        self.select_held(selected.saturating_add_signed(delta));
    }

    /// The selected parent of the holder that is open.
    pub fn selected_held(&self) -> Option<Avma> {
        let held = self.held.as_ref()?;
        let index = held.parents.get(held.selected)?;
        self.rows.as_ref()?.parent(*index).map(|parent| parent.address)
    }
}
