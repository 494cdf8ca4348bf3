//! Takes out of the regions what is alive without any of the heads: what the rest of the heap and the roots refer to, and what that leads
//! to. One pass over the heap, which looks into an object only if one of its words leads
//! into a region.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::v8::census::copy::CopiedPage;
use crate::v8::census::references::Visitor;
use crate::v8::census::retained::limits::Exceeded;
use crate::v8::census::retained::region::{Place, Regions, Span, Target};

impl Regions<'_> {
    /// After it, everything in a region is reached only by way of heads.
    pub(super) fn take_out_the_rest(&mut self) -> Result<(), Exceeded> {
        for word in self.roots() {
            self.enter_by(word);
        }
        let view = self.view;
        for page in view.heap.pages() {
            // Read-only memory refers only to itself.
            if page.page.is_read_only() || page.page.is_from_space() {
                continue;
            }
            self.sweep(page)?;
            self.spread()?;
        }
        self.spread()
    }

    /// Looks into the objects of a page that are outside and may refer into a region.
    fn sweep(&mut self, page: &CopiedPage) -> Result<(), Exceeded> {
        let heap = self.view.heap;
        // In machine code references are at any byte.
        let is_code = page.page.is_executable;
        for Span { start, end, rank } in self.objects_in(page.area()) {
            if Place::of(self.entry(rank)) != Place::Outside {
                continue;
            }
            let leads_into = |word: &u64| {
                word & 7 == 1
                    && self.filter.may_have(*word)
                    && self.target(*word).is_some_and(|it| matches!(it.place(), Place::Region(_)))
            };
            if is_code || heap.slice(start..end).iter().any(leads_into) {
                self.budget.spend(1)?;
                self.enter_from(start);
            }
        }
        Ok(())
    }

    fn enter_by(&mut self, word: u64) {
        if let Some(target) = self.target(word) {
            self.enter(target);
        }
    }

    fn enter(&mut self, target: Target) {
        let Place::Region(number) = target.place() else { return };
        if target.is_head() {
            self.enter_head(target);
            return;
        }
        self.put_outside(target.rank);
        self.pending.push(target.index);
        let bytes = self.bytes_of(target.index);
        if let Some(region) = self.list.get_mut(number as usize) {
            region.bytes = region.bytes.saturating_sub(bytes);
        }
    }

    /// An object that is outside: so is what it refers to.
    fn enter_from(&mut self, object: usize) {
        let view = self.view;
        view.visit(object, &mut Entering { regions: self });
    }

    /// Values of weak maps whose keys are found here stay where they are: each answer looks at the pairs.
    fn spread(&mut self) -> Result<(), Exceeded> {
        while let Some(object) = self.pending.pop() {
            self.budget.spend(1)?;
            self.enter_from(object);
        }
        Ok(())
    }
}

struct Entering<'r, 'a> {
    regions: &'r mut Regions<'a>,
}

impl Visitor for Entering<'_, '_> {
    #[inline]
    fn strong(&mut self, word: u64) {
        self.regions.enter_by(word);
    }

    fn ephemeron(&mut self, key: usize, value: u64) {
        if self.regions.place(key) == Place::Outside {
            self.regions.enter_by(value);
        }
    }
}
