//! Regions: for objects that are asked about, the *heads*, the live objects that marking reached from them and from no other head in
//! between. Nothing that dies with a head is outside of its region and the regions below. Which of it really dies is not decided here.
//!
//! Heads that are asked about together and were reached from the same object have one region: the slices of a buffer are in one array.
//! The labels are written over the parents that marking left behind, so they need no memory of their own.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::ops::Range;

use crate::base::{FastMap, FastSet};
use crate::v8::census::copy::CopiedPage;
use crate::v8::census::mark::{HeapView, Tree};
use crate::v8::census::references::Visitor;
use crate::v8::census::retained::limits::{Budget, Exceeded};
use crate::v8::census::retained::page_filter::PageFilter;
use crate::v8::census::retained::pending::Pending;

/// Marks an entry as a label; what is above is of roots.
const LABEL: u32 = Tree::INDEX_MAX + 1;
const LABEL_END: u32 = LABEL << 1;

/// Of a label: it is of a head.
const HEAD: u32 = LABEL >> 1;
/// Something outside of all regions refers to the head.
const ENTERED: u32 = LABEL >> 2;
/// The number of the region.
const NUMBER: u32 = ENTERED - 1;

/// Alive, whatever is asked.
pub(super) const OUTSIDE: u32 = LABEL_END;

/// Where an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is not alive, or no object.
    Nowhere,
    /// Alive without any of the heads.
    Outside,
    Region(u32),
}

/// An object that a word leads to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) index: usize,
    pub(super) rank: usize,
    pub(super) entry: u32,
    /// Tagged, of the process.
    pub(super) address: u64,
    pub(super) is_read_only: bool,
}

impl Place {
    #[inline]
    pub(super) const fn of(entry: u32) -> Self {
        match entry {
            Tree::UNREACHED => Self::Nowhere,
            LABEL..LABEL_END => Self::Region(entry & NUMBER),
            _ => Self::Outside,
        }
    }
}

impl Target {
    #[inline]
    pub(super) const fn place(self) -> Place {
        Place::of(self.entry)
    }

    pub(super) const fn is_head(self) -> bool {
        is_head(self.entry)
    }

    pub(super) fn is_in_another(self, region: u32) -> bool {
        matches!(self.place(), Place::Region(number) if number != region)
    }
}

const fn is_head(entry: u32) -> bool {
    matches!(Place::of(entry), Place::Region(_)) && entry & HEAD != 0
}

/// The label of an object that was reached from one with this entry.
pub(super) const fn label_below(entry: u32) -> u32 {
    match Place::of(entry) {
        Place::Region(number) => LABEL | number,
        Place::Nowhere | Place::Outside => OUTSIDE,
    }
}

/// What marking reached from some heads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Region {
    /// What marking reached the heads from.
    pub(super) reached_from: u32,
    /// The region that this object is in.
    pub(super) above: Option<u32>,
    /// Of all its objects, those without that are alive anyway.
    pub(super) bytes: u64,
}

/// Words of the copy from the start of one object to that of the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) rank: usize,
}

/// The value of a weak map: alive as long as its key and the table are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pair {
    pub(super) key: u32,
    pub(super) value: u32,
    pub(super) table: u32,
}

/// All regions, and the place of each object.
#[derive(Debug)]
pub(super) struct Regions<'a> {
    pub(super) view: HeapView<'a>,
    pub(super) tree: Tree,
    pub(super) list: Vec<Region>,
    pub(super) heads: Vec<u32>,
    /// Heads that something outside refers to, with their regions.
    pub(super) entered: Vec<(u32, u32)>,
    /// By key.
    pub(super) pairs: Vec<Pair>,
    /// Pages with objects of regions.
    pub(super) filter: PageFilter,
    pub(super) pending: Pending,
    pub(super) budget: Budget,
}

impl<'a> Regions<'a> {
    pub(super) fn new(view: HeapView<'a>, tree: Tree, budget: Budget) -> Result<Self, Exceeded> {
        let pending = Pending::new(view.heap.n_words());
        let filter = PageFilter::default();
        let mut regions = Self {
            view,
            tree,
            list: Vec::new(),
            heads: Vec::new(),
            entered: Vec::new(),
            pairs: Vec::new(),
            filter,
            pending,
            budget,
        };
        regions.read_pairs()?;
        Ok(regions)
    }

    fn read_pairs(&mut self) -> Result<(), Exceeded> {
        let view = self.view;
        let mut pairs = Vec::new();
        let mut result = Ok(());
        for table in std::mem::take(&mut self.tree.tables) {
            let found = |key: usize, value: u64| {
                let is_alive = self.place(key) != Place::Nowhere;
                let value = self.target(value).filter(|value| !value.is_read_only);
                let Some(value) = value.filter(|_| is_alive && result.is_ok()) else { return };
                result = self.budget.room_for_pair(pairs.len());
                pairs.push(Pair { key: key as u32, value: value.index as u32, table });
            };
            view.visit(table as usize, &mut PairsOf(found));
        }
        pairs.sort_unstable();
        pairs.dedup();
        self.pairs = pairs;
        result
    }

    /// The live writable object that a word leads to, and what is known of it. Read-only memory is alive anyway.
    #[inline]
    pub(super) fn target(&self, word: u64) -> Option<Target> {
        if word & 7 != 1 {
            return None;
        }
        let place = self.view.heap.place(word.wrapping_sub(1))?;
        let rank = self.tree.ranks.of(&self.view.walk.starts, place.index)?;
        let entry = *self.tree.parents.get(rank)?;
        let is_read_only = place.is_read_only;
        Some(Target { index: place.index, rank, entry, address: word, is_read_only })
    }

    pub(super) fn object(&self, index: usize) -> Option<Target> {
        self.target(self.view.heap.address(index)?.0 | 1)
    }

    pub(super) fn rank_of(&self, index: usize) -> Option<usize> {
        self.tree.ranks.of(&self.view.walk.starts, index)
    }

    pub(super) fn place(&self, index: usize) -> Place {
        let entry = self.rank_of(index).and_then(|rank| self.tree.parents.get(rank));
        entry.map_or(Place::Nowhere, |entry| Place::of(*entry))
    }

    /// Ranks are below it.
    pub(super) fn n_ranks(&self) -> usize {
        self.tree.parents.len()
    }

    pub(super) fn is_head(&self, index: usize) -> bool {
        self.rank_of(index).is_some_and(|rank| is_head(self.entry(rank)))
    }

    pub(super) fn region(&self, number: u32) -> Option<&Region> {
        self.list.get(number as usize)
    }

    /// The objects in a range of words, ascending: where each begins, where the next one does, and its rank.
    pub(super) fn objects_in(&self, range: Range<usize>) -> impl Iterator<Item = Span> + use<'a> {
        let starts = &self.view.walk.starts;
        let mut next = starts.at_or_after(range.start, range.end);
        let mut rank = next.and_then(|first| self.rank_of(first)).unwrap_or(0);
        std::iter::from_fn(move || {
            let start = next?;
            next = starts.next_after(start, range.end);
            let span = Span { start, end: next.unwrap_or(range.end), rank };
            rank = rank.saturating_add(1);
            Some(span)
        })
    }

    /// Pages that may have objects of regions.
    pub(super) fn pages(&self) -> impl Iterator<Item = &CopiedPage> {
        let pages = self.view.heap.pages().iter();
        pages.filter(|page| self.filter.may_have(page.address(page.area().start)))
    }

    #[inline]
    pub(super) fn entry(&self, rank: usize) -> u32 {
        self.tree.parents.get(rank).copied().unwrap_or(Tree::UNREACHED)
    }

    pub(super) fn roots(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.tree.roots)
    }

    /// Where the pairs of a key are.
    pub(super) fn pairs_of(&self, key: usize) -> Range<usize> {
        let start = self.pairs.partition_point(|pair| (pair.key as usize) < key);
        let of_key = self.pairs.get(start..).unwrap_or_default();
        let n = of_key.iter().take_while(|pair| pair.key as usize == key).count();
        start..start.saturating_add(n)
    }

    /// What an object takes in V8's heap.
    pub(super) fn bytes_of(&self, index: usize) -> u64 {
        let Some(facts) = self.view.facts(index) else { return 0 };
        (self.view.end_of(index, facts).saturating_sub(index) as u64).saturating_mul(8)
    }

    /// Makes objects heads that are asked about together; those that are alive anyway, or not at all, are left out. One that others ask
    /// about as well has a region of its own.
    pub(super) fn add_heads(
        &mut self,
        objects: &[u32],
        is_of_others: impl Fn(u32) -> bool,
    ) -> Result<(), Exceeded> {
        let n_most = self.list.len().saturating_add(objects.len());
        self.budget.room_for_heads(self.heads.len().saturating_add(objects.len()))?;
        let mut by_origin: FastMap<u32, u32> = FastMap::default();
        if self.budget.room_for_regions(n_most).is_err() {
            let origins = objects.iter().filter_map(|it| self.object(*it as usize));
            let n: FastSet<u32> = origins.map(|target| target.entry).collect();
            let n_own = objects.iter().filter(|object| is_of_others(**object)).count();
            let n = n.len().saturating_add(n_own).saturating_add(self.list.len());
            self.budget.room_for_regions(n)?;
        }
        for object in objects {
            let Some(target) = self.object(*object as usize) else { continue };
            if target.place() != Place::Outside || target.is_read_only {
                continue;
            }
            let is_own = is_of_others(*object);
            let number = match by_origin.get(&target.entry).filter(|_| !is_own) {
                Some(number) => *number,
                None => self.begin(target.entry),
            };
            if !is_own {
                by_origin.insert(target.entry, number);
            }
            self.label_head(target, number);
        }
        Ok(())
    }

    /// A head with a region of its own.
    pub(super) fn add_head(&mut self, head: Target) {
        let number = self.begin(head.entry);
        self.label_head(head, number);
    }

    fn begin(&mut self, reached_from: u32) -> u32 {
        let number = self.list.len() as u32;
        self.list.push(Region { reached_from, above: None, bytes: 0 });
        number
    }

    fn label_head(&mut self, head: Target, number: u32) {
        self.heads.push(head.index as u32);
        self.label(head, HEAD | number);
    }

    /// From outside something refers to a head, which is noted, once.
    pub(super) fn enter_head(&mut self, head: Target) {
        let entry = self.tree.parents.get_mut(head.rank);
        if let (Some(entry), Place::Region(number)) = (entry, head.place())
            && *entry & ENTERED == 0
        {
            *entry |= ENTERED;
            self.entered.push((number, head.index as u32));
        }
    }

    pub(super) fn label(&mut self, target: Target, region: u32) {
        if let Some(entry) = self.tree.parents.get_mut(target.rank) {
            *entry = LABEL | region;
        }
        self.filter.insert(target.address);
    }

    /// Takes an object out of its region: it is alive anyway.
    pub(super) fn put_outside(&mut self, rank: usize) {
        if let Some(entry) = self.tree.parents.get_mut(rank) {
            *entry = OUTSIDE;
        }
    }
}

/// Only the pairs of a table.
struct PairsOf<F>(F);

impl<F: FnMut(usize, u64)> Visitor for PairsOf<F> {
    fn strong(&mut self, _word: u64) {}

    fn ephemeron(&mut self, key: usize, value: u64) {
        (self.0)(key, value);
    }
}
