//! Reads what happened in the course of a recording: its censuses, collections and findings in order. States of a moment are `state_reader`'s.

use rusqlite::params;

use crate::base::Nanos;
use crate::event::course::{CensusPoint, GcPoint};
use crate::recording::state_reader::finding;
use crate::recording::thinning::PINNED;
use crate::recording::value::{Columns, int};
use crate::recording::{FindingRow, Reader, RecordingError, names, value};

/// Censuses that are read; one a second for a day.
const CENSUSES_MAX: i64 = 86_400;

/// Rows of findings that are read.
const FINDINGS_MAX: i64 = 100_000;

/// The course of a session up to a moment.
#[derive(Clone, Debug, Default)]
pub struct Course {
    pub censuses: Vec<CensusPoint>,
    /// The most recent ones, oldest first.
    pub gcs: Vec<GcPoint>,
    pub n_gcs: u64,
    /// When findings were told, and which; each time is a new set, an empty one if there were none any more.
    pub told: Sets,
    /// There were more findings than are read.
    pub is_cut: bool,
}

/// Findings by when they were told.
type Sets = Vec<(Nanos, Vec<FindingRow>)>;

impl Reader {
    /// `gcs_max`: collections that are read.
    pub fn course_until(&self, at: Nanos, gcs_max: usize) -> Result<Course, RecordingError> {
        self.begin();
        self.read_course(at, gcs_max).map_err(RecordingError::reading(&self.path))
    }

    fn read_course(&self, at: Nanos, gcs_max: usize) -> rusqlite::Result<Course> {
        let (told, is_cut) = self.told(at)?;
        // With --max-size not each has a row.
        let sql = "SELECT max((SELECT count(*) FROM gc WHERE t <= ?1), coalesce((SELECT n_minor + n_major FROM moment WHERE is_flush \
             AND t <= ?1 ORDER BY t DESC LIMIT 1), 0))";
        let n_gcs = self.row(sql, params![int(at.0)], value::number)?.unwrap_or(0);
        Ok(Course {
            censuses: self.censuses(at)?,
            gcs: self.gcs(at, gcs_max)?,
            n_gcs,
            told,
            is_cut,
        })
    }

    fn censuses(&self, at: Nanos) -> rusqlite::Result<Vec<CensusPoint>> {
        let pinned = if self.has_dropped_censuses {
            format!("coalesce(c.pinned, {PINNED})")
        } else {
            PINNED.to_owned()
        };
        let sql = format!(
            "SELECT c.t, c.stop_ns, c.heap_bytes, c.n_parents, c.live_bytes, c.is_thinned, {pinned} FROM census c WHERE known <= ? \
             ORDER BY c.id LIMIT ?"
        );
        self.rows(&sql, params![int(at.0), CENSUSES_MAX], |row| {
            let mut point = CensusPoint {
                at: row.nanos()?,
                stopped: row.nanos()?,
                heap: row.bytes()?,
                n_parents: row.number()?,
                live: row.bytes()?,
                ..CensusPoint::default()
            };
            point.is_thinned = row.flag()?;
            point.pinned = row.bytes()?;
            Ok(point)
        })
    }

    fn gcs(&self, at: Nanos, max: usize) -> rusqlite::Result<Vec<GcPoint>> {
        let sql = "SELECT t, pause_ns, kind FROM gc WHERE t <= ? ORDER BY t DESC LIMIT ?";
        let mut gcs = self.rows(sql, params![int(at.0), int(max as u64)], |row| {
            let (at, pause) = (row.nanos()?, row.nanos()?);
            Ok(GcPoint { at, pause, kind: names::read_gc_kind(&row.text()?) })
        })?;
        gcs.reverse();
        Ok(gcs)
    }

    /// Sets of findings, and whether some were left out.
    fn told(&self, at: Nanos) -> rusqlite::Result<(Sets, bool)> {
        let sql = "SELECT kind, confidence, bytes, n_parents, summary, evidence, remedy, remedy_code, site, via, holder, age, \
             n_major_survived, t, rank >= 0 FROM finding WHERE t <= ? ORDER BY t, rank LIMIT ?";
        let row = |row: &mut Columns<'_, '_>| Ok((finding(row)?, row.nanos()?, row.flag()?));
        let rows = self.rows(sql, params![int(at.0), FINDINGS_MAX], row)?;
        let is_cut = int(rows.len() as u64) >= FINDINGS_MAX;
        let mut sets = Sets::new();
        for (finding, at, is_there) in rows {
            if sets.last().is_none_or(|(last, _)| *last != at) {
                sets.push((at, Vec::new()));
            }
            if let Some((_, set)) = sets.last_mut().filter(|_| is_there) {
                set.push(finding);
            }
        }
        Ok((sets, is_cut))
    }
}
