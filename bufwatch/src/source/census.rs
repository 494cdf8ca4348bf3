//! Takes the census of a live process: finds V8's pages, stops the process, copies pages and roots, lets it run on, analyses the copy.
//! What the copy says is `v8::census`'s part.

use crate::base::{Avma, Bytes, Nanos};
use crate::event::census::{Census, Timing};
use crate::node::plan::Planned;
use crate::sys::clock;
use crate::sys::memory::ProcessMemory;
use crate::sys::procfs::{self, MapEntry, ProcfsError};
use crate::sys::ptrace::{StopError, StopReport, Stopped, with_stopped};
use crate::v8::allocator::{self, AllocatorFacts, read_total};
use crate::v8::census::copy::{Destination, HeapCopy};
use crate::v8::census::roots::{IsolatePlace, RootFacts, Roots, ThreadState};
use crate::v8::census::store::StoreFacts;
use crate::v8::census::take::{self, Detail, Moment, Refusal};
use crate::v8::page::{MemoryRange, Page, PageLayout, find_pages};
use crate::v8::{Layout, Metadata};

/// How long a process may stand still. A gigabyte of heap takes about a quarter of a second.
pub const STOP_LIMIT: Nanos = Nanos::from_secs(2);

/// Stops that met a garbage collection are tried again as often.
const TRIES_MAX: u64 = 8;

/// Before the next try; doubled each time. Most collections take a few milliseconds.
const BACK_OFF: Nanos = Nanos::from_millis(5);

/// Isolates looked for.
const ISOLATES_MAX: usize = 1_024;

/// A census that could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum CensusError {
    #[error(transparent)]
    Process(#[from] ProcfsError),
    #[error(transparent)]
    Stop(#[from] StopError),
    #[error("the heap of this Node cannot be read: {0}")]
    Unknown(String),
    #[error("no V8 heap was found in the process")]
    NoHeap,
    #[error("the process was collecting garbage at each of {0} stops")]
    Collecting(u64),
    #[error(
        "reading the heap would have taken longer than {0}, the longest that bufwatch stops a process"
    )]
    TooLong(Nanos),
    #[error("process {pid} ended during the census")]
    Ended { pid: u32 },
    #[error("the census was refused: {0}")]
    Refused(#[from] Refusal),
}

impl CensusError {
    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Process(error) => error.hint(),
            Self::Stop(error) => error.hint(),
            Self::Unknown(_) => "`bufwatch plan --pid PID` says what is known of this binary",
            Self::NoHeap => "is the process just starting or ending? try again",
            Self::Collecting(_) => "try again when the process has less to do",
            Self::TooLong(_) => "the heap is larger than bufwatch can read in this time",
            Self::Ended { .. } => "`bufwatch ps` lists the Node processes of this host",
            Self::Refused(refusal) => refusal.hint(),
        }
    }

    /// True if the process does not exist (any more).
    pub const fn is_no_such_process(&self) -> bool {
        matches!(
            self,
            Self::Process(ProcfsError::NoSuchProcess { .. })
                | Self::Stop(StopError::Gone)
                | Self::Ended { .. }
        )
    }
}

/// Takes censuses of one process.
#[derive(Debug)]
pub struct CensusTaker {
    pid: u32,
    memory: ProcessMemory,
    layout: Layout,
    pages: PageLayout,
    roots: RootFacts,
    heap_in_isolate: u64,
    allocator: Option<AllocatorFacts>,
    stores: Option<StoreFacts>,
}

/// What one stop brought.
struct Stop {
    moment: Moment,
    allocated: Option<Bytes>,
}

impl CensusTaker {
    pub fn new(planned: &Planned) -> Result<Self, CensusError> {
        let (plan, identity) = (&planned.plan, &planned.identity);
        let unknown = |what: &str| CensusError::Unknown(what.to_owned());
        check(&plan.v8)?;
        let pages = plan.page_layout().ok_or_else(|| unknown("the layout of V8's pages"))?;
        let heap_in_isolate = plan.allocator.as_ref().and_then(|facts| facts.heap_in_isolate.get());
        Ok(Self {
            pid: identity.key.pid,
            memory: ProcessMemory::new(identity.key.pid),
            layout: plan.v8.layout(),
            pages,
            roots: plan.census.facts(identity.node.bias),
            heap_in_isolate: u64::from(
                heap_in_isolate.ok_or_else(|| unknown("where an isolate has its heap"))?,
            ),
            allocator: plan.allocator_facts(identity.node.bias),
            stores: plan.layout.store_facts(),
        })
    }

    /// Stops the process once, or a few times if it is collecting garbage, and says what is alive.
    pub fn take(&self, detail: Detail) -> Result<Census, CensusError> {
        let start = clock::now();
        let key = procfs::process_key(self.pid)?;
        let (stop, report, n_retries) = self.stop()?;
        let mut census = take::analyse(
            &stop.moment,
            &self.layout,
            stop.allocated,
            detail,
            &self.memory,
            self.stores,
        )
        .map_err(|refusal| match procfs::process_key(self.pid) {
            Ok(now) if now == key => CensusError::Refused(refusal),
            _ => CensusError::Ended { pid: self.pid },
        })?;
        if report.n_running > 0 {
            let n = report.n_running;
            census.gaps.push(format!("{n} threads were in the kernel and could not be stopped"));
        }
        census.counts.n_retries = n_retries;
        census.timing = Timing {
            stopped_at: report.since,
            stopped: report.duration,
            total: clock::now().since(start),
        };
        Ok(census)
    }

    fn stop(&self) -> Result<(Stop, StopReport, u64), CensusError> {
        let mut pause = BACK_OFF;
        for n_retries in 0..TRIES_MAX {
            let pages = self.find_pages()?;
            if pages.is_empty() {
                return Err(CensusError::NoHeap);
            }
            let destination = Destination::for_pages(&pages);
            let (stop, report) =
                with_stopped(self.pid, STOP_LIMIT, |stopped| self.copy(stopped, destination))?;
            let stop = stop?;
            if stop.moment.heap.is_cut {
                return Err(CensusError::TooLong(STOP_LIMIT));
            }
            if !stop.moment.roots.isolates.iter().any(|isolate| isolate.is_collecting) {
                return Ok((stop, report, n_retries));
            }
            std::thread::sleep(std::time::Duration::from_nanos(pause.0));
            pause = Nanos(pause.0.saturating_mul(2));
        }
        Err(CensusError::Collecting(TRIES_MAX))
    }

    /// While the process stands still.
    fn copy(&self, stopped: &Stopped, destination: Destination) -> Result<Stop, CensusError> {
        let maps = procfs::maps(self.pid)?;
        let (pages, _) = find_pages(&self.memory, self.pages, &anonymous(&maps));
        let has_time = || stopped.left().0 > 0;
        let isolates = self.isolates(&pages);
        let threads: Vec<ThreadState> =
            stopped.threads.iter().map(|thread| thread_state(thread, &maps)).collect();
        let roots = Roots::collect(&self.memory, &self.roots, &isolates, &threads);
        let allocated = self.allocated(&isolates);
        let is_collecting = roots.isolates.iter().any(|isolate| isolate.is_collecting);
        let heap = if is_collecting {
            HeapCopy::default()
        } else {
            HeapCopy::read(&self.memory, &pages, destination, has_time)
        };
        Ok(Stop { moment: Moment { heap, roots, isolates }, allocated })
    }

    fn find_pages(&self) -> Result<Vec<Page>, CensusError> {
        let maps = procfs::maps(self.pid)?;
        Ok(find_pages(&self.memory, self.pages, &anonymous(&maps)).0)
    }

    fn isolates(&self, pages: &[Page]) -> Vec<IsolatePlace> {
        let mut isolates: Vec<IsolatePlace> = Vec::new();
        for heap in pages.iter().filter_map(|page| page.heap) {
            if isolates.iter().any(|known| known.heap == heap) || isolates.len() >= ISOLATES_MAX {
                continue;
            }
            if let Some(isolate) = heap.0.checked_sub(self.heap_in_isolate) {
                isolates.push(IsolatePlace { heap, isolate: Avma(isolate) });
            }
        }
        isolates
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

/// Without these no object can be told from another.
fn check(metadata: &Metadata) -> Result<(), CensusError> {
    let needed = [
        ("Map::instance_type", &metadata.map_instance_type),
        ("MAP_TYPE", &metadata.type_map),
        ("JS_ARRAY_BUFFER_TYPE", &metadata.type_array_buffer),
        ("JS_TYPED_ARRAY_TYPE", &metadata.type_typed_array),
        ("JSArrayBuffer::backing_store", &metadata.buffer_backing_store),
        ("JSArrayBuffer::byte_length", &metadata.buffer_byte_length),
        ("JSArrayBuffer::bit_field", &metadata.buffer_flags),
        ("JSArrayBufferView::buffer", &metadata.view_buffer),
        ("JSArrayBufferView::byte_offset", &metadata.view_byte_offset),
        ("JSArrayBufferView::byte_length", &metadata.view_byte_length),
        ("FREE_SPACE_TYPE", &metadata.type_free_space),
    ];
    match needed.iter().find(|(_, constant)| constant.get().is_none()) {
        Some((name, constant)) => {
            Err(CensusError::Unknown(format!("{name} is {}", constant.provenance())))
        }
        None => Ok(()),
    }
}

/// Mappings that V8's pages can be in.
fn anonymous(maps: &[MapEntry]) -> Vec<MemoryRange> {
    let is_anonymous = |entry: &&MapEntry| {
        entry.is_readable
            && entry.inode == 0
            && (entry.path.is_empty() || entry.path.starts_with("[anon:"))
    };
    let ranges = maps.iter().filter(is_anonymous).map(|entry| MemoryRange {
        start: entry.start,
        end: entry.end,
        is_writable: entry.is_writable,
        is_executable: entry.is_executable,
    });
    ranges.collect()
}

fn thread_state(thread: &crate::sys::ptrace::StoppedThread, maps: &[MapEntry]) -> ThreadState {
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
