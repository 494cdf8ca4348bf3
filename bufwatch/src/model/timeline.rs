//! The curves over the whole session.

use crate::base::{Nanos, Series};
use crate::event::MemorySampled;
use crate::event::recorded::CurvePoint;
use crate::model::limits::SERIES_POINTS_MAX;
use crate::model::totals::Totals;

/// First step of a curve: as often as memory is sampled.
const STEP: Nanos = Nanos::from_millis(250);

#[derive(Clone, Debug)]
pub struct Timeline {
    pub rss: Series,
    pub array_buffers: Series,
    pub v8_heap: Series,
    pub live_bytes: Series,
    pub created_bytes_per_s: Series,
    pub destroyed_bytes_per_s: Series,
}

impl Default for Timeline {
    fn default() -> Self {
        let series = || Series::new(STEP.0, SERIES_POINTS_MAX);
        Self {
            rss: series(),
            array_buffers: series(),
            v8_heap: series(),
            live_bytes: series(),
            created_bytes_per_s: series(),
            destroyed_bytes_per_s: series(),
        }
    }
}

impl Timeline {
    pub fn push(&mut self, elapsed: Nanos, memory: &MemorySampled, totals: &Totals) {
        self.push_point(
            elapsed,
            &CurvePoint {
                at: Nanos(0),
                rss: memory.rss,
                array_buffers: memory.array_buffers,
                v8_heap: memory.v8_heap,
                live_bytes: totals.live_bytes,
                created_bytes_per_s: totals.created_rate.per_s(),
                destroyed_bytes_per_s: totals.destroyed_rate.per_s(),
            },
        );
    }

    /// The curves through these points, which are in order.
    pub(super) fn recalled(started_at: Nanos, points: &[CurvePoint]) -> Self {
        let mut timeline = Self::default();
        for point in points {
            timeline.push_point(point.at.since(started_at), point);
        }
        timeline
    }

    fn push_point(&mut self, elapsed: Nanos, point: &CurvePoint) {
        let known = [
            (&mut self.rss, point.rss),
            (&mut self.array_buffers, point.array_buffers),
            (&mut self.v8_heap, point.v8_heap),
            (&mut self.live_bytes, Some(point.live_bytes)),
        ];
        for (series, value) in known {
            if let Some(value) = value {
                series.push(elapsed.0, value.0);
            }
        }
        self.created_bytes_per_s.push(elapsed.0, point.created_bytes_per_s as u64);
        self.destroyed_bytes_per_s.push(elapsed.0, point.destroyed_bytes_per_s as u64);
    }
}
