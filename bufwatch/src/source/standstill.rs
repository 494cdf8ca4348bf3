//! What a census reads while the process stands still: where V8's pages are by now, what keeps objects alive, and the pages themselves.
//! In as few and as large reads as possible; when and how often is decided by `census`.

use std::ops::Range;

use crate::base::{Avma, Bytes};
use crate::source::census::CensusError;
use crate::source::census_cassette::{Tape, Taped};
use crate::source::page_search::{FoundPages, ListsPlace, PageSearch};
use crate::sys::clock;
use crate::sys::memory::ProcessMemory;
use crate::sys::procfs::{self, MapEntry};
use crate::sys::ptrace::{Stopped, StoppedThread};
use crate::v8::allocator::{self, AllocatorFacts, read_total};
use crate::v8::census::copy::{Destination, HeapCopy};
use crate::v8::census::roots::{IsolatePlace, RootFacts, Roots, ThreadState};
use crate::v8::census::take::Moment;
use crate::v8::page::{Page, PageLayout, of_known_heaps};

/// Isolates looked for.
const ISOLATES_MAX: usize = 1_024;

/// Where everything is that a census reads.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) pid: u32,
    pub(super) memory: ProcessMemory,
    pub(super) pages: PageLayout,
    pub(super) roots: RootFacts,
    pub(super) heap_in_isolate: u64,
    pub(super) allocator: Option<AllocatorFacts>,
    /// What is read is written down here, for tests.
    pub(super) tape: Option<Tape>,
}

/// What one stop brought.
pub(super) struct Stop {
    pub(super) moment: Moment,
    /// What Node's allocators had handed out.
    pub(super) allocated: Option<Bytes>,
}

pub(super) enum Look {
    Taken(Box<Stop>),
    /// A garbage collection was running; the room for the copy was not used.
    Collecting(Destination),
    /// So many threads were not stopped; the room was not used.
    Incomplete(Destination, usize),
}

impl Place {
    /// As long as the process runs.
    pub(super) fn search(&self) -> Result<(PageSearch, FoundPages), CensusError> {
        let lists = self
            .roots
            .v8_platform
            .map(|v8_platform| ListsPlace { v8_platform, heap_in_isolate: self.heap_in_isolate });
        let search = PageSearch::new(self.pid, self.pages, lists);
        let maps = procfs::maps(self.pid)?;
        let memory =
            Taped::new(self.memory.standing_still(readable_data(&maps)), self.tape.as_ref());
        let found = search.everywhere(&memory, &maps);
        Ok((search, found))
    }

    /// While the process stands still.
    pub(super) fn look(
        &self,
        stopped: &Stopped,
        (search, before): &(PageSearch, FoundPages),
        destination: Destination,
        n_threads: usize,
    ) -> Result<Look, CensusError> {
        let gathered = stopped.elapsed();
        let maps = procfs::maps(self.pid)?;
        let tape = self.tape.as_ref();
        if let Some(tape) = tape {
            tape.begin();
        }
        let memory = Taped::new(self.memory.standing_still(readable_data(&maps)), tape);
        let pages = of_known_heaps(&memory, search.again(&memory, &maps, before));
        let found = stopped.elapsed();
        let isolates = isolates_of(&pages, self.heap_in_isolate);
        let threads: Vec<ThreadState> =
            stopped.threads.iter().map(|thread| thread_state(thread, &maps)).collect();
        if let Some(tape) = tape {
            tape.note(&pages, &maps, &threads);
        }
        let roots = Roots::collect(&memory, &self.roots, &isolates, &threads);
        if roots.isolates.iter().any(|isolate| isolate.is_collecting) {
            return Ok(Look::Collecting(destination));
        }
        let allocated = self.allocated(&isolates);
        let rooted = stopped.elapsed();
        let deadline = stopped.deadline();
        let has_time = || clock::now() < deadline;
        let heap = HeapCopy::read(&memory, &pages, destination, n_threads, has_time);
        let copied = stopped.elapsed();
        tracing::debug!(%gathered, pages = %found, roots = %rooted, %copied, "standstill");
        Ok(Look::Taken(Box::new(Stop { moment: Moment { heap, roots, isolates }, allocated })))
    }

    /// What all allocators of the process have handed out.
    fn allocated(&self, isolates: &[IsolatePlace]) -> Option<Bytes> {
        let facts = self.allocator?;
        let mut allocators: Vec<Avma> = isolates
            .iter()
            .filter_map(|place| allocator::allocator_of_heap(&self.memory, facts, place.heap.0))
            .collect();
        allocators.sort_unstable();
        allocators.dedup();
        let totals: Option<Vec<Bytes>> =
            allocators.iter().map(|it| read_total(&self.memory, facts, *it)).collect();
        let totals = totals.filter(|totals| !totals.is_empty())?;
        Some(totals.into_iter().sum())
    }
}

/// Each heap is in its isolate.
pub(super) fn isolates_of(pages: &[Page], heap_in_isolate: u64) -> Vec<IsolatePlace> {
    let mut isolates: Vec<IsolatePlace> = Vec::new();
    for heap in pages.iter().filter_map(|page| page.heap) {
        if isolates.iter().any(|known| known.heap == heap) || isolates.len() >= ISOLATES_MAX {
            continue;
        }
        if let Some(isolate) = heap.0.checked_sub(heap_in_isolate) {
            isolates.push(IsolatePlace { heap, isolate: Avma(isolate) });
        }
    }
    isolates
}

/// Ascending, as /proc has them, without code of files: thousands of an isolate's pointers lead to builtins, where neither a root nor a
/// space is.
fn readable_data(maps: &[MapEntry]) -> Vec<Range<u64>> {
    let is_code = |entry: &MapEntry| entry.is_executable && entry.inode != 0;
    let wanted = maps.iter().filter(|entry| entry.is_readable && !is_code(entry));
    wanted.map(|entry| entry.start..entry.end).collect()
}

fn thread_state(thread: &StoppedThread, maps: &[MapEntry]) -> ThreadState {
    let sp = thread.stack_pointer;
    let stack = maps.iter().find(|entry| (entry.start..entry.end).contains(&sp));
    // glibc puts a thread's static storage at the upper end of its stack; other mappings may follow without a gap.
    let storage = thread.fs_base;
    let end = stack
        .map_or(sp, |entry| if (sp..entry.end).contains(&storage) { storage } else { entry.end });
    ThreadState {
        tid: thread.tid,
        stack_pointer: sp,
        frame_pointer: thread.frame_pointer,
        instruction_pointer: thread.instruction_pointer,
        fs_base: thread.fs_base,
        general: thread.general.to_vec(),
        stack_end: end,
    }
}
