//! The sites' stacks as one call tree: from the outermost caller to the allocation, or inverted. What of it
//! is on screen is asked in `walk`.

mod build;
mod walk;

pub use walk::TreeRow;

use crate::event::place::{full_frame, short_frame};
use crate::event::{Frame, FrameKind};

/// Nodes at most. What does not fit is counted where it was cut; the heaviest stacks come first.
pub const NODES_MAX: usize = 20_000;

/// What nodes are weighed by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Measure {
    #[default]
    Live,
    Allocated,
    Count,
}

impl Measure {
    pub const ALL: [Self; 3] = [Self::Live, Self::Allocated, Self::Count];

    /// Also the title of the column.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Allocated => "allocated",
            Self::Count => "stores",
        }
    }

    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Live => Self::Allocated,
            Self::Allocated => Self::Count,
            Self::Count => Self::Live,
        }
    }
}

/// Which frames are nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FrameLevel {
    Application,
    #[default]
    JavaScript,
    All,
}

impl FrameLevel {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Application => "your frames",
            Self::JavaScript => "JavaScript frames",
            Self::All => "all frames",
        }
    }

    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Application => Self::JavaScript,
            Self::JavaScript => Self::All,
            Self::All => Self::Application,
        }
    }

    pub const fn has(self, kind: FrameKind) -> bool {
        match self {
            Self::Application => matches!(kind, FrameKind::Js),
            Self::JavaScript => matches!(kind, FrameKind::Js | FrameKind::Node),
            Self::All => true,
        }
    }
}

/// Which tree to build of a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    pub measure: Measure,
    /// The allocation is the root and callers lie below it.
    pub is_inverted: bool,
    pub level: FrameLevel,
}

/// Stays the same for a path of calls from tree to tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    Frame(FrameKind),
    /// Not a frame of its own: the API that the frame beside it called, or what made a stack without frames.
    Name,
    /// Further out the stack was not read.
    Cut,
}

/// One value for each of [`Measure::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Values {
    pub live_bytes: u64,
    pub allocated_bytes: u64,
    pub n_live: u64,
}

impl Values {
    pub const fn of(&self, measure: Measure) -> u64 {
        match measure {
            Measure::Live => self.live_bytes,
            Measure::Allocated => self.allocated_bytes,
            Measure::Count => self.n_live,
        }
    }

    fn add(&mut self, other: &Self) {
        self.live_bytes = self.live_bytes.saturating_add(other.live_bytes);
        self.allocated_bytes = self.allocated_bytes.saturating_add(other.allocated_bytes);
        self.n_live = self.n_live.saturating_add(other.n_live);
    }
}

/// A place in calls, the same one for all stacks that pass it.
#[derive(Clone, Debug)]
pub struct Node {
    pub id: NodeId,
    pub parent: Option<usize>,
    pub kind: NodeKind,
    /// `None` unless it is a frame.
    frame: Option<Frame>,
    /// Of what is no frame.
    name: String,
    /// With everything below it.
    pub values: Values,
    /// Of stacks that end here.
    pub own: Values,
    /// It stands for several calls of itself, or of a few functions that call each other.
    pub is_recursive: bool,
    /// Heaviest first.
    pub children: Vec<usize>,
}

/// Texts are made when they are asked for: a tree has many more nodes than a screen has rows.
impl Node {
    /// Function and place in short, safe to print.
    pub fn text(&self) -> String {
        self.frame.as_ref().map_or_else(|| self.name.clone(), short_frame)
    }

    /// The same with the whole path.
    pub fn full(&self) -> String {
        self.frame.as_ref().map_or_else(|| self.name.clone(), full_frame)
    }

    pub fn is_resolved(&self) -> bool {
        self.frame.as_ref().is_none_or(|frame| frame.is_resolved)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Tree {
    pub shape: Shape,
    pub nodes: Vec<Node>,
    /// Heaviest first.
    pub roots: Vec<usize>,
    /// Of everything tracked, in the tree or not.
    pub total: Values,
    /// Of stacks that the snapshot has no room for.
    pub not_listed: Values,
    /// Stacks whose further frames did not fit into [`NODES_MAX`].
    pub n_cut: usize,
}

impl Tree {
    pub fn measured(&self, values: &Values) -> u64 {
        values.of(self.shape.measure)
    }

    /// Share (0..=1) of everything tracked.
    pub fn share(&self, values: &Values) -> f64 {
        self.measured(values) as f64 / self.measured(&self.total).max(1) as f64
    }
}

#[cfg(test)]
mod tests;
