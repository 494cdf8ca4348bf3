//! Tells a recording as a whole: the state of a moment and the course up to it.

use crate::analysis::Interest;
use crate::analysis::post_mortem::{Ending, PostMortem, told_findings};
use crate::base::Nanos;
use crate::event::course::{CensusPoint, GcPoint};
use crate::recording::RecordingError;
use crate::session::replay::{Replay, finding};

impl Replay {
    /// As of so long after the start, and the last `gcs_max` collections before it.
    pub fn post_mortem(
        &self,
        elapsed: Nanos,
        interest: &Interest,
        gcs_max: usize,
    ) -> Result<PostMortem, RecordingError> {
        let about = self.about();
        let started_at = about.started_at;
        let snapshot = self.snapshot_at(elapsed, interest)?;
        let course = self.source().course_until(snapshot.taken_at, gcs_max)?;
        let told = course.told.into_iter().map(|(at, rows)| {
            (at.since(started_at), rows.into_iter().filter_map(finding).collect())
        });
        let censuses = course.censuses.into_iter();
        let gcs = course.gcs.into_iter();
        Ok(PostMortem {
            started_unix: about.started_unix,
            length: self.length(),
            bufwatch_version: about.bufwatch_version.clone(),
            ending: Ending::of(about.how_it_ended.as_deref(), about.exit_code),
            censuses: censuses
                .map(|it| CensusPoint { at: it.at.since(started_at), ..it })
                .collect(),
            gcs: gcs.map(|it| GcPoint { at: it.at.since(started_at), ..it }).collect(),
            n_gcs: course.n_gcs,
            told: told_findings(told),
            is_told_cut: course.is_cut,
            snapshot,
        })
    }
}
