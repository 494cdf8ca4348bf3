//! Surveys of a main arena that could not grow by brk and has regions elsewhere, laid out by hand as `sysmalloc` does.

use std::ops::Range;

use proptest::prelude::*;

use super::fake::{BRK, Chunk, Fake, LIBC_DATA, MAIN};
use super::tests::{chunks, whole_pages};
use super::*;
use crate::event::residency::Obstacle;
use crate::sys::pagemap::PageState;

const MAPPED: u64 = 0x7d00_0000_0000;

/// A region's bytes, mostly.
const MB: u64 = 1 << 20;

/// `next` and `system_mem` in an arena of glibc 2.27 to 2.42.
const SYSTEM_BYTES: u64 = 2_160 + 24;

const USED: Chunk = (0x290, false);

/// A made-up process, and what is to be found in it.
#[derive(Default)]
struct Scattered {
    fake: Fake,
    top: Range<u64>,
    bytes: u64,
    free: Vec<Range<u64>>,
    regions: Vec<Range<u64>>,
}

impl Scattered {
    /// What the main arena has at `start`: chunks, and the rest of `len` bytes free.
    fn stretch(&mut self, start: u64, len: u64, chunks: &[Chunk]) -> Range<u64> {
        let (rest, is_previous_free) = self.fake.chunks(start, 0, chunks);
        assert!(!is_previous_free, "it would have been made one with the rest");
        let mut at = start;
        for (size, is_free) in chunks {
            self.free.extend(is_free.then_some(at..at + size));
            at += size;
        }
        let end = start + len;
        self.fake.set(rest + 8, (end - rest) | 1);
        self.fake.resident(start, end);
        self.bytes += len;
        rest..end
    }

    /// One that is the arena's last.
    fn with_top(&mut self, start: u64, len: u64, chunks: &[Chunk]) -> Range<u64> {
        self.top = self.stretch(start, len, chunks);
        self.free.push(self.top.clone());
        start..start + len
    }

    /// One that was the last, when the arena went on elsewhere.
    fn fenced(&mut self, start: u64, len: u64, chunks: &[Chunk]) -> Range<u64> {
        let rest = self.stretch(start, len, chunks);
        let fence = rest.end - 32;
        let size = fence - rest.start;
        let is_chunk = size >= 32;
        if is_chunk {
            self.fake.set(fence, size);
            self.free.push(rest.start..fence);
        }
        if size > 0 {
            self.fake.set(rest.start + 8, size | 1);
        }
        self.fake.set(fence + 8, 16 | u64::from(!is_chunk));
        self.fake.set(fence + 24, 16 | 1);
        start..start + len
    }

    fn brk(&mut self, range: Range<u64>) {
        self.fake.brk.push(range);
    }

    fn region(&mut self, range: Range<u64>) {
        self.regions.push(range);
        self.regions.sort_unstable_by_key(|range| range.start);
    }

    /// The last region that is made, with a mapping of its own; then the arena.
    fn mapped_alone(&mut self, region: Range<u64>) {
        self.fake.anonymous.push(region.clone());
        self.region(region);
        self.arena();
    }

    /// The arena says where its top is, and how much it has.
    fn arena(&mut self) {
        self.fake.arena(MAIN, self.top.start, MAIN);
        self.fake.set(MAIN, 2 << 32);
        self.fake.set(MAIN + SYSTEM_BYTES, self.bytes);
        self.fake.resident(LIBC_DATA.start, LIBC_DATA.end);
        self.free.sort_unstable_by_key(|range| range.start);
    }

    fn assert_found(&self, survey: &Survey) {
        assert_eq!((survey.n_arenas, survey.n_arenas_unknown, survey.obstacle), (1, 0, None));
        let bytes: u64 = self.free.iter().map(|it| it.end - it.start).sum();
        assert_eq!((survey.n_free, survey.free_bytes), (self.free.len() as u64, bytes));
        assert_eq!(survey.top_bytes, self.top.end - self.top.start);
        let pages: Vec<_> = self.free.iter().cloned().filter_map(whole_pages).collect();
        assert_eq!(survey.free_pages, pages);
        assert_eq!(survey.regions, self.regions);
    }
}

fn assert_unknown(survey: &Survey, obstacle: Obstacle) {
    assert_eq!((survey.n_arenas_unknown, survey.obstacle), (1, Some(obstacle)));
    assert_eq!((survey.n_free, survey.free_bytes, survey.n_chunks), (0, 0, 0));
    assert_eq!((survey.free_pages.as_slice(), survey.regions.as_slice()), (&[][..], &[][..]));
}

/// `[heap]` is walled in, and one region was mapped.
fn walled() -> Scattered {
    let mut all = Scattered::default();
    let brk = all.fenced(BRK, 0x2_1000, &[USED, (0x3000, true), (0x40, false)]);
    all.brk(brk);
    let region = all.with_top(MAPPED, MB, &[(0x8010, false), (0x5000, true), (0x20, false)]);
    all.mapped_alone(region);
    all
}

#[test]
fn a_region_is_found_behind_a_heap_that_was_walled_in() {
    let all = walled();
    let survey = all.fake.survey();
    all.assert_found(&survey);
    assert_eq!(survey.n_chunks, 8);
}

#[test]
fn a_former_top_of_any_size_ends_with_fences() {
    // What two small chunks leave of the least tops: nothing, a third one, and one that is too large for that.
    for left in [0, 16, 32, 48] {
        let mut all = Scattered::default();
        let brk = all.fenced(BRK, 0x2_1000, &[(0x2_1000 - 32 - left, false)]);
        all.brk(brk);
        let region = all.with_top(MAPPED, MB, &[USED]);
        all.mapped_alone(region);
        all.assert_found(&all.fake.survey());
    }
}

#[test]
fn all_forms_of_an_arena_say_what_it_has() {
    for form in [[88, 104, 2_152], [96, 112, 2_160], [8, 24, 2_072]] {
        let mut all = walled();
        for at in (MAIN + 8..MAIN + 2_300).step_by(8) {
            all.fake.set(at, 0);
        }
        all.fake.arena_of_form(MAIN, all.top.start, MAIN, form);
        all.fake.set(MAIN + form[2] + 24, all.bytes);
        all.assert_found(&all.fake.survey());
    }
}

#[test]
fn regions_that_the_kernel_made_one_mapping_of_follow_on_each_other() {
    let mut all = Scattered::default();
    let brk = all.fenced(BRK, 0x2_1000, &[USED]);
    all.brk(brk);
    // The kernel maps downwards: the newest comes first, behind a stack of which little was used.
    let first = all.with_top(MAPPED + MB, MB, &[(0x400, false)]);
    // It begins with a store that is known, as does the page of another one inside of it.
    let second = all.fenced(MAPPED + 2 * MB, 3 * MB, &[(MB, false), (MB + 16, false)]);
    // In glibc 2.35 to 2.37 only the first region has 1 MB at least.
    let third = all.fenced(MAPPED + 5 * MB, PAGE, &[USED, (0x400, true), USED]);
    for (start, len) in [(second.start, MB - 0x20), (second.start + MB, MB)] {
        all.fake.stores.push(start + 16..start + 16 + len);
    }
    all.fake.resident(first.start - 0x3000, first.start);
    all.fake.set(first.start - 0x2000, 0x1234);
    all.fake.anonymous.push(MAPPED..third.end);
    for region in [first, second, third] {
        all.region(region);
    }
    all.arena();
    let survey = all.fake.survey();
    all.assert_found(&survey);
    assert_eq!((survey.blocks.as_slice(), survey.blocks_obstacle), (&[][..], None));
}

#[test]
fn regions_and_mapped_blocks_of_one_mapping_are_told_apart() {
    let mut all = walled();
    let end = MAPPED + MB;
    // In front of the region and behind it; the first one has a copy of the region's first chunks in it.
    all.fake.mapped(MAPPED - 0x10_1000, 0x10_1000);
    for at in (0..0x200).step_by(8) {
        all.fake.set(MAPPED - 0x8_0000 + at, all.fake.get(MAPPED + at));
    }
    all.fake.mapped(end, 0x4_0000);
    // A block of the region has what looks like one with a mapping of its own.
    all.fake.set(MAPPED + 0x4008, 0x2002);
    // What follows the blocks looks like the begin of a region, and contradicts itself.
    all.fake.set(end + 0x4_0008, 0x1001);
    all.fake.set(end + 0x4_1008, 0x1001);
    all.fake.set(end + 0x4_2008, 0x1004);
    all.fake.resident(end + 0x4_0000, end + 0x4_3000);
    all.fake.anonymous = std::iter::once(MAPPED - 0x10_1000..end + 0x4_3000).collect();
    let survey = all.fake.survey();
    all.assert_found(&survey);
    assert_eq!(survey.blocks, [MAPPED - 0x10_1000..MAPPED, end..end + 0x4_0000]);
}

#[test]
fn a_heap_that_could_grow_again_goes_on_behind_its_fences() {
    let mut all = Scattered::default();
    let first = all.fenced(BRK, 0x2_1000, &[USED]);
    let region = all.fenced(MAPPED, MB, &[(MB - 0x1000, false)]);
    let second = all.with_top(first.end, 0x1000, &[USED]);
    all.brk(first.start..second.end);
    all.mapped_alone(region);
    all.assert_found(&all.fake.survey());
    // Somebody else's memory behind the fences is not the arena's, and it does not say so.
    let mut all = walled();
    all.fake.brk = std::iter::once(BRK..BRK + 0x2_3000).collect();
    all.assert_found(&all.fake.survey());
}

#[test]
fn an_arena_without_a_heap_has_regions_only() {
    let mut all = Scattered::default();
    let region = all.with_top(MAPPED, MB, &[USED]);
    all.mapped_alone(region);
    all.assert_found(&all.fake.survey());
}

#[test]
fn what_does_not_add_up_to_what_the_arena_has_is_not_known() {
    let all = walled();
    for bytes in [0, all.bytes - PAGE, all.bytes + PAGE, all.bytes + MB, u64::MAX] {
        let mut other = all.fake.clone();
        other.set(MAIN + SYSTEM_BYTES, bytes);
        assert_unknown(&other.survey(), Obstacle::Changing);
    }
    // A region that came after the mappings were read.
    let mut late = all.fake.clone();
    late.anonymous.clear();
    assert_unknown(&late.survey(), Obstacle::Changing);
    late.brk.clear();
    assert_unknown(&late.survey(), Obstacle::UnknownForm);
    // What looks like one region more.
    let mut more = Scattered { fake: all.fake.clone(), ..Scattered::default() };
    let another = more.fenced(MAPPED + 2 * MB, PAGE, &[USED]);
    more.fake.anonymous.push(another);
    assert_unknown(&more.fake.survey(), Obstacle::Changing);
    // The top is no chunk of what was found.
    let mut elsewhere = all.fake.clone();
    elsewhere.arena(MAIN, BRK - 0x1000, MAIN);
    assert_unknown(&elsewhere.survey(), Obstacle::Changing);
    let mut passed = all.fake.clone();
    passed.arena(MAIN, all.top.start + 0x20, MAIN);
    assert_unknown(&passed.survey(), Obstacle::Changing);
}

#[test]
fn a_top_that_moves_away_takes_no_region_with_it() {
    let mut all = walled();
    let behind = all.fenced(MAPPED + MB, MB, &[USED]);
    all.fake.anonymous = std::iter::once(MAPPED..behind.end).collect();
    all.region(behind);
    all.arena();
    all.assert_found(&all.fake.survey());
    // What was the top leads to the next region, and all bytes are there; but where is the top?
    let mut other = all.fake.clone();
    other.arena(MAIN, MAPPED + 8 * MB, MAIN);
    assert_unknown(&other.survey(), Obstacle::Changing);
}

#[test]
fn an_arena_that_got_more_in_the_meantime_is_not_known() {
    let all = walled();
    all.fake.survey();
    let n_reads = all.fake.n_reads.get();
    // Only what malloc decides by is read after the last look at what the arena has.
    for since in 1..=n_reads {
        let mut growing = all.fake.clone();
        growing.n_reads.set(0);
        growing.later.push((since, MAIN + SYSTEM_BYTES, all.bytes + MB));
        let survey = growing.survey();
        if since == n_reads {
            all.assert_found(&survey);
        } else {
            assert_unknown(&survey, Obstacle::Changing);
        }
    }
}

#[test]
fn a_single_fence_and_one_within_a_page_end_nothing() {
    let mut all = walled();
    let fence = BRK + 0x2_1000 - 32;
    let second = all.fake.get(fence + 24);
    all.fake.set(fence + 24, 0x20 | 1);
    assert_unknown(&all.fake.survey(), Obstacle::Changing);
    all.fake.set(fence + 24, second);
    all.assert_found(&all.fake.survey());
    // Two small chunks where none can be.
    all.fake.set(BRK + 0x298, 17);
    all.fake.set(BRK + 0x2a8, 17);
    assert_unknown(&all.fake.survey(), Obstacle::Changing);
}

#[test]
fn an_arena_that_changes_meanwhile_is_looked_at_again() {
    let all = walled();
    all.fake.survey();
    let n_reads = all.fake.n_reads.get();
    // First it has not said yet that it got the region; then the region's first chunk is being changed.
    for at in [MAIN + SYSTEM_BYTES, MAPPED + 8] {
        let mut changing = all.fake.clone();
        changing.later.push((n_reads + 1, at, all.fake.get(at)));
        changing.set(at, 0x2_1000);
        changing.n_reads.set(0);
        all.assert_found(&changing.survey());
    }
}

#[test]
fn swapped_regions_are_not_brought_in_and_limits_hold() {
    let mut all = walled();
    let limits = Limits { n_chunks: 4, ..Limits::default() };
    assert_unknown(&all.fake.survey_within(limits), Obstacle::TooLarge);
    all.fake.run(MAPPED + PAGE, MAPPED + 0x1_0000, PageState::Swapped);
    all.fake.resident(MAPPED, MAPPED + PAGE);
    all.fake.resident(MAPPED + 0x1_0000, MAPPED + MB);
    assert_unknown(&all.fake.survey(), Obstacle::Swapped);
}

/// Of a stretch that has these chunks, with fences and a rest.
fn bytes_of(chunks: &[Chunk]) -> u64 {
    (chunks.iter().map(|(size, _)| size).sum::<u64>() + 64).next_multiple_of(PAGE).max(MB)
}

proptest! {
    #[test]
    fn what_is_laid_out_is_found(
        brk in chunks(),
        regions in proptest::collection::vec((chunks(), any::<bool>()), 1..5),
        with_top in any::<prop::sample::Index>(),
    ) {
        let mut all = Scattered::default();
        let heap = all.fenced(BRK, bytes_of(&brk), &brk);
        all.brk(heap);
        let with_top = with_top.index(regions.len());
        let mut at = MAPPED;
        let mut blocks = Vec::new();
        for (n, (chunks, is_behind_block)) in regions.iter().enumerate() {
            if *is_behind_block {
                all.fake.mapped(at, 0x4_1000);
                blocks.push(at..at + 0x4_1000);
                at += 0x4_1000;
            }
            let len = bytes_of(chunks);
            let region = if n == with_top {
                all.with_top(at, len, chunks)
            } else {
                all.fenced(at, len, chunks)
            };
            all.region(region);
            at += len;
        }
        all.fake.anonymous.push(MAPPED..at);
        all.arena();
        let survey = all.fake.survey();
        all.assert_found(&survey);
        prop_assert_eq!(&survey.blocks, &blocks);
    }

    /// Whatever some words say: either it is noticed, or what is found is of the arena.
    #[test]
    fn a_damaged_arena_is_survived(
        damage in proptest::collection::vec((0_u64..0x600, any::<u64>()), 1..6),
        is_small in any::<bool>(),
    ) {
        let mut all = walled();
        for (at, word) in damage {
            let place = [BRK, MAIN, MAPPED, all.top.start][(at % 4) as usize];
            all.fake.set(place + at / 4 * 8, if is_small { word % 0x1000 } else { word });
        }
        let survey = all.fake.survey();
        let known = [BRK..BRK + 0x2_1000, MAPPED..MAPPED + MB];
        let is_inside = |range: &Range<u64>| {
            known.iter().any(|all| all.start <= range.start && range.end <= all.end)
        };
        prop_assert!(survey.free_pages.iter().all(is_inside));
        prop_assert!(survey.regions.iter().all(is_inside));
        prop_assert!(survey.free_bytes <= 0x2_1000 + MB);
    }
}
