//! The eBPF backend: loads the programs, attaches them to one target, and turns what they say into events.
//! Which probes go where is decided by the plan, what events mean by the model.

mod attach;
mod counters;
pub mod execs;
mod faults;
mod live_set;
mod load;
mod ring;

use aya::Ebpf;
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, RingBuf};
use aya::programs::ProgramType;
use aya::programs::uprobe::UProbeLink;
use aya::sys::is_program_supported;
use bufwatch_common::{
    CallbackFunctions, InterpreterCopies, LiveStore, ProbeConfig, SizeClassCounters,
};

pub use attach::{AttachPoint, ProgramName};
pub use load::LoadError;

use crate::base::Nanos;
use crate::event::residency::FirstTouch;
use crate::event::{Backend, Event, Payload};
use crate::source::Source;
use crate::source::ebpf::faults::Faults;
use crate::source::ebpf::ring::{Received, WakeUps};

/// What to trace and how.
#[derive(Clone, Debug)]
pub struct EbpfConfig {
    /// The thread of the target that carries the perf events. The probes fire for all threads of its process,
    /// but the kernel handles each event whenever this thread is switched to or from, which an idle thread
    /// never is. Node's second thread schedules delayed platform tasks: idle, and there until the end
    /// (node: `src/node_platform.cc`, `DelayedTaskScheduler`).
    pub anchor_tid: u32,
    pub probe: ProbeConfig,
    /// Where V8's interpreter is mapped besides its place in the binary.
    pub interpreter_copies: Vec<u64>,
    /// What runs callbacks of async resources, if their origins are asked for.
    pub async_origin: Option<CallbackFunctions>,
    /// Page faults are followed, for exact first touches.
    pub has_faults: bool,
    /// Rounded up to a power of two of at least one page.
    pub ring_bytes: u32,
    /// Stores that the live map has room for; `None`: what the programs say.
    pub stores_max: Option<u32>,
    pub points: Vec<AttachPoint>,
}

/// An attached session. Dropping it detaches: the kernel removes the probes when the descriptors close,
/// also when bufwatch is killed.
pub struct EbpfSource {
    /// Before the programs, so that they go first.
    links: Vec<UProbeLink>,
    copies: Array<MapData, InterpreterCopies>,
    /// Address of an `AsyncWrap` → its origin.
    async_resources: HashMap<MapData, u64, u64>,
    /// If they were asked for.
    faults: Option<Faults>,
    /// Holds the programs and the links of tracepoints.
    ebpf: Ebpf,
    anchor_tid: u32,
    points: Vec<AttachPoint>,
    /// Entries of the live map from before this are not to be trusted.
    forget_before: Nanos,
    wake_ups: WakeUps,
    ring: RingBuf<MapData>,
    /// Both tiers of the live map.
    live: [MapData; 2],
    size_classes: PerCpuArray<MapData, SizeClassCounters>,
    drops: PerCpuArray<MapData, u64>,
    sequences: PerCpuArray<MapData, u64>,
    received: Received,
}

impl EbpfSource {
    /// Loads and attaches. Points that could not be attached come back in words, unless one of them is
    /// needed to see stores at all, which is an error.
    pub fn start(config: &EbpfConfig) -> Result<(Self, Vec<String>), LoadError> {
        let mut ebpf = load::load(config)?;
        let mut settings: Array<_, ProbeConfig> = load::take_map(&mut ebpf, "CONFIG")?;
        settings
            .set(0, config.probe, 0)
            .map_err(|source| LoadError::Map { name: "CONFIG", source })?;
        let mut copies = InterpreterCopies::default();
        for (entry, start) in copies.starts.iter_mut().zip(&config.interpreter_copies) {
            *entry = *start;
        }
        let mut map: Array<_, InterpreterCopies> = load::take_map(&mut ebpf, "COPIES")?;
        map.set(0, copies, 0).map_err(|source| LoadError::Map { name: "COPIES", source })?;
        let copies = map;
        let mut functions: Array<_, CallbackFunctions> =
            load::take_map(&mut ebpf, "CALLBACK_FUNCTIONS")?;
        functions
            .set(0, config.async_origin.unwrap_or_default(), 0)
            .map_err(|source| LoadError::Map { name: "CALLBACK_FUNCTIONS", source })?;
        let mut notices = attach::attach_tracepoints(&mut ebpf)?;
        let faults = config.has_faults.then(|| Faults::start(&mut ebpf)).transpose()?;
        let (links, more) = attach::attach_points(&mut ebpf, &config.points, config.anchor_tid)?;
        notices.extend(more);
        let ring = load::take_map(&mut ebpf, "EVENTS")?;
        let source = Self {
            wake_ups: WakeUps::new(&ring).map_err(LoadError::WakeUps)?,
            ring,
            live: [take_hash(&mut ebpf, "LIVE")?, take_hash(&mut ebpf, "LIVE_MORE")?],
            size_classes: load::take_map(&mut ebpf, "SIZE_CLASSES")?,
            drops: load::take_map(&mut ebpf, "DROPS")?,
            sequences: load::take_map(&mut ebpf, "SEQUENCES")?,
            links,
            copies,
            faults,
            async_resources: load::take_map(&mut ebpf, "ASYNC_RESOURCES")?,
            ebpf,
            anchor_tid: config.anchor_tid,
            points: config.points.clone(),
            forget_before: Nanos(0),
            received: Received::default(),
        };
        Ok((source, notices))
    }

    /// Adds copies of the interpreter that were mapped after the first look and before the probes were there. Copies that come in this very
    /// moment could be written over; the caller looks once more.
    pub fn add_copies(&mut self, starts: &[u64]) -> Result<(), LoadError> {
        let failed = |source| LoadError::Map { name: "COPIES", source };
        let mut copies = self.copies.get(&0, 0).map_err(failed)?;
        let n_before = copies.starts.iter().filter(|start| **start > 1).count();
        for start in starts {
            if !copies.starts.contains(start)
                && let Some(free) = copies.starts.iter_mut().find(|entry| **entry <= 1)
            {
                *free = *start;
            }
        }
        if copies.starts.iter().filter(|start| **start > 1).count() > n_before {
            self.copies.set(0, copies, 0).map_err(failed)?;
        }
        Ok(())
    }

    /// Moves the probes to another thread, after the one that carried them has ended. Deaths were missed
    /// meanwhile, so what was alive before `now` is forgotten: better not tracked than called a leak.
    fn try_to_move(&mut self, anchor_tid: u32, now: Nanos) -> Result<Vec<String>, LoadError> {
        // Others may have come to be at their addresses, and callbacks in their places, while nobody looked.
        let stale: Vec<u64> = self.async_resources.keys().flatten().collect();
        for address in stale {
            if let Err(error) = self.async_resources.remove(&address) {
                tracing::debug!(%error, "an async resource had gone before it was forgotten");
            }
        }
        let (links, notices) = attach::attach_points(&mut self.ebpf, &self.points, anchor_tid)?;
        self.anchor_tid = anchor_tid;
        self.forget_before = now;
        self.links = links;
        Ok(notices)
    }
}

impl Source for EbpfSource {
    fn backend(&self) -> Backend {
        Backend::Ebpf
    }

    /// Until a new stack comes; other records do not wake up.
    fn wait(&self, limit: Nanos) {
        self.wake_ups.wait(limit);
    }

    fn drain(&mut self, limit: usize, events: &mut Vec<Event>) -> bool {
        ring::drain(&mut self.ring, limit, &mut self.received, events)
    }

    /// Reads the kernel-side counters.
    fn sample_counters(&self, now: Nanos) -> Option<Event> {
        let sampled = counters::sample(&self.size_classes, &self.drops)?;
        Some(Event { at: now, payload: Payload::CountersSampled(Box::new(sampled)) })
    }

    /// Records that the programs numbered and nobody understood so far: lost, still in the ring buffer, or of
    /// an unknown kind.
    fn n_missing(&self) -> u64 {
        counters::sum(&self.sequences, 0).map_or(0, |n_written| {
            n_written.saturating_sub(self.received.n_records - self.received.n_undecoded)
        })
    }

    /// Reads the individually tracked stores of the kernel's live map, whole.
    fn read_live_set(&self) -> std::io::Result<Vec<(u64, LiveStore)>> {
        let mut stores = Vec::new();
        for map in &self.live {
            live_set::read(map, &mut stores)?;
        }
        stores.retain(|(_, store)| store.birth_ns >= self.forget_before.0);
        Ok(stores)
    }

    fn has_faults(&self) -> bool {
        self.faults.is_some()
    }

    fn first_touch(&self, start: u64, end: u64, since: Nanos) -> Option<FirstTouch> {
        self.faults.as_ref().map(|faults| faults.first(start, end, since))
    }

    /// Without it the probes do not fire.
    fn anchor_tid(&self) -> Option<u32> {
        Some(self.anchor_tid)
    }

    fn move_to(&mut self, anchor_tid: u32, now: Nanos) -> Vec<String> {
        self.try_to_move(anchor_tid, now)
            .unwrap_or_else(|error| vec![format!("probes could not be moved: {error}")])
    }
}

/// Why eBPF cannot be had here, as far as the kernel says so without anything being attached.
pub fn obstacle() -> Option<String> {
    if let Err(error) = load::find_object() {
        return Some(error.to_string());
    }
    match is_program_supported(ProgramType::KProbe) {
        Ok(true) => None,
        Ok(false) => Some("the kernel has no BPF programs for probes".to_owned()),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let reason = cause.unwrap_or_else(|| error.to_string());
            Some(format!("the kernel does not let this user load BPF programs ({reason})"))
        }
    }
}

fn take_hash(ebpf: &mut Ebpf, name: &'static str) -> Result<MapData, LoadError> {
    match ebpf.take_map(name) {
        Some(Map::HashMap(map)) => Ok(map),
        _ => Err(LoadError::Absent(name)),
    }
}
