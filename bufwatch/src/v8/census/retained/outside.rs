//! Takes out of the regions what is alive without any of the heads: what the rest of the heap and the roots refer to, and what that leads
//! to. One pass over the words of the heap, which looks into an object only if one of them leads into a region.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::v8::census::copy::CopiedPage;
use crate::v8::census::parallel::in_parallel;
use crate::v8::census::references::Visitor;
use crate::v8::census::retained::limits::Exceeded;
use crate::v8::census::retained::region::{Place, Regions, Target};
use crate::v8::census::word_memory::WordMemory;

/// Words that are swept before what was found there is followed: the list of it stays small.
const WORDS_PER_BATCH: usize = 4 << 20;

/// For which it pays to ask another thread.
const PAGES_PER_PIECE: usize = 8;

impl Regions<'_> {
    /// After it, everything in a region is reached only by way of heads.
    pub(super) fn take_out_the_rest(&mut self) -> Result<(), Exceeded> {
        for word in self.roots() {
            self.enter_by(word);
        }
        let heap = self.view.heap;
        // Read-only memory refers only to itself.
        let pages = heap.pages().iter();
        let pages: Vec<&CopiedPage> =
            pages.filter(|it| !it.page.is_read_only() && !it.page.is_from_space()).collect();
        for batch in in_batches(&pages) {
            let pieces = batch.chunks(PAGES_PER_PIECE).collect();
            let found = in_parallel(pieces, heap.n_threads(), |pages: &[&CopiedPage]| {
                let mut found = Vec::new();
                let mut elsewhere = WordMemory::new();
                for page in pages {
                    self.sweep(page, &mut elsewhere, &mut found);
                }
                found
            });
            for object in found.into_iter().flatten() {
                self.budget.spend(1)?;
                self.enter_from(object as usize);
            }
            self.spread()?;
        }
        self.spread()
    }

    /// Adds the objects of a page that are outside and may refer into a region, ascending.
    fn sweep(&self, page: &CopiedPage, elsewhere: &mut WordMemory, found: &mut Vec<u32>) {
        // In machine code references are at any byte.
        if page.page.is_executable {
            let objects = self.objects_in(page.area());
            let are_outside = objects.filter(|it| Place::of(self.entry(it.rank)) == Place::Outside);
            found.extend(are_outside.map(|it| it.start as u32));
            return;
        }
        // Most words lead elsewhere: whose they are is asked last.
        let area = page.area();
        let mut behind = 0;
        for (at, word) in area.clone().zip(self.view.heap.slice(area.clone())) {
            let is_near = word & 7 == 1 && self.filter.may_have(*word) && at >= behind;
            if !is_near || !self.is_in_region(*word, elsewhere) {
                continue;
            }
            let starts = &self.view.walk.starts;
            let Some(start) = starts.at_or_before(at).filter(|it| *it >= area.start) else {
                continue;
            };
            // Once for each object.
            behind = starts.next_after(start, area.end).unwrap_or(area.end);
            if self.place(start) == Place::Outside {
                found.push(start as u32);
            }
        }
    }

    /// `elsewhere` remembers words that are not: most lead to a few objects, which lie between others.
    #[inline]
    fn is_in_region(&self, word: u64, elsewhere: &mut WordMemory) -> bool {
        let Some(place) = elsewhere.place_of(word) else { return false };
        let is_in = self.target(word).is_some_and(|it| matches!(it.place(), Place::Region(_)));
        if !is_in {
            *place = word;
        }
        is_in
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

/// Pages of about [`WORDS_PER_BATCH`] together.
fn in_batches<'p, 'a>(pages: &'p [&'a CopiedPage]) -> impl Iterator<Item = &'p [&'a CopiedPage]> {
    pages.chunk_by(|page, next| page.first / WORDS_PER_BATCH == next.first / WORDS_PER_BATCH)
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
