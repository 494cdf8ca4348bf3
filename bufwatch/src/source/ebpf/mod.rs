//! The eBPF backend: loads the programs, attaches them to one target, and turns what they say into events.
//! Which probes go where is decided by the plan, what events mean by the model.

mod attach;
mod bpf_calls;
mod budget;
mod cost;
mod counters;
pub mod execs;
mod faults;
mod kernel_log;
mod links;
mod live_set;
mod load;
mod own_code;
mod ring;
mod windows;

use aya::Ebpf;
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, RingBuf};
use aya::programs::ProgramType;
use aya::sys::is_program_supported;
use bufwatch_common::{
    CallbackFunctions, DropReason, InterpreterCopies, LiveKey, LiveStore, N_SIZE_CLASSES,
    ProbeConfig, SizeClassCounters, size_class,
};

pub use attach::{AttachPoint, ProgramName};
use attach::{Attached, Means};
pub use load::LoadError;

use crate::base::{FastSet, Nanos, StoreKey};
use crate::event::census::Census;
use crate::event::residency::FirstTouch;
use crate::event::{Backend, Event, Payload, key_of};
use crate::source::Source;
use crate::source::ebpf::cost::Cost;
use crate::source::ebpf::faults::Faults;
use crate::source::ebpf::kernel_log::KernelLog;
use crate::source::ebpf::ring::{Received, WakeUps};
use crate::source::ebpf::windows::{Turn, Windows};
use crate::source::known_stores::StoreTarget;

/// Records read at once before a census is looked at.
const DRAIN_BATCH: usize = 4_096;

/// Of these, at most: a target that makes stores faster than they are read would keep it reading.
const DRAIN_BATCHES_MAX: usize = 256;

/// What to trace and how.
#[derive(Clone, Debug)]
pub struct EbpfConfig {
    pub pid: u32,
    /// The thread of the target that carries the perf events, where the kernel has no links of processes (`links`). The probes fire for all threads of its process,
    /// but the kernel handles each event whenever this thread is switched to or from, which an idle thread
    /// never is. Node's second thread schedules delayed platform tasks: idle, and there until the end
    /// (node: `src/node_platform.cc`, `DelayedTaskScheduler`).
    pub anchor_tid: u32,
    /// Perf events though the kernel may have links of processes; for tests.
    pub has_events: bool,
    /// The pid namespace in it is set when the programs are loaded.
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
    /// What the probes may cost the target.
    pub limit: Option<CostLimit>,
}

/// A limit on what probes cost, and what has to be known where they are in place for part of the time only.
#[derive(Clone, Copy, Debug)]
pub struct CostLimit {
    /// Of the time of one core.
    pub share: f64,
    pub stores: StoreTarget,
}

/// An attached session. Dropping it detaches: the kernel removes the probes when the descriptors close,
/// also when bufwatch is killed.
pub struct EbpfSource {
    /// Before the programs, so that they go first.
    links: Attached,
    /// Those that come and go, if their cost is limited.
    windows: Option<Windows>,
    copies: Array<MapData, InterpreterCopies>,
    /// Address of an `AsyncWrap` → its origin.
    async_resources: HashMap<MapData, u64, u64>,
    /// If they were asked for.
    faults: Option<Faults>,
    /// If somebody wants to know.
    kernel_log: Option<KernelLog>,
    /// Holds the programs and the links of tracepoints.
    ebpf: Ebpf,
    means: Means,
    points: Vec<AttachPoint>,
    /// Entries of the live map from before this are not to be trusted.
    forget_before: Nanos,
    wake_ups: WakeUps,
    ring: RingBuf<MapData>,
    /// Both tiers of the live map.
    live: [Map; 2],
    size_classes: PerCpuArray<MapData, [SizeClassCounters; N_SIZE_CLASSES]>,
    /// Small stores that died while no probe was in place.
    small_gone: [SizeClassCounters; N_SIZE_CLASSES],
    drops: PerCpuArray<MapData, [u64; DropReason::COUNT]>,
    sequences: PerCpuArray<MapData, u64>,
    received: Received,
}

impl EbpfSource {
    /// Loads and attaches. Points that could not be attached come back in words, unless one of them is
    /// needed to see stores at all, which is an error.
    pub fn start(config: &EbpfConfig) -> Result<(Self, Vec<String>), LoadError> {
        let mut ebpf = load::load(config)?;
        load::configure(&mut ebpf, config.probe)?;
        // The programs of links take the maps that are in the object.
        let mut means = Means::choose(&ebpf, config);
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
        let is_lasting = |it: &&AttachPoint| config.limit.is_none() || it.program.is_rare();
        let points: Vec<AttachPoint> = config.points.iter().filter(is_lasting).cloned().collect();
        let (links, more) = match attach::attach_points(&mut ebpf, &means, &points) {
            Err(error) if means.anchor_tid().is_none() => {
                tracing::debug!(%error, "links cannot be made, so probes are perf events");
                means = Means::Events { anchor_tid: config.anchor_tid };
                attach::attach_points(&mut ebpf, &means, &points)?
            }
            attached => attached?,
        };
        notices.extend(more);
        let (windows, more) = config
            .limit
            .map(|limit| limited(&mut ebpf, &means, config, limit))
            .transpose()?
            .unzip();
        notices.extend(more.unwrap_or_default());
        let ring = load::take_map(&mut ebpf, "EVENTS")?;
        let source = Self {
            wake_ups: WakeUps::new(&ring).map_err(LoadError::WakeUps)?,
            ring,
            live: [take_hash(&mut ebpf, "LIVE")?, take_hash(&mut ebpf, "LIVE_MORE")?],
            size_classes: load::take_map(&mut ebpf, "SIZE_CLASSES")?,
            small_gone: Default::default(),
            drops: load::take_map(&mut ebpf, "DROPS")?,
            sequences: load::take_map(&mut ebpf, "SEQUENCES")?,
            links,
            windows,
            copies,
            faults,
            kernel_log: KernelLog::open(&mut ebpf),
            async_resources: load::take_map(&mut ebpf, "ASYNC_RESOURCES")?,
            ebpf,
            means,
            points,
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
        self.means = Means::Events { anchor_tid };
        let (links, notices) = attach::attach_points(&mut self.ebpf, &self.means, &self.points)?;
        self.forget_before = now;
        self.links = links;
        if let Some(windows) = &mut self.windows {
            windows.move_to(&mut self.ebpf, &self.means)?;
        }
        Ok(notices)
    }

    /// Puts probes in place, or takes them away, as their cost allows, and looks meanwhile what has become of known stores.
    fn turn(&mut self, events: &mut Vec<Event>) {
        let Some(windows) = &mut self.windows else { return };
        match windows.turn(&self.ebpf, &self.means, events) {
            Turn::Stay => {}
            Turn::Close => windows.close(),
            Turn::Open => {
                if let Err(error) = self.sweep() {
                    tracing::warn!(%error, "the live map could not be read");
                }
                if let Some(windows) = &mut self.windows {
                    windows.open(&mut self.ebpf, &self.means);
                }
            }
        }
        if let Some(windows) = self.windows.as_mut().filter(|it| it.is_sampled()) {
            // That the process has ended is told by others.
            windows.stores.look_if_due(events);
        }
    }

    /// Takes stores out of the live map that died while no probe was in place; nobody else writes to it meanwhile.
    fn sweep(&mut self) -> std::io::Result<()> {
        let Some(windows) = &self.windows else { return Ok(()) };
        for map in &mut self.live {
            let mut stores = Vec::new();
            live_set::read(map, &mut stores)?;
            let gone = windows.stores.gone(&stores);
            let mut map: HashMap<&mut MapData, LiveKey, LiveStore> =
                HashMap::try_from(&mut *map).map_err(std::io::Error::other)?;
            for (address, store) in stores {
                if !gone.contains(&key_of(address, &store)) {
                    continue;
                }
                match map.remove(&LiveKey { address }) {
                    Ok(()) | Err(MapError::KeyNotFound) => {}
                    Err(error) => return Err(std::io::Error::other(error)),
                }
                if store.is_tracked == 0
                    && let Some(class) =
                        self.small_gone.get_mut(size_class(store.size_bytes) as usize)
                {
                    class.n_destroyed += 1;
                    class.destroyed_bytes += store.size_bytes;
                }
            }
        }
        Ok(())
    }
}

/// The probes of which there are many hits, in place for as long as `limit` allows.
fn limited(
    ebpf: &mut Ebpf,
    means: &Means,
    config: &EbpfConfig,
    limit: CostLimit,
) -> Result<(Windows, Vec<String>), LoadError> {
    let is_frequent = |it: &&AttachPoint| !it.program.is_rare();
    let points: Vec<AttachPoint> = config.points.iter().filter(is_frequent).cloned().collect();
    let programs: Vec<ProgramName> = points.iter().map(|point| point.program).collect();
    let (links, mut notices) = attach::attach_points(ebpf, means, &points)?;
    let cost = Cost::start(ebpf, means, &programs)?;
    notices.push(format!(
        "probes may cost {:.1} % of a core: above it they are in place part of the time; a probe costs {:.2} µs here besides its program",
        limit.share * 100.0,
        cost.trap().0 as f64 / 1e3
    ));
    Ok((Windows::new(limit.share, cost, limit.stores, points, links), notices))
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
        let first = events.len();
        let is_more = ring::drain(&mut self.ring, limit, &mut self.received, events);
        if let Some(windows) = &mut self.windows {
            windows.stores.follow(events, first);
        }
        self.turn(events);
        if let Some(log) = &mut self.kernel_log {
            log.flush();
        }
        is_more
    }

    /// Stores that came while no probe was in place. What the probes told before the census is read first.
    fn census_taken(&mut self, at: Nanos, census: &Census, events: &mut Vec<Event>) {
        if self.windows.as_ref().is_none_or(|windows| !windows.is_sampled()) {
            return;
        }
        for _ in 0..DRAIN_BATCHES_MAX {
            if !self.drain(DRAIN_BATCH, events) {
                break;
            }
        }
        if let Some(windows) = &mut self.windows {
            windows.stores.census_taken(at, census, false, events);
        }
    }

    fn needs_censuses(&self) -> bool {
        self.windows.as_ref().is_some_and(Windows::is_sampled)
    }

    fn limits(&self) -> Option<String> {
        let windows = self.windows.as_ref()?;
        windows.obstacle.clone().or_else(|| windows.stores.limits())
    }

    /// Reads the kernel-side counters.
    fn sample_counters(&self, now: Nanos) -> Option<Event> {
        let mut sampled = counters::sample(&self.size_classes, &self.drops)?;
        for (class, gone) in sampled.size_classes.iter_mut().zip(&self.small_gone) {
            class.n_destroyed += gone.n_destroyed;
            class.destroyed_bytes += gone.destroyed_bytes;
        }
        Some(Event { at: now, payload: Payload::CountersSampled(Box::new(sampled)) })
    }

    /// Records that the programs numbered and nobody understood so far: lost, still in the ring buffer, or of
    /// an unknown kind.
    fn n_missing(&self) -> u64 {
        counters::sum(&self.sequences).map_or(0, |n_written| {
            n_written.saturating_sub(self.received.n_records - self.received.n_undecoded)
        })
    }

    /// Reads the individually tracked stores of the kernel's live map, whole.
    fn read_live_set(&self) -> std::io::Result<Vec<(u64, LiveStore)>> {
        let mut stores = Vec::new();
        for map in &self.live {
            live_set::read(map, &mut stores)?;
        }
        stores.retain(|(_, store)| store.is_tracked != 0 && store.birth_ns >= self.forget_before.0);
        if let Some(windows) = self.windows.as_ref().filter(|it| it.is_sampled()) {
            let gone = windows.stores.gone(&stores);
            stores.retain(|(address, store)| !gone.contains(&key_of(*address, store)));
            let known: FastSet<StoreKey> =
                stores.iter().map(|(address, store)| key_of(*address, store)).collect();
            stores.extend(windows.stores.alive(|key| known.contains(&key)));
        }
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
        self.means.anchor_tid()
    }

    fn move_to(&mut self, anchor_tid: u32, now: Nanos) -> Vec<String> {
        self.try_to_move(anchor_tid, now)
            .unwrap_or_else(|error| vec![format!("probes could not be moved: {error}")])
    }
}

/// Such a kernel puts probes in place by links of processes, which need no more than the capabilities for programs.
pub fn has_links(release: Option<(u32, u32)>) -> bool {
    links::are_usable(release)
}

/// Why eBPF cannot be had here, as far as the kernel says so without anything being attached.
pub fn obstacle() -> Option<String> {
    if let Err(error) = load::find_object() {
        return Some(error.to_string());
    }
    match is_program_supported(ProgramType::KProbe) {
        Ok(true) => probe_obstacle(),
        Ok(false) => Some("the kernel has no BPF programs for probes".to_owned()),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let reason = cause.unwrap_or_else(|| error.to_string());
            Some(format!("the kernel does not let this user load BPF programs ({reason})"))
        }
    }
}

/// The same for probes: a kernel, or a filter of system calls, may allow programs and not these. What fails for another reason is left to the
/// attempt on the target, which knows more.
fn probe_obstacle() -> Option<String> {
    let error = own_code::try_to_probe().err()?;
    let is_refused = error.kind() == std::io::ErrorKind::PermissionDenied;
    is_refused.then(|| format!("the kernel does not let this user attach probes ({error})"))
}

fn take_hash(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, LoadError> {
    match ebpf.take_map(name) {
        Some(Map::HashMap(map)) => Ok(Map::HashMap(map)),
        _ => Err(LoadError::Absent(name)),
    }
}
