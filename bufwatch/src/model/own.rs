//! What bufwatch itself costs, lost and could not find out.

use crate::base::{Bytes, Nanos};
use crate::event::{Frame, FrameKind};
use crate::model::latency::Latencies;
use serde::{Deserialize, Serialize};

/// What bufwatch itself costs and lost.
#[derive(Clone, Debug, Default)]
pub struct SelfState {
    pub n_lost: u64,
    pub n_reconciled: u64,
    pub n_closed_by_reconcile: u64,
    /// Of the stacks that were resolved, indexed by [`frame_kind_index`].
    pub frames: [FrameCounts; 4],
    /// From probe to names, of new stacks.
    pub resolve_latency: Latencies,
    pub cpu: Nanos,
    pub cpu_share: Option<f64>,
    pub rss: Option<Bytes>,
    /// Of the time since the attach, that in which probes were in place; `None` where that is always so.
    pub coverage: Option<f64>,
    pub(super) sampled_at: Option<Nanos>,
}

/// Frames of one kind, and how well they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameCounts {
    pub n: u64,
    pub n_unresolved: u64,
    pub n_approximate: u64,
}

/// Where a kind stands in [`SelfState::frames`].
pub const fn frame_kind_index(kind: FrameKind) -> usize {
    match kind {
        FrameKind::Js => 0,
        FrameKind::Node => 1,
        FrameKind::Builtin => 2,
        FrameKind::Native => 3,
    }
}

impl SelfState {
    /// Probes were not in place all the time.
    pub fn is_sampled(&self) -> bool {
        self.coverage.is_some_and(|share| share < 1.0)
    }

    pub(super) fn frames_resolved(&mut self, frames: &[Frame]) {
        for frame in frames {
            let Some(counts) = self.frames.get_mut(frame_kind_index(frame.kind)) else { continue };
            counts.n += 1;
            counts.n_unresolved += u64::from(!frame.is_resolved);
            counts.n_approximate += u64::from(frame.is_approximate);
        }
    }
}
