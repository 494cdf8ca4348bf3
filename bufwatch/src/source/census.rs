//! Takes the census of a live process: prepares room for its heap, stops it, lets it run on, analyses the copy; again if it was not the
//! moment for it. What is read while the process stands still is the part of `standstill`, what the copy says that of `v8::census`.

use std::io;
use std::path::Path;

use crate::base::{MemoryError, Nanos, ProcessKey};
use crate::event::census::{Census, Timing};
use crate::node::plan::Planned;
use crate::source::census_cassette::{Facts, Tape, Taped};
use crate::source::standstill::{Look, Place, Stop};
use crate::sys::clock;
use crate::sys::life::Life;
use crate::sys::memory::{ProcessMemory, prefer_large_pages};
use crate::sys::procfs::ProcfsError;
use crate::sys::ptrace::{StopError, Stopped, with_stopped, with_traced_stopped};
use crate::sys::tracer::Tracer;
use crate::v8::census::copy::Destination;
use crate::v8::census::room::Room;
use crate::v8::census::store::StoreFacts;
use crate::v8::census::take::{self, Detail, Refusal};
use crate::v8::page::CANDIDATES_MAX;
use crate::v8::{Layout, Metadata};

/// How long a process may stand still. A gigabyte of heap takes about a quarter of a second with one core, half of that with two.
pub const STOP_LIMIT: Nanos = Nanos::from_secs(2);

/// Stops that met a garbage collection are tried again as often.
const COLLECTING_MAX: u64 = 8;

/// Stops of which a thread was not part are tried again as often, and then do without it: on a machine with too much to do a thread
/// may wait long for its turn to stop.
const INCOMPLETE_MAX: u64 = 3;

/// Before the next try; doubled each time. Most collections take a few milliseconds.
const BACK_OFF: Nanos = Nanos::from_millis(5);

/// How long a process without a heap is looked at: it may be starting.
const STARTING_PATIENCE: Nanos = Nanos::from_secs(2);

/// A program that is younger may still be starting: Node takes 20 to 100 ms on a machine that has nothing else to do.
const STARTING_AGE: Nanos = Nanos::from_secs(10);

/// From the moment at which nothing can be read of a process that was killed until it counts as ended.
const ENDING_LIMIT: Nanos = Nanos::from_millis(200);

/// Threads that copy and walk a heap. More would only wait for memory.
const THREADS_MAX: usize = 4;

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
    #[error("reading the memory of the process is not permitted (process_vm_readv)")]
    Unreadable,
    #[error("the process began {age} ago and is still starting: {reason}")]
    Starting { age: Nanos, reason: Box<Self> },
    #[error("the process was collecting garbage at each of {0} stops")]
    Collecting(u64),
    #[error("{0} threads could not be stopped")]
    Incomplete(usize),
    #[error(
        "reading the heap would have taken longer than {0}, the longest that bufwatch stops a process"
    )]
    TooLong(Nanos),
    #[error("process {pid} ended during the census")]
    Ended { pid: u32 },
    #[error("what was read could not be written down")]
    Tape(#[source] io::Error),
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
            Self::Unreadable => {
                "in a container, its seccomp profile must allow process_vm_readv and ptrace"
            }
            Self::NoHeap => "is the process just starting or ending? try again",
            Self::Starting { .. } => "try again in a moment",
            Self::Collecting(_) | Self::Incomplete(_) => {
                "try again when the process has less to do"
            }
            Self::TooLong(_) => "the heap is larger than bufwatch can read in this time",
            Self::Ended { .. } => "`bufwatch ps` lists the Node processes of this host",
            Self::Tape(_) => "is the folder of `--record-reads` there, and writable?",
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
    key: ProcessKey,
    place: Place,
    layout: Layout,
    stores: Option<StoreFacts>,
    node_version: Option<String>,
    n_threads: usize,
    /// Of a program that bufwatch traces to its end.
    tracer: Option<Tracer>,
}

impl CensusTaker {
    pub fn new(planned: &Planned) -> Result<Self, CensusError> {
        let (plan, identity) = (&planned.plan, &planned.identity);
        let unknown = |what: &str| CensusError::Unknown(what.to_owned());
        check(&plan.v8)?;
        let pages = plan.page_layout().ok_or_else(|| unknown("the layout of V8's pages"))?;
        let heap_in_isolate = plan.allocator.as_ref().and_then(|facts| facts.heap_in_isolate.get());
        let key = identity.key;
        Ok(Self {
            key,
            place: Place {
                pid: key.pid,
                memory: ProcessMemory::new(key.pid),
                pages,
                roots: plan.census.facts(identity.node.bias),
                heap_in_isolate: u64::from(
                    heap_in_isolate.ok_or_else(|| unknown("where an isolate has its heap"))?,
                ),
                allocator: plan.allocator_facts(identity.node.bias),
                tape: None,
            },
            layout: plan.v8.layout(),
            stores: plan.layout.store_facts(),
            node_version: plan
                .node_version
                .map(|it| it.to_string().trim_start_matches('v').to_owned()),
            n_threads: std::thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_MAX)),
            tracer: None,
        })
    }

    /// Of a process that has a tracer: that one stops it.
    #[must_use]
    pub fn stopped_by(mut self, tracer: Option<Tracer>) -> Self {
        self.tracer = tracer;
        self
    }

    /// Everything that is read for the census is also written to a file, for tests: what is on it is said by `census_cassette`.
    #[must_use]
    pub fn recording_to(mut self, path: &Path) -> Self {
        self.place.tape = Some(Tape::new(path));
        self
    }

    /// Stops the process once, or a few times if it is collecting garbage or just starting, and says what is alive.
    pub fn take(&self, detail: Detail) -> Result<Census, CensusError> {
        let start = clock::now();
        let life = Life::of(self.key);
        let mut room = Destination::default();
        let (mut n_collecting, mut n_incomplete) = (0_u64, 0_u64);
        let mut pause = BACK_OFF;
        loop {
            let needs_all = n_incomplete < INCOMPLETE_MAX;
            let error = match self.try_to_take(detail, &life, needs_all, &mut room) {
                Ok(mut census) => {
                    census.counts.n_retries = n_collecting.saturating_add(n_incomplete);
                    census.timing.total = clock::now().since(start);
                    return Ok(census);
                }
                Err(CensusError::NoHeap) if self.is_unreadable() => CensusError::Unreadable,
                Err(error) => error,
            };
            let age = life.age().filter(|age| *age < STARTING_AGE);
            let has_patience = clock::now().since(start) < STARTING_PATIENCE;
            let is_temporary = match &error {
                CensusError::Collecting(_) => {
                    n_collecting = n_collecting.saturating_add(1);
                    n_collecting < COLLECTING_MAX
                }
                CensusError::Incomplete(_) => {
                    n_incomplete = n_incomplete.saturating_add(1);
                    true
                }
                CensusError::NoHeap => has_patience,
                // Of a heap that is being set up nothing is as it should be.
                CensusError::Refused(_) => has_patience && age.is_some(),
                _ => false,
            };
            tracing::debug!(%error, is_temporary, "no census");
            if life.has_ended(if is_temporary { pause } else { ENDING_LIMIT }) {
                return Err(CensusError::Ended { pid: self.key.pid });
            }
            if is_temporary {
                pause = Nanos(pause.0.saturating_mul(2));
                continue;
            }
            return Err(match (error, age) {
                (CensusError::Collecting(_), _) => CensusError::Collecting(n_collecting),
                (error @ (CensusError::NoHeap | CensusError::Refused(_)), Some(age)) => {
                    CensusError::Starting { age, reason: Box::new(error) }
                }
                (error, _) => error,
            });
        }
    }

    /// It may be stopped, and not read.
    fn is_unreadable(&self) -> bool {
        self.place.memory.check_access() == Err(MemoryError::Denied)
    }

    /// With one stop. `room` is kept between two.
    fn try_to_take(
        &self,
        detail: Detail,
        life: &Life,
        needs_all_threads: bool,
        room: &mut Destination,
    ) -> Result<Census, CensusError> {
        let start = clock::now();
        let search = self.place.search()?;
        let pages = &search.1.pages;
        if pages.is_empty() {
            return Err(CensusError::NoHeap);
        }
        let destination =
            std::mem::take(room).for_pages(pages, Room::new(prefer_large_pages), self.n_threads);
        let prepared = clock::now();
        let look = |stopped: &Stopped| {
            if needs_all_threads && !stopped.running.is_empty() {
                return Ok(Look::Incomplete(destination, stopped.running.len()));
            }
            self.place.look(stopped, &search, destination, self.n_threads)
        };
        let (look, report) = match &self.tracer {
            Some(tracer) => with_traced_stopped(tracer, STOP_LIMIT, look)?,
            None => with_stopped(self.key.pid, STOP_LIMIT, look)?,
        };
        let mut stop = match look? {
            Look::Taken(stop) => stop,
            Look::Collecting(destination) => {
                *room = destination;
                return Err(CensusError::Collecting(1));
            }
            Look::Incomplete(destination, n) => {
                *room = destination;
                return Err(CensusError::Incomplete(n));
            }
        };
        if stop.moment.heap.is_cut {
            return Err(CensusError::TooLong(STOP_LIMIT));
        }
        // Of a process that is killed while it is read, some is missing.
        if stop.moment.heap.n_pages_lost > 0 && life.has_ended(ENDING_LIMIT) {
            return Err(CensusError::Ended { pid: self.key.pid });
        }
        stop.moment.heap.shrink();
        let copied = clock::now();
        let memory = Taped::new(self.place.memory, self.place.tape.as_ref());
        let stores = self.stores;
        let census =
            take::analyse(&stop.moment, &self.layout, stop.allocated, detail, &memory, stores);
        if let Some(tape) = &self.place.tape {
            self.save(tape, &stop)?;
        }
        let mut census = census?;
        tracing::debug!(
            preparing = %prepared.since(start),
            stopped = %report.duration,
            analysing = %clock::now().since(copied),
            "census"
        );
        if report.n_running > 0 {
            let n = report.n_running;
            census.gaps.push(format!("{n} threads were in the kernel and could not be stopped"));
        }
        if search.1.is_cut {
            census.gaps.push(format!(
                "memory beyond the first {CANDIDATES_MAX} places at which V8 may have pages"
            ));
        }
        if life.has_ended(Nanos(0)) {
            census.gaps.push(ENDED_AFTER_COPY.to_owned());
        }
        let (stopped_at, stopped) = (report.since, report.duration);
        census.timing = Timing { stopped_at, stopped, total: Nanos(0) };
        Ok(census)
    }
}

impl CensusTaker {
    fn save(&self, tape: &Tape, stop: &Stop) -> Result<(), CensusError> {
        let facts = Facts {
            layout: self.layout,
            pages: self.place.pages,
            roots: self.place.roots.clone(),
            heap_in_isolate: self.place.heap_in_isolate,
            stores: self.stores,
        };
        let version = self.node_version.clone();
        tape.save(facts, version, stop.allocated, &stop.moment.heap).map_err(CensusError::Tape)
    }
}

/// What is read of the process itself, not of the copy.
const ENDED_AFTER_COPY: &str = "the process ended after its heap was copied: lengths of growable shared buffers and owners of stores may be missing";

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
