//! Reads the state of one moment: a few questions to indexes, however long the recording is.

use std::sync::Arc;

use bufwatch_common::DropReason;
use rusqlite::params;

use crate::base::{Bytes, FastMap, Nanos, Tid};
use crate::event::recorded::{
    Moment, OwnMoment, Recalled, RecordedGcCounts, RecordedPhase, SiteLive, SiteTotal, SmallStores,
};
use crate::event::residency::{
    AllocatorSurvey, MallocThresholds, PageBytes, RssPart, RssSplit, UntracedMapped,
};
use crate::event::{GcKind, MemorySampled};
use crate::recording::row::FindingRow;
use crate::recording::store_reader::StoresWanted;
use crate::recording::value::{Columns, int, read_list, read_texts};
use crate::recording::{Reader, RecordingError, census_reader, names, value};

const GC_MARKS_MAX: i64 = 1_024;
const FINDINGS_MAX: i64 = 1_000;
const NOTICES_MAX: i64 = 1_000;

/// What a session said at one moment.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// What the model knew.
    pub recalled: Recalled,
    /// The most bytes first.
    pub findings: Vec<FindingRow>,
    pub notices: Vec<String>,
    pub limits: Vec<String>,
}

impl Reader {
    /// The state at the last flush up to a moment; before the first, as of that one.
    pub fn told_at(&self, at: Nanos, wanted: &StoresWanted) -> Result<Told, RecordingError> {
        self.begin();
        let failed = RecordingError::reading(&self.path);
        match self.at_once(|| self.read_told(at, wanted)) {
            Ok(Some(told)) => Ok(told),
            Ok(None) => Err(RecordingError::Empty(self.path.clone())),
            Err(error) => Err(failed(error)),
        }
    }

    fn read_told(&self, at: Nanos, wanted: &StoresWanted) -> rusqlite::Result<Option<Told>> {
        let Some(at) = self.flush_before(at)? else { return Ok(None) };
        let Some(moment) = self.moment(at)? else { return Ok(None) };
        let totals = self.totals(at)?;
        let found = self.stores(&moment, &totals, wanted)?;
        let curves = self.curves.partition_point(|point| point.at <= at);
        let recalled = Recalled {
            started_at: self.about.started_at,
            target: self.about.target.clone(),
            phase: self.phase(at),
            sites: Arc::clone(&self.sites),
            totals,
            stores: found.stores,
            is_partial: found.is_partial,
            threads: Arc::clone(&self.threads),
            curves: self.curves.get(..curves).unwrap_or_default().to_vec(),
            gc_counts: self.gc_counts(at)?,
            gc_marks: self.gc_marks(at)?,
            split: self.split(at)?,
            steps: self.steps(at)?,
            freed: self.freed(at)?,
            heaps: self.heaps(at)?,
            censuses: census_reader::read(self, at)?,
            drops: self.drops(at)?,
            moment,
        };
        Ok(Some(Told {
            recalled,
            findings: self.findings(at)?,
            notices: self.notices(at, false)?,
            limits: self.notices(at, true)?,
        }))
    }

    fn phase(&self, at: Nanos) -> RecordedPhase {
        let about = &self.about;
        let is_attached = about.attached_at.is_some_and(|attached| attached <= at);
        match about.how_it_ended.as_deref().filter(|_| at >= about.last_at) {
            Some("exited") => RecordedPhase::Exited { code: about.exit_code },
            Some("execed") => RecordedPhase::Execed,
            _ if is_attached => RecordedPhase::Live,
            _ => RecordedPhase::Attaching,
        }
    }

    fn moment(&self, at: Nanos) -> rusqlite::Result<Option<Moment>> {
        let more = if self.has_coverage { "" } else { ", NULL" };
        self.row(&format!("SELECT *{more} FROM moment WHERE t = ?"), params![int(at.0)], moment)
    }

    /// Of each site the last row up to then.
    fn totals(&self, at: Nanos) -> rusqlite::Result<Vec<SiteTotal>> {
        let live = if self.has_live_totals { LIVE_TOTALS } else { "" };
        // CROSS JOIN keeps the order: the other way round all rows of all times are looked at.
        let sql = format!(
            "SELECT {TOTALS}{live} FROM site s CROSS JOIN site_total st ON st.site = s.id \
             AND st.t = (SELECT max(t) FROM site_total WHERE site = s.id AND t <= ?)"
        );
        self.rows(&sql, params![int(at.0)], |row| {
            let mut total = site_total(row)?;
            total.live = if self.has_live_totals { site_live(row)? } else { None };
            Ok(total)
        })
    }

    fn gc_counts(&self, at: Nanos) -> rusqlite::Result<Vec<(Tid, RecordedGcCounts)>> {
        let sql = "SELECT g.tid, g.n_minor, g.n_major FROM (SELECT DISTINCT tid FROM gc) d JOIN gc g ON g.tid = d.tid \
             AND g.t = (SELECT max(t) FROM gc WHERE tid = d.tid AND t <= ?)";
        self.rows(sql, params![int(at.0)], |row| Ok((Tid(row.small()?), gc_counts(row)?)))
    }

    fn gc_marks(&self, at: Nanos) -> rusqlite::Result<Vec<(Nanos, GcKind)>> {
        let sql = "SELECT t, kind FROM gc WHERE t <= ? ORDER BY t DESC LIMIT ?";
        let mut marks = self.rows(sql, params![int(at.0), GC_MARKS_MAX], |row| {
            Ok((row.nanos()?, names::read_gc_kind(&row.text()?)))
        })?;
        marks.reverse();
        Ok(marks)
    }

    pub(super) fn split(&self, at: Nanos) -> rusqlite::Result<Option<(Nanos, RssSplit)>> {
        let sql = "SELECT * FROM rss_scan WHERE t <= ? ORDER BY t DESC LIMIT 1";
        let found =
            self.row(sql, params![int(at.0)], |row| Ok((row.nanos()?, row.nanos()?, split(row)?)))?;
        let Some((t, scanned_at, mut split)) = found else { return Ok(None) };
        let sql = "SELECT part, bytes FROM rss_part WHERE t = ?";
        for (name, bytes) in
            self.rows(sql, params![int(t.0)], |row| Ok((row.text()?, row.bytes()?)))?
        {
            if let Some(part) = RssPart::ALL.into_iter().find(|part| part.name() == name) {
                split.add(part, bytes);
            }
        }
        Ok(Some((scanned_at, split)))
    }

    fn drops(&self, at: Nanos) -> rusqlite::Result<Vec<(DropReason, u64)>> {
        let sql = "SELECT what, max(n) FROM loss WHERE t <= ? GROUP BY what";
        let losses = self.rows(sql, params![int(at.0)], |row| Ok((row.text()?, row.number()?)))?;
        let by_name: FastMap<String, u64> = losses.into_iter().collect();
        let known = DropReason::ALL.into_iter();
        Ok(known.filter_map(|reason| Some((reason, *by_name.get(reason.name())?))).collect())
    }

    fn findings(&self, at: Nanos) -> rusqlite::Result<Vec<FindingRow>> {
        let sql = "SELECT kind, confidence, bytes, n_parents, summary, evidence, remedy, remedy_code, site, via, holder, age, \
             n_major_survived FROM finding WHERE t = (SELECT max(t) FROM finding WHERE t <= ?) AND rank >= 0 ORDER BY rank LIMIT ?";
        self.rows(sql, params![int(at.0), FINDINGS_MAX], finding)
    }

    fn notices(&self, at: Nanos, is_limit: bool) -> rusqlite::Result<Vec<String>> {
        let sql = "SELECT text FROM notice WHERE is_limit = ?1 AND t = (SELECT max(t) FROM notice WHERE is_limit = ?1 AND t <= ?2) \
             ORDER BY position LIMIT ?3";
        self.rows(sql, params![is_limit, int(at.0), NOTICES_MAX], value::text)
    }
}

const TOTALS: &str = "st.site, st.t, st.n_live, st.live_bytes, st.peak_bytes, st.group_peak_bytes, st.n_created, st.created_bytes, \
     st.created_bytes_per_s, st.n_created_per_s, st.n_folded, st.folded_bytes, st.lifetimes, st.majors_survived";

const LIVE_TOTALS: &str = ", st.n_survivors, st.n_known, st.known_bytes, st.resident, st.zero, st.swapped, st.huge, st.n_shared, \
     st.shared_bytes, st.n_old, st.old_bytes, st.old_held, st.n_young, st.young_bytes";

fn site_total(row: &mut Columns<'_, '_>) -> rusqlite::Result<SiteTotal> {
    Ok(SiteTotal {
        site: row.small()?,
        at: row.nanos()?,
        n_live: row.number()?,
        live_bytes: row.bytes()?,
        peak_bytes: row.bytes()?,
        group_peak_bytes: row.bytes()?,
        n_created: row.number()?,
        created_bytes: row.bytes()?,
        created_bytes_per_s: row.real()?,
        n_created_per_s: row.real()?,
        n_folded: row.number()?,
        folded_bytes: row.bytes()?,
        lifetimes: read_list(&row.text()?),
        majors_survived: read_list(&row.text()?),
        live: None,
    })
}

/// `None` if the session did not say it.
fn site_live(row: &mut Columns<'_, '_>) -> rusqlite::Result<Option<SiteLive>> {
    let Some(n_survivors) = row.known_number()? else { return Ok(None) };
    let mut next = || Ok::<u64, rusqlite::Error>(row.known_number()?.unwrap_or(0));
    Ok(Some(SiteLive {
        n_survivors,
        n_known: next()?,
        known_bytes: Bytes(next()?),
        pages: PageBytes {
            resident: Bytes(next()?),
            zero: Bytes(next()?),
            swapped: Bytes(next()?),
            huge: Bytes(next()?),
        },
        n_shared: next()?,
        shared_bytes: Bytes(next()?),
        n_old: next()?,
        old_bytes: Bytes(next()?),
        old_held: Bytes(next()?),
        n_young: next()?,
        young_bytes: Bytes(next()?),
    }))
}

pub(super) fn finding(row: &mut Columns<'_, '_>) -> rusqlite::Result<FindingRow> {
    Ok(FindingRow {
        kind: row.text()?,
        confidence: row.text()?,
        bytes: row.number()?,
        n_parents: row.number()?,
        summary: row.text()?,
        evidence: read_texts(&row.text()?),
        remedy: row.text()?,
        remedy_code: row.known_lines()?,
        site: row.known_text()?,
        via: row.known_text()?,
        holder: read_texts(&row.text()?),
        age: row.known_nanos()?,
        n_major_survived: row.known_small()?,
    })
}

pub(super) fn gc_counts(row: &mut Columns<'_, '_>) -> rusqlite::Result<RecordedGcCounts> {
    Ok(RecordedGcCounts { n_minor: row.small()?, n_major: row.small()? })
}

fn moment(row: &mut Columns<'_, '_>) -> rusqlite::Result<Moment> {
    let (at, is_flush) = (row.nanos()?, row.flag()?);
    let memory = MemorySampled {
        rss: row.known_bytes()?,
        array_buffers: row.known_bytes()?,
        v8_heap: row.known_bytes()?,
        n_isolates: row.small()?,
        rss_in_node: None,
        n_faults: None,
    };
    let mut moment = Moment {
        at,
        is_flush,
        memory,
        before_attach: row.known_bytes()?,
        n_live: row.number()?,
        live_bytes: row.bytes()?,
        peak_bytes: row.bytes()?,
        live_allocator_bytes: row.bytes()?,
        n_created: row.number()?,
        created_bytes: row.bytes()?,
        n_destroyed: row.number()?,
        destroyed_bytes: row.bytes()?,
        n_destroyed_unknown: row.number()?,
        destroyed_unknown_bytes: row.bytes()?,
        n_created_per_s: row.real()?,
        created_bytes_per_s: row.real()?,
        destroyed_bytes_per_s: row.real()?,
        small: small(row)?,
        n_minor: row.known_number()?,
        n_major: row.known_number()?,
        gc_last: row.known_nanos()?,
        gc_longest: row.known_nanos()?,
        gc_total: row.known_nanos()?,
        own: OwnMoment {
            n_lost: row.number()?,
            n_reconciled: row.number()?,
            n_closed_by_reconcile: row.number()?,
            cpu_share: row.known_real()?,
            rss: row.known_bytes()?,
            resolve_p50: row.known_nanos()?,
            resolve_p99: row.known_nanos()?,
            frames: frame_counts(&row.text()?),
            coverage: None,
        },
    };
    moment.memory.rss_in_node = row.known_bytes()?;
    moment.own.coverage = row.known_real()?;
    Ok(moment)
}

fn small(row: &mut Columns<'_, '_>) -> rusqlite::Result<Option<SmallStores>> {
    let (n_live, live_bytes) = (row.known_number()?, row.known_number()?);
    let (n_created, created_bytes) = (row.known_number()?, row.known_number()?);
    let known = n_live.zip(live_bytes).zip(n_created.zip(created_bytes));
    Ok(known.map(|((n_live, live_bytes), (n_created, created_bytes))| SmallStores {
        n_live,
        live_bytes: Bytes(live_bytes),
        n_created,
        created_bytes: Bytes(created_bytes),
    }))
}

fn frame_counts(text: &str) -> [[u64; 3]; 4] {
    let mut counts = [[0; 3]; 4];
    counts.iter_mut().flatten().zip(read_list(text)).for_each(|(to, n)| *to = n);
    counts
}

fn split(row: &mut Columns<'_, '_>) -> rusqlite::Result<RssSplit> {
    let mut split = RssSplit {
        rss: row.bytes()?,
        swapped: row.bytes()?,
        untouched: row.bytes()?,
        is_allocator_known: row.flag()?,
        ..RssSplit::default()
    };
    let mut survey = AllocatorSurvey {
        allocator: row.known_text()?.and_then(|name| names::read_allocator(&name)),
        obstacle: row.known_text()?.and_then(|name| names::read_obstacle(&name)),
        n_arenas: row.small()?,
        n_arenas_unknown: row.small()?,
        n_chunks: row.number()?,
        n_free: row.number()?,
        free: row.bytes()?,
        free_at_end: row.bytes()?,
        free_in_threads: row.bytes()?,
        ..AllocatorSurvey::default()
    };
    let (mmap, trim, is_fixed) = (row.known_bytes()?, row.known_bytes()?, row.known_number()?);
    survey.thresholds = mmap
        .zip(trim)
        .zip(is_fixed)
        .map(|((mmap, trim), is_fixed)| MallocThresholds { mmap, trim, is_fixed: is_fixed != 0 });
    let (n, bytes, resident) = (row.known_number()?, row.known_bytes()?, row.known_bytes()?);
    survey.untraced_mapped = n
        .zip(bytes)
        .zip(resident)
        .map(|((n, bytes), resident)| UntracedMapped { n, bytes, resident });
    survey.took = row.nanos()?;
    split.survey = survey;
    Ok(split)
}
