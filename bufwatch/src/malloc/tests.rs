//! Surveys of heaps made by hand: what glibc lays out is counted, what contradicts itself is not, and no bytes make it panic or run on.

use std::ops::Range;

use proptest::prelude::*;

use super::fake::{BRK, Fake, HEAP, HEAP_BYTES, INFO_BYTES, LIBC_DATA, MAIN};
use super::*;
use crate::event::residency::Obstacle;
use crate::sys::pagemap::PageState;

/// Whole pages of a free chunk, by its definition in `mtrim`.
pub(super) fn whole_pages(chunk: Range<u64>) -> Option<Range<u64>> {
    let pages = (chunk.start + 48).next_multiple_of(PAGE)..chunk.end / PAGE * PAGE;
    (pages.start < pages.end).then_some(pages)
}

/// Chunks of a heap in which no two free ones are neighbours and the last is in use, as glibc keeps it.
pub(super) fn chunks() -> impl Strategy<Value = Vec<(u64, bool)>> {
    let size = prop_oneof![4 => 2_u64..40, 2 => 40_u64..600, 1 => 600_u64..200_000];
    proptest::collection::vec((size, any::<bool>()), 0..120).prop_map(|chunks| {
        let mut is_previous_free = true;
        let mut all: Vec<(u64, bool)> = Vec::new();
        for (n, is_free) in chunks {
            is_previous_free = is_free && !is_previous_free;
            all.push((n * 16, is_previous_free));
        }
        if is_previous_free {
            all.push((32, false));
        }
        all
    })
}

/// What the survey is to find, by another way.
fn wanted(first: u64, chunks: &[(u64, bool)], top: &Range<u64>) -> (u64, u64, Vec<Range<u64>>) {
    let mut at = first;
    let mut free: Vec<Range<u64>> = Vec::new();
    for (size, is_free) in chunks {
        if *is_free {
            free.push(at..at + size);
        }
        at += size;
    }
    free.push(top.clone());
    let bytes = free.iter().map(|it| it.end - it.start).sum();
    (free.len() as u64, bytes, free.into_iter().filter_map(whole_pages).collect())
}

#[test]
fn free_chunks_and_the_top_are_counted_with_their_whole_pages() {
    let mut fake = Fake::default();
    let chunks = [(0x290, false), (3 * PAGE, true), (64, false), (64, true), (0x1000, false)];
    let top = fake.main_heap(&chunks, 0x3000);
    let survey = fake.survey();
    assert_eq!((survey.n_arenas, survey.n_arenas_unknown, survey.obstacle), (1, 0, None));
    assert_eq!((survey.n_chunks, survey.n_free), (6, 3));
    assert_eq!(survey.free_bytes, 3 * PAGE + 64 + (top.end - top.start));
    assert_eq!((survey.top_bytes, survey.free_thread_bytes), (top.end - top.start, 0));
    let first_free = BRK + PAGE..BRK + 3 * PAGE;
    assert_eq!(survey.free_pages, [first_free, whole_pages(top).unwrap()]);
}

#[test]
fn large_chunks_are_skipped_without_being_read() {
    let mut fake = Fake::default();
    let chunks: Vec<_> = (0..400).map(|n| (0x10_0010, n % 10 != 0 && n % 2 == 0)).collect();
    fake.main_heap(&chunks, 0x3000);
    let survey = fake.survey();
    assert_eq!((survey.n_chunks, survey.obstacle), (401, None));
    assert!(fake.n_reads.get() < 900, "{}", fake.n_reads.get());
}

#[test]
fn all_forms_of_an_arena_are_recognised() {
    // glibc 2.26, 2.27 to 2.42, and without fast bins.
    for form in [[88, 104, 2_152], [96, 112, 2_160], [8, 24, 2_072]] {
        let mut fake = Fake::default();
        let top = fake.main_heap(&[(0x290, false), (0x10_0000, true), (0x20, false)], 0x3000);
        for at in (MAIN..MAIN + 2_300).step_by(8) {
            fake.set(at, 0);
        }
        fake.arena_of_form(MAIN, top.start, MAIN, form);
        assert_eq!(
            arena::find_main(&fake, std::slice::from_ref(&LIBC_DATA)).unwrap().address,
            MAIN
        );
        // A foreign page behind the top: only the arena knows where the heap's last chunk is.
        fake.set(top.start + 8, (top.end - top.start - PAGE) | 1);
        assert_eq!(fake.survey().obstacle, None, "{form:?}");
    }
}

#[test]
fn a_bin_that_is_being_changed_does_not_hide_an_arena() {
    let mut fake = Fake::default();
    fake.main_heap(&[(0x290, false), (0x10_0000, true), (0x20, false)], 0x3000);
    fake.set(MAIN + 112 + 5 * 16, 0);
    assert_eq!(fake.survey().obstacle, None);
}

#[test]
fn what_malloc_decides_by_is_read_in_all_forms() {
    // glibc 2.26, 2.35 and 2.43: what is before `n_mmaps`.
    for n_before in [0_u64, 3, 4] {
        let mut fake = Fake::default();
        fake.main_heap(&[(0x290, false)], 0x3000);
        let at = LIBC_DATA.start + 0x400;
        let first = [65_019_904, 131_072, 32_509_952, 8, 0];
        for (n, word) in first.into_iter().enumerate() {
            fake.set(at + n as u64 * 8, word);
        }
        // 3 blocks of at most 65,536; 5 were the most; the thresholds move.
        let ints = at + 40 + (n_before * 8).saturating_sub(u64::from(n_before > 0) * 4);
        for (n, int) in [3_u64, 65_536, 5, 0].into_iter().enumerate() {
            let place = ints + n as u64 * 4;
            let word = fake.get(place & !7);
            fake.set(
                place & !7,
                if place.is_multiple_of(8) { word | int } else { word | int << 32 },
            );
        }
        let end = (ints + 16).next_multiple_of(8);
        fake.set(end, 3 * 0x10_1000);
        fake.set(end + 8, 5 * 0x10_1000);
        fake.set(end + 16, BRK);
        let wanted =
            Parameters { mmap_threshold: 32_509_952, trim_threshold: 65_019_904, is_fixed: false };
        assert_eq!(fake.survey().parameters, Some(wanted), "{n_before}");
        fake.set(at + 16, u64::MAX);
        assert_eq!(fake.survey().parameters, None);
    }
}

#[test]
fn without_the_arena_the_last_chunk_must_end_with_the_heap() {
    let mut fake = Fake::default();
    let top = fake.main_heap(&[(0x290, false), (0x10_0000, true), (0x20, false)], 0x3000);
    for at in (MAIN..MAIN + 2_200).step_by(8) {
        fake.set(at, 0);
    }
    // There may be others.
    assert_eq!(fake.survey().obstacle, Some(Obstacle::UnknownForm));
    assert_eq!((fake.survey().n_free, fake.survey().n_arenas_unknown), (2, 0));
    fake.set(top.start + 8, (top.end - top.start - PAGE) | 1);
    assert_eq!(fake.survey().obstacle, Some(Obstacle::Changing));
}

#[test]
fn heaps_of_threads_are_walked_up_to_their_fences() {
    let mut fake = Fake::default();
    fake.main_heap(&[(0x290, false)], 0x3000);
    let top = fake.thread_heap(&[(0x290, false), (0x8000, true), (0x40, false)], 0x21000);
    let older = HEAP - HEAP_BYTES;
    let arena = HEAP + INFO_BYTES;
    let rest = HEAP_BYTES - INFO_BYTES - 32 - 0x100;
    fake.full_heap(older, arena, &[(0x100, false), (rest, true)]);
    // The arena's first heap is the one that has the arena.
    fake.info(older, arena, HEAP, HEAP_BYTES);
    fake.anonymous.sort_unstable_by_key(|range| range.start);
    let survey = fake.survey();
    assert_eq!((survey.n_arenas, survey.obstacle), (2, None));
    assert_eq!(survey.free_thread_bytes, rest + 0x8000 + (top.end - top.start));
    // Two tops, a free chunk, and all but the first chunk of the older heap.
    assert_eq!(survey.n_free, 4);
    assert_eq!(survey.heaps, [older..older + HEAP_BYTES, HEAP..HEAP + 0x21000]);
    let first = older + INFO_BYTES + 0x100;
    assert_eq!(survey.free_pages[1], whole_pages(first..first + rest).unwrap());
    assert_eq!(survey.free_pages.last(), whole_pages(top).as_ref());
}

#[test]
fn an_arena_that_contradicts_itself_is_not_known_and_the_others_are() {
    let mut fake = Fake::default();
    fake.main_heap(&[(0x290, false), (0x8000, true), (0x20, false)], 0x3000);
    fake.thread_heap(&[(0x290, false), (0x8000, true), (0x40, false)], 0x21000);
    let known = fake.survey();
    let first = (HEAP + INFO_BYTES + 2_200).next_multiple_of(16);
    // In use, but of the main arena.
    let size = fake.get(first + 8);
    fake.set(first + 8, size & !4);
    let survey = fake.survey();
    assert_eq!((survey.n_arenas, survey.n_arenas_unknown), (2, 1));
    assert_eq!(survey.obstacle, Some(Obstacle::Changing));
    assert_eq!((known.n_free, survey.n_free), (4, 2));
    assert_eq!(survey.heaps, known.heaps, "what the memory is for is known");
    assert_eq!(survey.free_pages, known.free_pages[..2]);
}

#[test]
fn a_chunk_that_changes_under_the_walk_is_read_again() {
    let mut fake = Fake::default();
    let chunks: Vec<_> = (0..2_000).map(|n| (0x400, n % 4 == 1)).collect();
    fake.main_heap(&chunks, 0x3000);
    let wanted = fake.survey();
    assert_eq!(wanted.obstacle, None);
    let wanted_reads = fake.n_reads.get();
    for n in [3, 500, 1_998] {
        let header = BRK + n * 0x400 + 8;
        for word in [0, 7, 0x18, 0x400_0001, u64::MAX] {
            let mut changing = fake.clone();
            let right = changing.get(header);
            changing.set(header, word);
            // Some attempts see what it is not to be, one sees what it is.
            changing.n_reads.set(0);
            changing.later.push((wanted_reads.min(12) + n / 4, header, right));
            let survey = changing.survey();
            assert_eq!(survey.obstacle, None, "{n} {word:#x}");
            assert_eq!(survey.free_pages, wanted.free_pages);
            assert_eq!(
                (survey.n_chunks, survey.n_free, survey.free_bytes),
                (wanted.n_chunks, wanted.n_free, wanted.free_bytes)
            );
        }
    }
}

#[test]
fn a_heap_that_somebody_else_grew_too_is_not_known() {
    let mut fake = Fake::default();
    fake.main_heap(&[(0x290, false), (0x8000, false), (16, false), (16, false)], 0x3000);
    assert_eq!(fake.survey().obstacle, Some(Obstacle::UnknownForm));
}

#[test]
fn swapped_headers_are_not_brought_in() {
    let mut fake = Fake::default();
    fake.main_heap(&[(0x290, false), (0x8000, true), (0x20, false)], 0x3000);
    fake.run(BRK, BRK + PAGE, PageState::Swapped);
    assert_eq!(fake.survey().obstacle, Some(Obstacle::Swapped));
}

#[test]
fn limits_end_a_survey() {
    let mut fake = Fake::default();
    fake.main_heap(&vec![(0x20, false); 5_000], 0x3000);
    let limits = Limits { n_chunks: 4_000, ..Limits::default() };
    assert_eq!(fake.survey_within(limits).obstacle, Some(Obstacle::TooLarge));
    let limits = Limits { n_bytes: 100_000, ..Limits::default() };
    let survey = fake.survey_within(limits);
    assert_eq!((survey.obstacle, survey.n_chunks), (Some(Obstacle::TooLarge), 0));
}

const MAPPED: u64 = 0x7d00_0000_0000;

#[test]
fn blocks_with_own_mappings_are_found_in_a_merged_one() {
    let mut fake = Fake::default();
    fake.main_heap(&[(0x290, false)], 0x3000);
    let end = MAPPED + 0x80_0000;
    fake.anonymous.push(MAPPED..end);
    // A stack comes first, of which little was used; then blocks, two of them stores that are known.
    fake.resident(MAPPED + 0x1f_c000, MAPPED + 0x20_0000);
    fake.set(MAPPED + 0x1f_d000, 0x1234);
    let start = |n: u64| MAPPED + 0x20_0000 + n * 0x10_1000;
    for n in 0..4 {
        fake.mapped(start(n), 0x10_1000);
    }
    for n in [1, 2] {
        fake.stores.push(start(n) + 16..start(n) + 16 + 0x10_0000);
    }
    let survey = fake.survey();
    assert_eq!(survey.blocks, [0, 3].map(|n| start(n)..start(n) + 0x10_1000));
    assert_eq!(survey.blocks_obstacle, None);
}

#[test]
fn a_block_longer_than_its_mapping_is_none() {
    let mut fake = Fake::default();
    fake.main_heap(&[(0x290, false)], 0x3000);
    fake.anonymous.push(MAPPED..MAPPED + 0x2000);
    fake.mapped(MAPPED, 0x3000);
    assert_eq!(fake.survey().blocks, []);
    fake.mapped(MAPPED, 0x2000);
    assert!(fake.survey().blocks.into_iter().eq(std::iter::once(MAPPED..MAPPED + 0x2000)));
}

#[test]
fn a_process_without_a_heap_is_not_known() {
    assert_eq!(Fake::default().survey().obstacle, Some(Obstacle::UnknownForm));
}

proptest! {
    #[test]
    fn what_is_laid_out_is_found(main in chunks(), thread in chunks()) {
        let mut fake = Fake::default();
        let main_top = fake.main_heap(&main, 0x5000);
        let n_bytes: u64 = thread.iter().map(|(size, _)| size).sum();
        let thread_top = fake.thread_heap(&thread, (n_bytes + 0x2000).next_multiple_of(PAGE));
        let survey = fake.survey();
        prop_assert_eq!((survey.n_arenas, survey.obstacle), (2, None));
        let first = (HEAP + INFO_BYTES + 2_200).next_multiple_of(16);
        let (n_main, bytes_main, mut pages) = wanted(BRK, &main, &main_top);
        let (n_thread, bytes_thread, pages_thread) = wanted(first, &thread, &thread_top);
        pages.extend(pages_thread);
        prop_assert_eq!(survey.n_chunks, (main.len() + thread.len() + 2) as u64);
        prop_assert_eq!(survey.n_free, n_main + n_thread);
        prop_assert_eq!(survey.free_bytes, bytes_main + bytes_thread);
        prop_assert_eq!(survey.free_pages, pages);
    }

    /// Whatever one word says: either it is noticed, or what is found is of the heap.
    #[test]
    fn a_damaged_heap_is_survived(
        main in chunks(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 1..4),
        is_small in any::<bool>(),
    ) {
        let mut fake = Fake::default();
        let top = fake.main_heap(&main, 0x5000);
        fake.thread_heap(&[(0x290, false), (0x8000, true), (0x40, false)], 0x21000);
        let mut addresses: Vec<u64> = (BRK..top.start).step_by(8).take(4_000).collect();
        addresses.extend((MAIN..MAIN + 2_200).step_by(8));
        addresses.extend((HEAP..HEAP + 0xa00).step_by(8));
        for (at, word) in damage {
            fake.set(*at.get(&addresses), if is_small { word % 0x1000 } else { word });
        }
        let survey = fake.survey();
        let is_inside = |range: &Range<u64>| {
            let inside = |all: &Range<u64>| all.start <= range.start && range.end <= all.end;
            inside(&fake.brk[0]) || survey.heaps.iter().any(inside)
        };
        prop_assert!(survey.free_pages.iter().all(is_inside));
        prop_assert!(survey.free_pages.is_sorted_by_key(|range| range.start));
        let heaps: u64 = survey.heaps.iter().map(|heap| heap.end - heap.start).sum();
        prop_assert!(survey.free_bytes <= top.end - BRK + heaps);
    }

    #[test]
    fn hostile_bytes_are_survived(words in proptest::collection::vec((0_u64..0x400, any::<u64>()), 0..400)) {
        let mut fake = Fake::default();
        fake.main_heap(&[(0x290, false)], 0x5000);
        fake.anonymous.push(MAPPED..MAPPED + 0x10_0000);
        fake.anonymous.push(HEAP..HEAP + 0x10_0000);
        fake.resident(MAPPED, MAPPED + 0x10_0000);
        fake.resident(HEAP, HEAP + 0x10_0000);
        for (n, word) in words {
            let place = [BRK, MAIN, HEAP, MAPPED][(n % 4) as usize];
            fake.set(place + n / 4 * 8 % 0x1000, word);
        }
        let survey = fake.survey();
        prop_assert!(survey.blocks.iter().all(|block| block.end <= MAPPED + 0x10_0000));
    }
}
