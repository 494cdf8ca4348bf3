//! A snapshot as a profile: stacks, and what came from each and what is left of it. What bytes that becomes is up to the formats.

mod frames;
mod samples;

use std::fmt;

pub use frames::ProfileFrame;

use crate::analysis::snapshot::{Snapshot, TargetState};
use crate::analysis::tree::FrameLevel;
use crate::base::Nanos;
use crate::base::text::count;

/// What a stack is weighed by. The names are those of heap profiles in pprof, and two that no allocator knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// Stores since the attach, dead ones too.
    AllocObjects,
    /// Their bytes.
    AllocSpace,
    /// Stores alive.
    InuseObjects,
    /// Their bytes.
    #[default]
    InuseSpace,
    /// Of these, bytes in RAM.
    ResidentSpace,
    /// Bytes that views keep alive and that no view shows, as of the last census.
    PinnedSpace,
}

impl Measure {
    pub const COUNT: usize = 6;

    pub const ALL: [Self; Self::COUNT] = [
        Self::AllocObjects,
        Self::AllocSpace,
        Self::InuseObjects,
        Self::InuseSpace,
        Self::ResidentSpace,
        Self::PinnedSpace,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::AllocObjects => "alloc_objects",
            Self::AllocSpace => "alloc_space",
            Self::InuseObjects => "inuse_objects",
            Self::InuseSpace => "inuse_space",
            Self::ResidentSpace => "resident_space",
            Self::PinnedSpace => "pinned_space",
        }
    }

    pub const fn is_bytes(self) -> bool {
        !matches!(self, Self::AllocObjects | Self::InuseObjects)
    }
}

/// A measure that nobody took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotMeasured(pub Measure);

impl fmt::Display for NotMeasured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.0 {
            Measure::PinnedSpace => "no census was taken",
            Measure::ResidentSpace => "no store's pages were looked at",
            _ => "bufwatch was not attached yet",
        };
        write!(f, "{} is not known: {why} up to this moment", self.0.name())
    }
}

impl std::error::Error for NotMeasured {}

impl NotMeasured {
    pub const fn hint(self) -> &'static str {
        match self.0 {
            Measure::PinnedSpace => {
                "record with --census-every SECONDS, or name a later moment with --at"
            }
            _ => "name a later moment with --at",
        }
    }
}

/// What pprof calls a sample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Indexes of [`Profile::frames`], innermost first; never empty.
    pub stack: Vec<usize>,
    /// Indexed by [`Measure`].
    pub values: [u64; Measure::COUNT],
    /// What kind of stores; `None` for values of several kinds.
    pub kind: Option<&'static str>,
    pub thread: Option<Thread>,
    /// What the line of the application called, made safe to print.
    pub api: Option<String>,
}

impl Sample {
    pub fn value(&self, measure: Measure) -> u64 {
        self.values.get(measure as usize).copied().unwrap_or(0)
    }
}

/// Which thread allocated.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Thread {
    pub tid: u32,
    /// Made safe to print.
    pub name: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// What the target is, in a line.
    pub title: String,
    /// The first word of its command.
    pub program: String,
    /// Those that are known at this moment.
    pub measures: Vec<Measure>,
    pub frames: Vec<ProfileFrame>,
    pub samples: Vec<Sample>,
    /// Since 1970, if the recording knows.
    pub wall: Option<Nanos>,
    /// Since the session began.
    pub elapsed: Nanos,
    /// What a reader should know of the numbers, a line each.
    pub notes: Vec<String>,
}

impl Profile {
    /// What the store table has gets kind and thread; the rest, and what is dead, goes without.
    pub fn of(snapshot: &Snapshot, level: FrameLevel, wall: Option<Nanos>) -> Self {
        let (frames, samples) = samples::samples(snapshot, level);
        let target = &snapshot.target;
        let program = target.command.split_whitespace().next().unwrap_or("node");
        Self {
            title: title(snapshot),
            program: crate::base::sanitize(program),
            measures: measures(snapshot),
            frames,
            samples,
            wall,
            elapsed: snapshot.elapsed,
            notes: notes(snapshot),
        }
    }

    pub fn total(&self, measure: Measure) -> u64 {
        self.samples.iter().fold(0, |sum: u64, it| sum.saturating_add(it.value(measure)))
    }

    pub fn check(&self, measure: Measure) -> Result<(), NotMeasured> {
        if self.measures.contains(&measure) { Ok(()) } else { Err(NotMeasured(measure)) }
    }

    /// The frames of a sample, innermost first.
    pub fn stack_of<'a>(
        &'a self,
        sample: &'a Sample,
    ) -> impl DoubleEndedIterator<Item = &'a ProfileFrame> {
        sample.stack.iter().filter_map(|index| self.frames.get(*index))
    }
}

/// Unknown is not zero: what was not looked at is no measure.
fn measures(snapshot: &Snapshot) -> Vec<Measure> {
    let is_counting = snapshot.target.state != TargetState::Attaching;
    let is_known = |measure: &Measure| match measure {
        Measure::ResidentSpace => is_counting && snapshot.memory.residency.n_known > 0,
        Measure::PinnedSpace => snapshot.census.last.is_some(),
        _ => is_counting,
    };
    Measure::ALL.into_iter().filter(is_known).collect()
}

fn title(snapshot: &Snapshot) -> String {
    let target = &snapshot.target;
    let node = target.node_version.as_ref().map(|it| format!(", Node {it}")).unwrap_or_default();
    let command = crate::base::sanitize(&target.command);
    format!("{command} (pid {}{node}) after {}", target.pid, snapshot.elapsed)
}

fn notes(snapshot: &Snapshot) -> Vec<String> {
    let mut notes = vec![title(snapshot)];
    let (stores, residency) = (&snapshot.stores, &snapshot.memory.residency);
    notes.push(format!(
        "backing stores of array buffers since the attach; those of {} and more with their stacks",
        snapshot.target.min_size
    ));
    if residency.n_known > 0 && residency.n_known < stores.n_live {
        notes.push(format!(
            "resident_space: {} of {} live stores were looked at",
            count(residency.n_known),
            count(stores.n_live)
        ));
    }
    if let Some(census) = &snapshot.census.last {
        let age = snapshot.taken_at.since(census.taken_at);
        notes.push(format!("pinned_space: as of the census {age} before"));
    }
    if snapshot.health.n_lost > 0 {
        notes.push(format!("{} records were lost", count(snapshot.health.n_lost)));
    }
    let health = &snapshot.health;
    notes.extend(health.limits.iter().chain(&health.notices).map(|it| crate::base::sanitize(it)));
    notes
}
