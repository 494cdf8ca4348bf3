//! Which pages of a process are in memory, through /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst). Reads nothing of the
//! memory itself, so that nothing is faulted in. Whose pages they are is not decided here.
#![expect(unsafe_code, reason = "nix has no PAGEMAP_SCAN; this is the one raw call")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::libc;

use crate::base::Nanos;
use crate::sys::clock;
use crate::sys::procfs::process_path;
use crate::sys::turns::Turns;

/// Bytes of a page; huge pages are told in these.
pub const PAGE_BYTES: u64 = 4_096;

/// Bytes asked for at once: the kernel holds the target's `mmap_lock` meanwhile, which keeps it from mapping and unmapping. About 0.4 ms
/// where all of it is resident; no time at all where nothing is.
const PIECE_BYTES_MAX: u64 = 64 << 20;

/// Asked for at least: below this the call itself costs more than the pages.
const PIECE_BYTES_MIN: u64 = 2 << 20;

/// A piece that takes longer is followed by one half as large, one that takes less than a quarter by one twice as large.
const PIECE_TIME_MAX: Nanos = Nanos::from_micros(400);

/// Runs of one answer. With more than 512 the kernel's `walk_end` is wrong (kernel-facts.md §0).
const RUNS_MAX: usize = 512;

/// `_IOWR('f', 16, struct pm_scan_arg)` (include/uapi/linux/fs.h).
const PAGEMAP_SCAN: libc::c_ulong =
    (3 << 30) | ((size_of::<ScanArg>() as u64) << 16) | (0x66 << 8) | 16;

const IS_FILE: u64 = 1 << 2;
const IS_PRESENT: u64 = 1 << 3;
const IS_SWAPPED: u64 = 1 << 4;
const IS_ZERO: u64 = 1 << 5;
const IS_HUGE: u64 = 1 << 6;

/// `struct pm_scan_arg` (include/uapi/linux/fs.h).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct ScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `struct page_region`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

/// What a run of pages is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageState {
    /// In memory, and counted in RSS.
    Resident,
    /// Read but never written: all such pages are one and the same, which RSS does not count.
    Zero,
    Swapped,
}

/// Neighbouring pages of the same kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRun {
    pub start: u64,
    /// Exclusive.
    pub end: u64,
    pub state: PageState,
    /// In a transparent huge page.
    pub is_huge: bool,
    /// Of a file, or shared anonymous memory.
    pub is_file: bool,
}

/// The page map of one process.
#[derive(Debug)]
pub struct PageMap {
    file: File,
    /// The kernel answers in runs and tells zero pages apart (Linux 6.7 and later).
    has_scan: bool,
    /// How much is asked for next.
    piece_bytes: AtomicU64,
    /// The process is not to be held up. `None`: it stands still, or is to be looked at soon.
    turns: Option<Turns>,
}

impl PageMap {
    /// Needs ptrace access to the process.
    pub fn open(pid: u32) -> io::Result<Self> {
        let file = File::open(process_path(pid, "pagemap"))?;
        let piece_bytes = AtomicU64::new(PIECE_BYTES_MAX / 4);
        let mut map = Self { file, has_scan: true, piece_bytes, turns: None };
        let mut runs = [Region::default()];
        map.has_scan = map.ask(0, PAGE_BYTES, &mut runs).is_ok();
        Ok(map)
    }

    /// From now on rests are made between the questions, so that the process can map and unmap meanwhile.
    #[must_use]
    pub fn unhurried(self) -> Self {
        Self { turns: Some(Turns::new()), ..self }
    }

    /// False on older kernels: pages that were read but never written count as resident.
    pub const fn tells_zero_pages(&self) -> bool {
        self.has_scan
    }

    /// Hands the runs that overlap `start..end` to `visit`, ascending and cut to that range; pages that are nowhere are left out. Fails
    /// when the process is gone.
    pub fn scan(&self, start: u64, end: u64, visit: &mut impl FnMut(PageRun)) -> io::Result<()> {
        let last = end.checked_next_multiple_of(PAGE_BYTES).unwrap_or(u64::MAX - PAGE_BYTES + 1);
        let mut at = start & !(PAGE_BYTES - 1);
        while at < last {
            let piece_bytes = self.piece_bytes.load(Ordering::Relaxed);
            let chunk_end = at.saturating_add(piece_bytes).min(last);
            let mut cut = |run: PageRun| {
                let run = PageRun { start: run.start.max(start), end: run.end.min(end), ..run };
                if run.start < run.end {
                    visit(run);
                }
            };
            let took = if self.has_scan {
                self.scan_chunk(at, chunk_end, &mut cut)?
            } else {
                self.read_chunk(at, chunk_end, &mut cut)?
            };
            // A short piece at the end of a range tells nothing.
            if chunk_end - at == piece_bytes {
                self.piece_bytes.store(next_piece(piece_bytes, took), Ordering::Relaxed);
            }
            at = chunk_end;
        }
        Ok(())
    }

    /// Returns how long the longest question took.
    fn scan_chunk(
        &self,
        start: u64,
        end: u64,
        visit: &mut impl FnMut(PageRun),
    ) -> io::Result<Nanos> {
        let mut regions = [Region::default(); RUNS_MAX];
        let mut longest = Nanos(0);
        let mut at = start;
        while at < end {
            let began_at = clock::now();
            let (n, walk_end) = self.ask(at, end, &mut regions)?;
            longest = longest.max(clock::now().since(began_at));
            self.asked();
            for region in regions.iter().take(n) {
                if let Some(run) = to_run(region) {
                    visit(run);
                }
            }
            if n < RUNS_MAX || walk_end <= at {
                break;
            }
            at = walk_end;
        }
        Ok(longest)
    }

    /// Number of regions, and how far the kernel came.
    fn ask(&self, start: u64, end: u64, regions: &mut [Region]) -> io::Result<(usize, u64)> {
        let mut arg = ScanArg {
            size: size_of::<ScanArg>() as u64,
            start,
            end,
            vec: regions.as_mut_ptr() as u64,
            vec_len: regions.len() as u64,
            category_anyof_mask: IS_PRESENT | IS_SWAPPED,
            return_mask: IS_FILE | IS_PRESENT | IS_SWAPPED | IS_ZERO | IS_HUGE,
            ..ScanArg::default()
        };
        // SAFETY: `arg` has the kernel's layout and its size in it; `vec` and `vec_len` are those of `regions`, which lives until the call
        // returns and is written by nobody else.
        let n = unsafe { libc::ioctl(self.file.as_raw_fd(), PAGEMAP_SCAN, &raw mut arg) };
        match usize::try_from(n) {
            Ok(n) => Ok((n.min(regions.len()), arg.walk_end)),
            Err(_) => Err(io::Error::last_os_error()),
        }
    }

    fn asked(&self) {
        if let Some(turns) = &self.turns {
            turns.asked();
        }
    }

    /// One word a page: bit 63 present, bit 62 swapped, bit 61 of a file.
    fn read_chunk(
        &self,
        start: u64,
        end: u64,
        visit: &mut impl FnMut(PageRun),
    ) -> io::Result<Nanos> {
        let began_at = clock::now();
        let n_pages = usize::try_from((end - start) / PAGE_BYTES).unwrap_or(usize::MAX);
        let mut words = vec![0_u8; n_pages.saturating_mul(8)];
        let n_read = self.file.read_at(&mut words, start / PAGE_BYTES * 8)?;
        let took = clock::now().since(began_at);
        self.asked();
        let mut open: Option<PageRun> = None;
        for (n, word) in words.get(..n_read).unwrap_or_default().chunks_exact(8).enumerate() {
            let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
            let page = start + n as u64 * PAGE_BYTES;
            let state = match (word >> 63 & 1, word >> 62 & 1) {
                (1, _) => Some(PageState::Resident),
                (_, 1) => Some(PageState::Swapped),
                _ => None,
            };
            let is_file = word >> 61 & 1 == 1;
            match (&mut open, state) {
                (Some(run), Some(state)) if run.state == state && run.is_file == is_file => {
                    run.end = page + PAGE_BYTES;
                }
                (_, state) => {
                    if let Some(run) = open.take() {
                        visit(run);
                    }
                    let end = page + PAGE_BYTES;
                    open = state.map(|state| PageRun {
                        start: page,
                        end,
                        state,
                        is_huge: false,
                        is_file,
                    });
                }
            }
        }
        if let Some(run) = open {
            visit(run);
        }
        Ok(took)
    }
}

/// How much to ask for after a question for so much took so long.
fn next_piece(bytes: u64, took: Nanos) -> u64 {
    if took > PIECE_TIME_MAX {
        (bytes / 2).max(PIECE_BYTES_MIN)
    } else if took.0 < PIECE_TIME_MAX.0 / 4 {
        bytes.saturating_mul(2).min(PIECE_BYTES_MAX)
    } else {
        bytes
    }
}

fn to_run(region: &Region) -> Option<PageRun> {
    let has = |bit| region.categories & bit != 0;
    let state = if has(IS_SWAPPED) {
        PageState::Swapped
    } else if has(IS_ZERO) {
        PageState::Zero
    } else if has(IS_PRESENT) {
        PageState::Resident
    } else {
        return None;
    };
    (region.start < region.end).then_some(PageRun {
        start: region.start,
        end: region.end,
        state,
        is_huge: has(IS_HUGE),
        is_file: has(IS_FILE),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes in each state, of pages that were written, read and left alone.
    fn seen(has_scan: bool) -> [u64; 3] {
        const N: usize = 4 << 20;
        let page = PAGE_BYTES as usize;
        // From the kernel, and so nowhere: calloc of this size is a mapping of its own.
        let mut memory = vec![0_u8; N];
        let start = (memory.as_ptr() as u64).next_multiple_of(PAGE_BYTES);
        let first = (start - memory.as_ptr() as u64) as usize;
        for n in 10..30 {
            memory[first + n * page] = 1;
        }
        let read: u64 = (40..50).map(|n| u64::from(memory[first + n * page])).sum();
        assert_eq!(read, 0);
        let map = PageMap { has_scan, ..PageMap::open(std::process::id()).unwrap().unhurried() };
        let mut bytes = [0; 3];
        // Half a page more on both sides of what was written.
        let (from, to) = (start + 19 * PAGE_BYTES / 2, start + 101 * PAGE_BYTES / 2);
        map.scan(from, to, &mut |run| bytes[run.state as usize] += run.end - run.start).unwrap();
        assert_eq!(memory[first + 10 * page], 1);
        bytes
    }

    #[test]
    fn written_pages_are_resident_and_read_ones_are_the_zero_page() {
        if !PageMap::open(std::process::id()).unwrap().tells_zero_pages() {
            return;
        }
        let [resident, zero, swapped] = seen(true);
        assert_eq!(resident + swapped, 20 * PAGE_BYTES);
        assert_eq!(zero, 10 * PAGE_BYTES);
    }

    #[test]
    fn without_a_scan_zero_pages_cannot_be_told_apart() {
        let [resident, zero, swapped] = seen(false);
        assert_eq!((resident + swapped, zero), (30 * PAGE_BYTES, 0));
    }

    #[test]
    fn pieces_are_as_large_as_their_time_allows() {
        let step = |bytes, us| next_piece(bytes, Nanos::from_micros(us));
        assert_eq!(
            [step(8 << 20, 500), step(8 << 20, 200), step(8 << 20, 50)],
            [4 << 20, 8 << 20, 16 << 20]
        );
        assert_eq!(
            [step(PIECE_BYTES_MIN, 9_000), step(PIECE_BYTES_MAX, 0)],
            [PIECE_BYTES_MIN, PIECE_BYTES_MAX]
        );
    }

    #[test]
    fn a_range_is_cut_to_the_byte() {
        let memory = vec![1_u8; 3 << 20];
        let start = memory.as_ptr() as u64 + 100_001;
        let map = PageMap::open(std::process::id()).unwrap();
        let mut sum = 0;
        map.scan(start, start + 77_777, &mut |run| sum += run.end - run.start).unwrap();
        assert_eq!((sum, memory[5]), (77_777, 1));
    }
}
