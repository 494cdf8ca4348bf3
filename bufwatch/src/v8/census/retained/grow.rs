//! Fills the regions: by following references from their heads, which takes as long as there is much below them; if that is a large part
//! of the heap, by looking up for each object of the heap what it was reached from.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::v8::census::mark::Tree;
use crate::v8::census::references::Visitor;
use crate::v8::census::retained::region::{OUTSIDE, Place, Regions, Span, Target, label_below};

impl Regions<'_> {
    /// Labels everything that marking reached from the heads.
    pub(super) fn grow(&mut self) {
        if !self.follow() {
            self.look_up_all();
        }
        for number in 0..self.list.len() {
            let from = self.list.get(number).map(|region| region.reached_from as usize);
            let above = from.map_or(Place::Nowhere, |from| self.place(from));
            if let (Place::Region(above), Some(region)) = (above, self.list.get_mut(number)) {
                region.above = Some(above);
            }
        }
    }

    /// False if it leads to too many objects.
    fn follow(&mut self) -> bool {
        let mut number = 0;
        let mut n_left = self.budget.followed;
        // More heads may come up: values of keys that are in a region.
        while let Some(head) = self.heads.get(number) {
            self.pending.push(*head as usize);
            while let Some(object) = self.pending.pop() {
                let Some(left) = n_left.checked_sub(1) else {
                    self.pending.clear();
                    return false;
                };
                n_left = left;
                self.take_in(object);
            }
            number = number.saturating_add(1);
        }
        true
    }

    fn take_in(&mut self, object: usize) {
        let Place::Region(number) = self.place(object) else { return };
        let bytes = self.bytes_of(object);
        self.add_bytes(number, bytes);
        for n in self.pairs_of(object) {
            self.begin_value(n);
        }
        let view = self.view;
        view.visit(object, &mut TakingIn { regions: self, from: object as u32, number });
    }

    /// A value that marking reached by way of a weak map is a head of its own, since it belongs to its key as well.
    fn begin_value(&mut self, pair: usize) {
        let Some(pair) = self.pairs.get(pair).copied() else { return };
        let value = self.object(pair.value as usize);
        if let Some(value) = value.filter(|it| it.entry == pair.table && !it.is_read_only) {
            self.add_head(value);
        }
    }

    fn add_bytes(&mut self, number: u32, bytes: u64) {
        if let Some(region) = self.list.get_mut(number as usize) {
            region.bytes = region.bytes.saturating_add(bytes);
        }
    }

    /// Every object gets the label of what it was reached from. Objects and what they were reached from tend to lie close together.
    fn look_up_all(&mut self) {
        for pair in 0..self.pairs.len() {
            self.begin_value(pair);
        }
        for region in &mut self.list {
            region.bytes = 0;
        }
        let view = self.view;
        for page in view.heap.pages() {
            let is_read_only = page.page.is_read_only();
            for Span { start, rank, .. } in self.objects_in(page.first..page.end) {
                let entry = self.entry(rank);
                let entry = if entry > Tree::INDEX_MAX {
                    entry
                } else {
                    let found = if is_read_only { OUTSIDE } else { self.label_of(entry) };
                    self.set_on_the_way(rank, found);
                    found
                };
                if let Place::Region(number) = Place::of(entry) {
                    self.filter.insert(page.address(start));
                    let bytes = self.bytes_of(start);
                    self.add_bytes(number, bytes);
                }
            }
        }
    }

    /// Up the tree to the first object whose label is known.
    fn label_of(&self, mut entry: u32) -> u32 {
        while entry <= Tree::INDEX_MAX {
            entry = self.rank_of(entry as usize).map_or(OUTSIDE, |rank| self.entry(rank));
        }
        label_below(entry)
    }

    /// The same way once more, so that nobody has to go it again.
    fn set_on_the_way(&mut self, mut rank: usize, label: u32) {
        while let Some(entry) = self.tree.parents.get_mut(rank) {
            let above = *entry;
            if above > Tree::INDEX_MAX {
                return;
            }
            *entry = label;
            let Some(next) = self.rank_of(above as usize) else { return };
            rank = next;
        }
    }
}

/// What was reached from an object of a region belongs to the region.
struct TakingIn<'r, 'a> {
    regions: &'r mut Regions<'a>,
    from: u32,
    number: u32,
}

impl TakingIn<'_, '_> {
    fn reached(&self, word: u64) -> Option<Target> {
        let target = self.regions.target(word)?;
        (target.entry == self.from && !target.is_read_only).then_some(target)
    }
}

impl Visitor for TakingIn<'_, '_> {
    #[inline]
    fn strong(&mut self, word: u64) {
        if let Some(target) = self.reached(word) {
            self.regions.label(target, self.number);
            self.regions.pending.push(target.index);
        }
    }

    fn ephemeron(&mut self, _key: usize, value: u64) {
        if let Some(target) = self.reached(value) {
            self.regions.add_head(target);
        }
    }
}
