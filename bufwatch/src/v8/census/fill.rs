//! Fills a copy with the target's pages: several threads, since nothing else matters while the target stands still; a time limit; and
//! pages of which only a part can be read. Knows no heap.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use object::pod::bytes_of_slice_mut;

use crate::base::{Avma, ReadMemory, ReadPart};
use crate::v8::census::copy::CopiedPage;

/// Bytes that a thread reads at once: small enough that all end together and that the time limit is looked at in between.
const PIECE_BYTES: usize = 1 << 20;

/// Pieces for which it pays to start one more thread.
const PIECES_PER_THREAD: usize = 4;

/// Of a page with holes.
const HOLE_BYTES: usize = 4 << 10;

/// What became of it.
#[derive(Debug)]
pub(super) struct Filled {
    /// Pages of which nothing, or not all that the header says, could be read.
    pub(super) n_lost: usize,
    /// The time was up before all was read.
    pub(super) is_cut: bool,
}

/// Reads each page to its place in `words`. A page of which nothing can be read is zero.
pub(super) fn fill(
    memory: &(impl ReadMemory + Sync),
    pages: &[CopiedPage],
    words: &mut [u64],
    n_threads: usize,
    has_time: impl Fn() -> bool + Sync,
) -> Filled {
    let pieces = cut(pages, words);
    let n_threads = n_threads.min(pieces.len() / PIECES_PER_THREAD);
    let pieces = Mutex::new(pieces.into_iter());
    let n_lost = AtomicUsize::new(0);
    let is_cut = AtomicBool::new(false);
    let work = || {
        // A thread that panicked has taken its piece along; there is nothing in between that could.
        while let Some(mut piece) = pieces.lock().ok().and_then(|mut pieces| pieces.next()) {
            if !has_time() {
                is_cut.store(true, Ordering::Relaxed);
                return;
            }
            n_lost.fetch_add(read(memory, &mut piece), Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        for _ in 1..n_threads {
            let thread = thread::Builder::new().name("bw-copy".to_owned());
            // Without it the others do more.
            drop(thread.spawn_scoped(scope, work));
        }
        work();
    });
    Filled { n_lost: n_lost.into_inner(), is_cut: is_cut.into_inner() }
}

/// The pages in pieces of about [`PIECE_BYTES`], large pages in several.
fn cut<'a>(pages: &[CopiedPage], words: &'a mut [u64]) -> Vec<Vec<ReadPart<'a>>> {
    let mut pieces = Vec::new();
    let mut piece = Vec::new();
    let mut n_bytes = 0_usize;
    let mut at = 0_usize;
    let mut rest = words;
    for page in pages {
        // Nobody reads the header in the copy, and behind it there may be a guard.
        let first = page.area().start;
        let gap = first.saturating_sub(at);
        let n_words = page.end.saturating_sub(first);
        let Some((_, behind)) = rest.split_at_mut_checked(gap) else { break };
        let Some((own, behind)) = behind.split_at_mut_checked(n_words) else { break };
        rest = behind;
        at = page.end;
        let mut address = page.address(first);
        for part in bytes_of_slice_mut(own).chunks_mut(PIECE_BYTES) {
            n_bytes = n_bytes.saturating_add(part.len());
            let n_read = part.len() as u64;
            piece.push(ReadPart::new(Avma(address), part));
            address = address.saturating_add(n_read);
            if n_bytes >= PIECE_BYTES {
                pieces.push(std::mem::take(&mut piece));
                n_bytes = 0;
            }
        }
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

/// How many of the parts could not be read at all.
fn read(memory: &impl ReadMemory, parts: &mut [ReadPart<'_>]) -> usize {
    memory.read_parts(parts);
    let unread = parts.iter_mut().filter(|part| !part.is_read);
    unread.map(|part| usize::from(!read_around_holes(memory, part))).fold(0, usize::saturating_add)
}

/// Of a part with holes, what can be read; the rest is zero.
fn read_around_holes(memory: &impl ReadMemory, part: &mut ReadPart<'_>) -> bool {
    let mut is_any = false;
    let mut address = part.address.0;
    for piece in part.out.chunks_mut(HOLE_BYTES) {
        if memory.read(Avma(address), piece).is_ok() {
            is_any = true;
        } else {
            piece.fill(0);
        }
        address = address.saturating_add(HOLE_BYTES as u64);
    }
    is_any
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "made-up addresses")]
mod tests {
    use super::*;
    use crate::base::MemoryError;
    use crate::v8::census::fake::FakeHeap;
    use crate::v8::page::Page;

    const START: u64 = 0x1234_0000_0000;
    const PAGE_BYTES: u64 = 256 << 10;
    const HEADER_BYTES: u64 = 0x118;

    /// Every word is its address; some pages of 4 KiB are not there.
    struct Memory {
        holes: Vec<u64>,
    }

    impl ReadMemory for Memory {
        fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
            let end = address.0 + out.len() as u64;
            if self.holes.iter().any(|hole| *hole < end && hole + HOLE_BYTES as u64 > address.0) {
                return Err(MemoryError::Unmapped(address));
            }
            for (n, word) in out.chunks_exact_mut(8).enumerate() {
                word.copy_from_slice(&(address.0 + n as u64 * 8).to_le_bytes());
            }
            Ok(())
        }
    }

    /// One after the other, each with a gap behind it.
    fn pages(sizes: &[u64]) -> Vec<CopiedPage> {
        let mut pages = Vec::new();
        let (mut start, mut first) = (START, 0);
        for size in sizes {
            let page = Page {
                start,
                size: *size,
                area_start: start + HEADER_BYTES,
                area_end: start + size,
                ..FakeHeap::new().page()
            };
            let end = first + (size / 8) as usize;
            pages.push(CopiedPage { page, first, end });
            start += size.next_multiple_of(PAGE_BYTES);
            first = end + 64;
        }
        pages
    }

    fn filled(memory: &Memory, pages: &[CopiedPage], n_threads: usize) -> (Vec<u64>, Filled) {
        let mut words = vec![7; pages.last().unwrap().end];
        let filled = fill(memory, pages, &mut words, n_threads, || true);
        (words, filled)
    }

    #[test]
    fn any_number_of_threads_reads_every_page_to_its_place() {
        let mut sizes = vec![PAGE_BYTES; 70];
        // Larger than a piece, and not a multiple of it.
        sizes.insert(3, 40 * PAGE_BYTES + 0x1000);
        let pages = pages(&sizes);
        let memory = Memory { holes: Vec::new() };
        for n_threads in [0, 1, 3, 64] {
            let (words, Filled { n_lost, is_cut }) = filled(&memory, &pages, n_threads);
            assert_eq!((n_lost, is_cut), (0, false));
            for page in &pages {
                let area = page.area();
                assert!(words[page.first..area.start].iter().all(|word| *word == 7));
                let is_right = |index: usize| words[index] == page.address(index);
                assert!(area.clone().all(is_right), "{n_threads} threads, {page:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_zero() {
        let pages = pages(&[PAGE_BYTES; 3]);
        let all_of_last = (0..64).map(|n| START + 2 * PAGE_BYTES + n * 0x1000);
        let holes = [START + PAGE_BYTES + 0x3000].into_iter().chain(all_of_last).collect();
        let (words, Filled { n_lost, is_cut }) = filled(&Memory { holes }, &pages, 2);
        assert_eq!((n_lost, is_cut), (1, false));
        let at = |address: u64| words[pages[1].first + (address / 8) as usize];
        assert_eq!(at(0x2000), START + PAGE_BYTES + 0x2000);
        // In steps of 4 KiB from the first object on.
        assert_eq!((at(0x3000), at(0x3ff8), at(0x5000)), (0, 0, START + PAGE_BYTES + 0x5000));
        assert!(words[pages[2].area()].iter().all(|word| *word == 0));
    }

    #[test]
    fn a_time_limit_is_kept() {
        let pages = pages(&[PAGE_BYTES; 100]);
        let mut words = vec![0; pages.last().unwrap().end];
        let memory = Memory { holes: Vec::new() };
        let n_asked = AtomicUsize::new(0);
        let has_time = || n_asked.fetch_add(1, Ordering::Relaxed) < 2;
        assert!(fill(&memory, &pages, &mut words, 1, has_time).is_cut);
        assert_ne!(words[pages[0].area().start], 0);
        assert_eq!(words[pages[99].area().start], 0);
    }
}
