//! Reads the state of one moment: a few questions to indexes, however long the recording is.

use std::sync::Arc;

use bufwatch_common::DropReason;
use rusqlite::params;

use crate::base::{Bytes, FastMap, Nanos, StackId, StoreKey, Tid};
use crate::event::recorded::{
    Moment, OwnMoment, Recalled, RecordedGcCounts, RecordedPages, RecordedPhase, RecordedPlacement,
    RecordedStore, SiteTotal, SmallStores,
};
use crate::event::residency::{
    AllocatorSurvey, FirstTouch, MallocThresholds, PageBytes, RssPart, RssSplit, UntracedMapped,
};
use crate::event::{GcKind, MemorySampled};
use crate::recording::row::FindingRow;
use crate::recording::value::{Columns, int, read_list, read_texts};
use crate::recording::{Reader, RecordingError, census_reader, names, value};

/// More than the kernel tracks.
const STORES_MAX: i64 = 4_000_000;

/// The longest class of lives: 2^40 seconds.
const LIFE_CLASS_MAX: u32 = 40;

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
    pub fn told_at(&self, at: Nanos) -> Result<Told, RecordingError> {
        self.begin();
        let failed = RecordingError::reading(&self.path);
        match self.at_once(|| self.read_told(at)) {
            Ok(Some(told)) => Ok(told),
            Ok(None) => Err(RecordingError::Empty(self.path.clone())),
            Err(error) => Err(failed(error)),
        }
    }

    fn read_told(&self, at: Nanos) -> rusqlite::Result<Option<Told>> {
        let Some(at) = self.flush_before(at)? else { return Ok(None) };
        let Some(moment) = self.moment(at)? else { return Ok(None) };
        let curves = self.curves.partition_point(|point| point.at <= at);
        let recalled = Recalled {
            started_at: self.about.started_at,
            target: self.about.target.clone(),
            phase: self.phase(at),
            sites: Arc::clone(&self.sites),
            totals: self.totals(at)?,
            stores: self.stores(at, moment.n_created)?,
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
        self.row("SELECT * FROM moment WHERE t = ?", params![int(at.0)], moment)
    }

    /// Of each site the last row up to then.
    fn totals(&self, at: Nanos) -> rusqlite::Result<Vec<SiteTotal>> {
        // CROSS JOIN keeps the order: the other way round all rows of all times are looked at.
        let sql = "SELECT st.* FROM site s CROSS JOIN site_total st ON st.site = s.id \
             AND st.t = (SELECT max(t) FROM site_total WHERE site = s.id AND t <= ?)";
        self.rows(sql, params![int(at.0)], |row| {
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
            })
        })
    }

    /// Who lived then: those without a death, and of each class of lives those that were born recently enough. `n_created` is the number of
    /// the last store that was known.
    fn stores(&self, at: Nanos, n_created: u64) -> rusqlite::Result<Vec<RecordedStore>> {
        let columns = "SELECT number, address, id, data, size, max_size, kind, tid, birth, stack, site, minor_at_birth, major_at_birth, \
             placement, mapping_start, mapping_bytes FROM store";
        let sql = format!("{columns} WHERE life_class IS NULL AND number <= ? LIMIT ?");
        let mut stores = self.rows(&sql, params![int(n_created), STORES_MAX], store)?;
        let sql = format!(
            "{columns} WHERE life_class = ? AND birth BETWEEN ? AND ? AND death > ? AND number <= ? LIMIT ?"
        );
        for class in 0..=LIFE_CLASS_MAX {
            let longest = Nanos::SECOND.0.saturating_mul(1_u64 << class);
            let earliest = int(at.0.saturating_sub(longest));
            let left = STORES_MAX.saturating_sub(int(stores.len() as u64));
            let now = int(at.0);
            // A birth may be of a CPU whose clock is ahead, or told late.
            let latest = now.saturating_add(1_000_000_000);
            let values = params![class, earliest, latest, now, int(n_created), left];
            stores.extend(self.rows(&sql, values, store)?);
        }
        stores.sort_unstable_by_key(|store| store.number);
        self.change(&mut stores, at)?;
        self.look(&mut stores, at)?;
        self.touch(&mut stores, at)?;
        Ok(stores)
    }

    fn change(&self, stores: &mut [RecordedStore], at: Nanos) -> rusqlite::Result<()> {
        let sql = "SELECT count(*) FROM (SELECT 1 FROM store_change LIMIT 1)";
        if self.row(sql, [], value::number)?.unwrap_or(0) == 0 {
            return Ok(());
        }
        let sql = "SELECT size, data, tid, minor_at_birth, major_at_birth FROM store_change WHERE store = ? AND t <= ? \
             ORDER BY t DESC LIMIT 1";
        for store in stores {
            let values = params![int(store.number), int(at.0)];
            let changed = self.row(sql, values, |row| {
                let (size, data, tid) = (row.bytes()?, row.number()?, Tid(row.small()?));
                Ok((size, data, tid, gc_counts(row)?))
            })?;
            if let Some((size, data, tid, counts)) = changed {
                (store.size, store.data, store.tid, store.gc_at_birth) = (size, data, tid, counts);
            }
        }
        Ok(())
    }

    fn look(&self, stores: &mut [RecordedStore], at: Nanos) -> rusqlite::Result<()> {
        let sql = "SELECT max(scanned) FROM rss_scan WHERE t <= ?";
        let all_at = self.row(sql, params![int(at.0)], value::known_nanos)?.flatten();
        let sql = "SELECT scanned, resident, zero, swapped, huge, touched, grew, is_recycled FROM store_pages \
             WHERE store = ? AND t <= ? ORDER BY t DESC LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        for store in stores {
            let mut rows = statement.query(params![int(store.number), int(at.0)])?;
            let Some(row) = rows.next()? else { continue };
            store.pages = Some(pages(&mut Columns::new(row), all_at.unwrap_or_default())?);
        }
        Ok(())
    }

    fn touch(&self, stores: &mut [RecordedStore], at: Nanos) -> rusqlite::Result<()> {
        if !self.has_table("first_touch")? {
            return Ok(());
        }
        let sql = "SELECT count(*) FROM (SELECT 1 FROM first_touch LIMIT 1)";
        if self.row(sql, [], value::number)?.unwrap_or(0) == 0 {
            return Ok(());
        }
        let sql = "SELECT touched, is_in_kernel FROM first_touch WHERE store = ? AND t <= ?";
        for store in stores {
            let touch = self.row(sql, params![int(store.number), int(at.0)], |row| {
                let (touched_at, is_in_kernel) = (row.known_nanos()?, row.known_number()?);
                Ok(touched_at.map_or(FirstTouch::Unseen, |at| FirstTouch::At {
                    at,
                    is_in_kernel: is_in_kernel == Some(1),
                }))
            })?;
            store.first_touch = touch.unwrap_or_default();
        }
        Ok(())
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

/// The same pages as before have no new row: all were looked at, at `all_at`.
fn pages(row: &mut Columns<'_, '_>, all_at: Nanos) -> rusqlite::Result<RecordedPages> {
    Ok(RecordedPages {
        scanned_at: row.nanos()?.max(all_at),
        pages: PageBytes {
            resident: row.bytes()?,
            zero: row.bytes()?,
            swapped: row.bytes()?,
            huge: row.bytes()?,
        },
        touched_at: row.nanos()?,
        grew_at: row.nanos()?,
        is_recycled: row.flag()?,
    })
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

fn gc_counts(row: &mut Columns<'_, '_>) -> rusqlite::Result<RecordedGcCounts> {
    Ok(RecordedGcCounts { n_minor: row.small()?, n_major: row.small()? })
}

fn store(row: &mut Columns<'_, '_>) -> rusqlite::Result<RecordedStore> {
    let (number, address, id) = (row.number()?, row.number()?, row.small()?);
    let mut store = RecordedStore {
        key: StoreKey { address, id },
        number,
        data: row.number()?,
        size: row.bytes()?,
        max_size: row.bytes()?,
        kind: names::read_store_kind(&row.text()?),
        tid: Tid(row.small()?),
        birth: row.nanos()?,
        stack: StackId(row.bits()?),
        site: row.small()?,
        gc_at_birth: gc_counts(row)?,
        ..RecordedStore::default()
    };
    let kind = row.known_text()?.and_then(|name| names::read_placement(&name));
    let (start, len) = (row.known_number()?, row.known_bytes()?);
    store.placement =
        kind.zip(start).zip(len).map(|((kind, start), len)| RecordedPlacement { kind, start, len });
    Ok(store)
}

fn moment(row: &mut Columns<'_, '_>) -> rusqlite::Result<Moment> {
    let (at, is_flush) = (row.nanos()?, row.flag()?);
    let memory = MemorySampled {
        rss: row.known_bytes()?,
        array_buffers: row.known_bytes()?,
        v8_heap: row.known_bytes()?,
        n_isolates: row.small()?,
        rss_in_node: None,
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
        },
    };
    moment.memory.rss_in_node = row.known_bytes()?;
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
