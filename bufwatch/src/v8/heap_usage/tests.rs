//! A made-up heap of three spaces, surveyed and damaged.
#![expect(clippy::arithmetic_side_effects, reason = "made-up addresses")]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::space::COMMITTED;
use super::*;
use crate::base::MemoryError;
use crate::v8::page::PAGE_ALIGNMENT;
use crate::v8::page::SPACE_HEAP as HEAP;

/// Words by address; all of the rest cannot be read.
struct Fake(BTreeMap<u64, u64>);

impl ReadMemory for Fake {
    fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
        for (n, chunk) in out.chunks_mut(8).enumerate() {
            let at = address.0.saturating_add(n as u64 * 8);
            let word = self.0.get(&at).ok_or(MemoryError::Unmapped(address))?;
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

const ISOLATE_HEAP: u64 = 0x900_0000;
const FACTS: HeapUsageFacts = HeapUsageFacts::of(12, 4).unwrap();
const OLD_SPACE: u64 = 0x9f0_0000;
const NEW_SPACE: u64 = 0xa00_0000;
const FROM_SPACE: u64 = 0xa00_1000;
const GONE_SPACE: u64 = 0xa00_2000;
const HEADER: u64 = 0x1000;
const AREA: u64 = PAGE_ALIGNMENT - HEADER;

fn page(n: u64, owner: u64, flags: u64, allocated: u64) -> Page {
    let start = 0x1_0000_0000 + n * PAGE_ALIGNMENT;
    Page {
        start,
        size: PAGE_ALIGNMENT,
        committed: PAGE_ALIGNMENT,
        allocated,
        area_start: start + HEADER,
        area_end: start + PAGE_ALIGNMENT,
        heap: Some(Avma(ISOLATE_HEAP)),
        owner,
        flags,
        is_writable: true,
        is_executable: false,
    }
}

/// Two old pages and one that is none any more, three of new space in the order 4, 3, 5, of which the second is in use, and one of
/// the other half, and one of a space that is no more.
fn process() -> (Fake, Vec<Page>) {
    let pages = vec![
        page(0, OLD_SPACE, 0, 1_000),
        page(1, OLD_SPACE, 0, 2_000),
        page(2, OLD_SPACE, 0, 50_000),
        page(3, NEW_SPACE, 16, AREA),
        page(4, NEW_SPACE, 16, AREA),
        page(5, NEW_SPACE, 16, AREA),
        page(6, FROM_SPACE, 8, AREA),
        page(7, GONE_SPACE, 0, 60_000),
    ];
    let start = |n: usize| pages[n].start;
    let areas = ISOLATE_HEAP - 0xdea0 + 0xc0;
    let mut words = BTreeMap::from([
        (ISOLATE_HEAP + 0x90, 123),
        (areas, start(3) + HEADER),
        (areas + 8, start(3) + HEADER + 500),
        (areas + 16, start(3) + PAGE_ALIGNMENT),
        (areas + 24, start(1) + HEADER),
        (areas + 32, start(1) + HEADER + 1_900),
        (areas + 40, start(1) + HEADER + 2_000),
    ]);
    for (space, list) in
        [(OLD_SPACE, vec![1, 0]), (NEW_SPACE, vec![4, 3, 5]), (FROM_SPACE, vec![6])]
    {
        words.insert(space + HEAP, ISOLATE_HEAP);
        words.insert(space + COMMITTED, list.len() as u64 * PAGE_ALIGNMENT);
        words.insert(space + 0x28, start(list[0]));
        words.insert(space + 0x88, 0);
        for (n, at) in list.iter().enumerate() {
            words.insert(start(*at) + 0x108, list.get(n + 1).map_or(0, |next| start(*next)));
        }
    }
    words.insert(NEW_SPACE + 0x88, start(3));
    words.insert(start(2) + 0x108, 0xdead_0000);
    (Fake(words), pages)
}

fn look(memory: &Fake, facts: Option<HeapUsageFacts>, pages: &[Page]) -> (HeapUsage, usize) {
    let survey = survey(memory, PageLayout::SelfPointer, facts, pages);
    assert_eq!(survey.usages.len(), 1);
    (survey.usages[0], survey.pooled.len())
}

#[test]
fn with_all_that_is_known_it_is_exact() {
    let (memory, pages) = process();
    let (usage, n_pooled) = look(&memory, Some(FACTS), &pages);
    assert_eq!((usage.total, n_pooled), (Bytes(6 * PAGE_ALIGNMENT), 2));
    assert_eq!(usage.external, Some(Bytes(123)));
    let used = Bytes(1_000 + 2_000 - 100 + AREA + 500);
    assert_eq!((usage.used_min, usage.used_max), (used, used));
}

#[test]
fn an_unknown_version_has_bounds() {
    let (memory, pages) = process();
    let (usage, n_pooled) = look(&memory, None, &pages);
    assert_eq!((usage.total, n_pooled), (Bytes(8 * PAGE_ALIGNMENT), 0));
    assert_eq!(usage.external, None);
    assert_eq!((usage.used_min, usage.used_max), (Bytes(0), Bytes(113_000 + 3 * AREA)));
}

#[test]
fn a_list_that_makes_no_sense_is_not_believed() {
    let (mut memory, pages) = process();
    // A ring.
    memory.0.insert(pages[5].start + 0x108, pages[4].start);
    let (usage, n_pooled) = look(&memory, Some(FACTS), &pages);
    assert_eq!((usage.used_min, usage.used_max), (Bytes(2_900), Bytes(2_900 + 3 * AREA)));
    assert_eq!(n_pooled, 2);
}

proptest! {
    #[test]
    fn any_words_are_survived(changes in proptest::collection::vec((0_usize..100, any::<u64>()), 0..6)) {
        let (mut memory, pages) = process();
        let places: Vec<u64> = memory.0.keys().copied().collect();
        for (n, word) in changes {
            memory.0.insert(places[n % places.len()], word);
        }
        // Words that no longer tie the pages to a heap leave no usage to tell, which is right too.
        let survey = survey(&memory, PageLayout::SelfPointer, Some(FACTS), &pages);
        prop_assert!(survey.usages.len() <= 1);
        prop_assert!(survey.usages.iter().all(|usage| usage.used_min <= usage.used_max));
    }
}
