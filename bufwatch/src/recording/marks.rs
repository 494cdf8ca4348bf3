//! The moments that a recording has marks for, each by one question to an index or a small table. Times are those of the recording's clock.

use rusqlite::params;

use crate::base::Nanos;
use crate::event::residency::RssSplit;
use crate::recording::value::{self, int};
use crate::recording::{Reader, RecordingError};

/// More than a terminal has columns for, and than anybody jumps through.
const MARKS_MAX: i64 = 20_000;
const GCS_MAX: i64 = 200_000;

/// As the model of a live session remembers them.
const SPLITS_SPAN: Nanos = Nanos::from_secs(60);
const SPLITS_MAX: i64 = 64;

/// What happened, and from when on it is shown, each in the order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedMarks {
    /// When it was told first, which kind, and of which line.
    pub findings: Vec<(Nanos, String, Option<String>)>,
    /// When a step of RSS was over, in one line.
    pub steps: Vec<(Nanos, String)>,
    /// When a census was known, and how many parents it found.
    pub censuses: Vec<(Nanos, u64)>,
    /// Ends of major collections.
    pub gcs: Vec<Nanos>,
}

impl Reader {
    pub fn marks(&self) -> Result<RecordedMarks, RecordingError> {
        self.begin();
        self.at_once(|| self.read_marks()).map_err(RecordingError::reading(&self.path))
    }

    fn read_marks(&self) -> rusqlite::Result<RecordedMarks> {
        let sql = "SELECT min(t) AS first, kind, site FROM finding WHERE rank >= 0 GROUP BY kind, site, via, holder \
             ORDER BY first LIMIT ?";
        let findings = self.rows(sql, params![MARKS_MAX], |row| {
            Ok((row.nanos()?, row.text()?, row.known_text()?))
        })?;
        // A step that went on has a row for each time that it did.
        let sql = "SELECT max(t) AS last, text FROM rss_step GROUP BY since ORDER BY last LIMIT ?";
        let steps = if self.has_table("rss_step")? {
            self.rows(sql, params![MARKS_MAX], |row| Ok((row.nanos()?, row.text()?)))?
        } else {
            Vec::new()
        };
        let sql = "SELECT known, n_parents FROM census ORDER BY known LIMIT ?";
        let censuses =
            self.rows(sql, params![MARKS_MAX], |row| Ok((row.nanos()?, row.number()?)))?;
        let sql = "SELECT t FROM gc WHERE kind = 'major' ORDER BY t LIMIT ?";
        let gcs = self.rows(sql, params![GCS_MAX], value::nanos)?;
        let mut marks = RecordedMarks { findings, steps, censuses, gcs };
        let findings = marks.findings.iter_mut().map(|it| &mut it.0);
        let steps = marks.steps.iter_mut().map(|it| &mut it.0);
        for at in findings.chain(steps).chain(marks.censuses.iter_mut().map(|it| &mut it.0)) {
            *at = self.shown_from(*at)?;
        }
        Ok(marks)
    }

    /// The first flush that knew what became known then: who goes there sees it.
    fn shown_from(&self, at: Nanos) -> rusqlite::Result<Nanos> {
        let sql = "SELECT t FROM moment WHERE is_flush AND t >= ? ORDER BY t LIMIT 1";
        Ok(self.row(sql, params![int(at.0)], value::nanos)?.unwrap_or(at))
    }

    /// The moment whose state is shown at another one: the last flush up to it.
    pub fn state_time(&self, at: Nanos) -> Result<Option<Nanos>, RecordingError> {
        self.begin();
        self.flush_before(at).map_err(RecordingError::reading(&self.path))
    }

    /// The looks at the whole process of the minute before a moment: when each began and what it found, oldest first.
    pub fn splits_before(&self, at: Nanos) -> Result<Vec<(Nanos, RssSplit)>, RecordingError> {
        self.begin();
        self.at_once(|| self.read_splits(at)).map_err(RecordingError::reading(&self.path))
    }

    fn read_splits(&self, at: Nanos) -> rusqlite::Result<Vec<(Nanos, RssSplit)>> {
        let sql = "SELECT t FROM rss_scan WHERE t BETWEEN ? AND ? ORDER BY t DESC LIMIT ?";
        let first = at.since(SPLITS_SPAN);
        let values = params![int(first.0), int(at.0), SPLITS_MAX];
        let mut known_at = self.rows(sql, values, value::nanos)?;
        known_at.reverse();
        known_at.into_iter().filter_map(|at| self.split(at).transpose()).collect()
    }
}
