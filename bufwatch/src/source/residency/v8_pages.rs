//! Which memory is V8's: pages of its heaps, known by their headers, from one look at the process to the next. Headers are read only where
//! the page tables say that they are in memory.

use crate::base::{FastSet, ReadMemory};
use crate::event::residency::RssPart;
use crate::source::residency::claim::Claim;
use crate::sys::procfs::MapEntry;
use crate::v8::heap_usage::{HeapSurvey, HeapUsage, HeapUsageFacts, survey};
use crate::v8::page::{MemoryRange, Page, PageLayout, find_pages_at, starts_in};

/// Places at which a page may begin and did not: each is looked at again after so many times.
const LOOK_AGAIN_AFTER: u64 = 8;

/// Places looked at in one pass: 16 GB of memory that nobody else has claimed, about 30 ms.
const CANDIDATES_MAX: usize = 1 << 16;

/// As of the last look.
#[derive(Debug)]
pub(super) struct V8Pages {
    /// `None` if it is not known what headers of this V8 look like: nothing is found then.
    layout: Option<PageLayout>,
    facts: Option<HeapUsageFacts>,
    /// Ascending.
    pages: Vec<Page>,
    survey: HeapSurvey,
    /// Places that were looked at and are none.
    others: FastSet<u64>,
    n_looks: u64,
}

/// Where a page may begin, of one pass over the process.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    places: Vec<(u64, MemoryRange)>,
    /// Mappings that were considered, ascending.
    ranges: Vec<MemoryRange>,
}

impl V8Pages {
    pub(super) fn new(layout: Option<PageLayout>, facts: Option<HeapUsageFacts>) -> Self {
        Self {
            layout,
            facts,
            pages: Vec::new(),
            survey: HeapSurvey::default(),
            others: FastSet::default(),
            n_looks: 0,
        }
    }

    pub(super) fn usages(&self) -> &[HeapUsage] {
        &self.survey.usages
    }

    pub(super) fn claims(&self) -> Vec<Claim> {
        let claim = |page| claim(page, &self.survey.pooled);
        self.pages.iter().map(claim).collect()
    }

    /// True if any page is in this mapping. V8 keeps all that it has from being copied on fork (kernel-facts.md §0), and the kernel makes
    /// one mapping only of what has the same flags: the rest of it is V8's as well.
    pub(super) fn has(&self, entry: &MapEntry) -> bool {
        let after = self.pages.partition_point(|page| page.start < entry.end);
        let last = after.checked_sub(1).and_then(|at| self.pages.get(at));
        last.is_some_and(|page| page.start >= entry.start)
    }

    /// Notes the places in a resident range that nobody has, or V8 had.
    pub(super) fn consider(
        &self,
        candidates: &mut Candidates,
        entry: &MapEntry,
        start: u64,
        end: u64,
    ) {
        if self.layout.is_none() || !may_have_pages(entry) {
            return;
        }
        let range = MemoryRange {
            start: entry.start,
            end: entry.end,
            is_writable: entry.is_writable,
            is_executable: entry.is_executable,
        };
        if candidates.ranges.last() != Some(&range) {
            candidates.ranges.push(range);
        }
        let is_due = |at: &u64| {
            !self.others.contains(at)
                || (at >> 18) % LOOK_AGAIN_AFTER == self.n_looks % LOOK_AGAIN_AFTER
        };
        let room = CANDIDATES_MAX.saturating_sub(candidates.places.len());
        // A header fits where the start of a page is.
        let places = starts_in(&(start..end.saturating_add(1))).filter(is_due).take(room);
        candidates.places.extend(places.map(|at| (at, range)));
    }

    /// Reads the headers: what is a page now is one from here on, and nothing else.
    pub(super) fn look(&mut self, memory: &impl ReadMemory, candidates: &Candidates) {
        let Some(layout) = self.layout else { return };
        self.n_looks += 1;
        let found = find_pages_at(memory, layout, &candidates.places, &candidates.ranges);
        let are_pages: FastSet<u64> = found.iter().map(|page| page.start).collect();
        if self.others.len() > CANDIDATES_MAX {
            self.others.clear();
        }
        for (at, _) in &candidates.places {
            if are_pages.contains(at) {
                self.others.remove(at);
            } else {
                self.others.insert(*at);
            }
        }
        self.survey = survey(memory, layout, self.facts, &found);
        self.pages = found;
    }
}

fn claim(page: &Page, pooled: &FastSet<u64>) -> Claim {
    let part = if page.is_executable {
        RssPart::V8Code
    } else if pooled.contains(&page.start) {
        RssPart::V8Other
    } else if page.is_young() {
        RssPart::V8Young
    } else if page.is_large() {
        RssPart::V8Large
    } else {
        RssPart::V8Old
    };
    Claim { start: page.start, end: page.start.saturating_add(page.size), part }
}

/// V8 asks the kernel for its memory; none of it is in a file or in the brk heap.
fn may_have_pages(entry: &MapEntry) -> bool {
    entry.is_readable
        && !entry.is_shared
        && entry.inode == 0
        && (entry.path.is_empty() || entry.path.starts_with("[anon:"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::base::{Avma, MemoryError};
    use crate::v8::page::PAGE_ALIGNMENT;

    /// Words by address; all of the rest reads as zero.
    struct Fake(BTreeMap<u64, u64>);

    impl ReadMemory for Fake {
        fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
            for (n, byte) in out.iter_mut().enumerate() {
                let at = address.0 + n as u64;
                *byte = self.0.get(&(at & !7)).unwrap_or(&0).to_le_bytes()[(at & 7) as usize];
            }
            Ok(())
        }
    }

    const START: u64 = 0x4000_0000;

    /// Headers of ordinary pages, by their numbers, with these flags.
    fn memory(pages: &[(u64, u64)]) -> Fake {
        let words = pages.iter().flat_map(|(n, flags)| {
            let at = START + n * PAGE_ALIGNMENT;
            [
                (at, PAGE_ALIGNMENT),
                (at + 8, *flags),
                (at + 16, 0x5000_0000),
                (at + 24, at + 0x1000),
                (at + 32, at + PAGE_ALIGNMENT),
            ]
        });
        Fake(words.collect())
    }

    fn mapping() -> MapEntry {
        MapEntry {
            start: START,
            end: START + 64 * PAGE_ALIGNMENT,
            is_readable: true,
            is_writable: true,
            ..MapEntry::default()
        }
    }

    /// Numbers of the pages that are found, and what they are.
    fn look(v8: &mut V8Pages, memory: &Fake) -> Vec<(u64, RssPart)> {
        let mut candidates = Candidates::default();
        let entry = mapping();
        v8.consider(&mut candidates, &entry, entry.start, entry.end);
        v8.look(memory, &candidates);
        v8.claims().iter().map(|it| ((it.start - START) / PAGE_ALIGNMENT, it.part)).collect()
    }

    #[test]
    fn pages_come_change_and_go() {
        let mut v8 = V8Pages::new(Some(PageLayout::Plain), None);
        let (young, old) = (RssPart::V8Young, RssPart::V8Old);
        assert_eq!(look(&mut v8, &memory(&[(2, 0), (7, 16)])), [(2, old), (7, young)]);
        assert!(v8.has(&mapping()));
        // One is promoted.
        assert_eq!(look(&mut v8, &memory(&[(2, 0), (7, 0)])), [(2, old), (7, old)]);
        assert_eq!(look(&mut v8, &memory(&[(7, 0)])), [(7, old)]);
        assert_eq!(v8.pages[0].heap, Some(Avma(0x5000_0000)));
    }

    #[test]
    fn a_place_that_was_none_is_looked_at_again_some_day() {
        let mut v8 = V8Pages::new(Some(PageLayout::Plain), None);
        look(&mut v8, &memory(&[]));
        let there = memory(&[(5, 0)]);
        let n_looks =
            (0..LOOK_AGAIN_AFTER).take_while(|_| look(&mut v8, &there).is_empty()).count();
        assert!((n_looks as u64) < LOOK_AGAIN_AFTER);
        assert_eq!(v8.pages.len(), 1);
    }

    #[test]
    fn without_a_layout_nothing_is_found() {
        let mut v8 = V8Pages::new(None, None);
        assert!(look(&mut v8, &memory(&[(1, 0)])).is_empty());
    }
}
