//! Steps of RSS, memory of dead stores and V8's counters as rows: written and read. What they mean is the model's business.

use rusqlite::params;

use crate::base::{Avma, Bytes, Nanos};
use crate::event::recorded::{RecordedCause, RecordedHeap, RecordedStep};
use crate::event::{HeapSampled, SpaceChanges};
use crate::recording::row::Batch;
use crate::recording::rows::Rows;
use crate::recording::value::{int, known};
use crate::recording::{Reader, value};

/// As many as the model remembers, and a few more.
const STEPS_MAX: i64 = 1_000;
const CAUSES_MAX: i64 = 1_000;
const CALLS_MAX: i64 = 100;
const HEAPS_MAX: i64 = 10_000;
const SITES_MAX: i64 = 50_000;

impl Rows<'_> {
    pub(super) fn rss(&self, batch: &Batch) -> rusqlite::Result<()> {
        batch.steps.iter().try_for_each(|step| self.step(step))?;
        for (at, site, resident) in &batch.freed {
            self.execute(
                "INSERT OR REPLACE INTO freed VALUES (?, ?, ?)",
                params![site, int(at.0), int(resident.0)],
            )?;
        }
        batch
            .heaps
            .iter()
            .try_for_each(|(at, sampled_at, heaps)| self.heaps(*at, *sampled_at, heaps))
    }

    fn step(&self, step: &RecordedStep) -> rusqlite::Result<()> {
        let (at, to) = (int(step.known_at.0), int(step.to.0));
        self.execute(
            "INSERT OR REPLACE INTO rss_step VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                at,
                int(step.from.0),
                to,
                int(step.rss_before.0),
                int(step.rss_after.0),
                step.unexplained,
                int(step.created.0),
                step.text,
            ],
        )?;
        for (position, cause) in (0_i64..).zip(&step.causes) {
            self.execute(
                "INSERT OR REPLACE INTO rss_step_cause VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                params![
                    at,
                    to,
                    position,
                    cause.kind,
                    cause.site,
                    cause.bytes,
                    int(cause.n_stores),
                    int(cause.store),
                    int(cause.store_size.0),
                    int(cause.store_birth.0),
                ],
            )?;
        }
        let calls = SpaceChanges::NAMES.into_iter().zip(step.asked.as_array());
        for (name, bytes) in calls.filter(|(_, bytes)| bytes.0 > 0) {
            self.execute(
                "INSERT OR REPLACE INTO rss_step_call VALUES (?, ?, ?, ?)",
                params![at, to, name, int(bytes.0)],
            )?;
        }
        Ok(())
    }

    fn heaps(&self, at: Nanos, sampled_at: Nanos, heaps: &[RecordedHeap]) -> rusqlite::Result<()> {
        for (position, RecordedHeap { heap, is_in_main_heap }) in (0_i64..).zip(heaps) {
            self.execute(
                "INSERT OR REPLACE INTO heap VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                params![
                    int(at.0),
                    position,
                    int(sampled_at.0),
                    int(heap.heap.0),
                    is_in_main_heap,
                    int(heap.total.0),
                    int(heap.used_min.0),
                    int(heap.used_max.0),
                    known(heap.external.map(|it| it.0)),
                    known(heap.array_buffers.map(|it| it.0)),
                ],
            )?;
        }
        Ok(())
    }
}

impl Reader {
    /// The last ones known at a moment, oldest first.
    pub(super) fn steps(&self, at: Nanos) -> rusqlite::Result<Vec<RecordedStep>> {
        if !self.has_table("rss_step")? {
            return Ok(Vec::new());
        }
        let sql = "SELECT t, since, until, rss_before, rss_after, unexplained, created, text FROM rss_step \
             WHERE t <= ?1 AND NOT EXISTS (SELECT 1 FROM rss_step later WHERE later.since = rss_step.since AND later.t > rss_step.t \
             AND later.t <= ?1) ORDER BY t DESC, until DESC LIMIT ?2";
        let mut steps = self.rows(sql, params![int(at.0), STEPS_MAX], |row| {
            Ok(RecordedStep {
                known_at: row.nanos()?,
                from: row.nanos()?,
                to: row.nanos()?,
                rss_before: row.bytes()?,
                rss_after: row.bytes()?,
                unexplained: row.signed()?,
                created: row.bytes()?,
                text: row.text()?,
                causes: Vec::new(),
                asked: SpaceChanges::default(),
            })
        })?;
        steps.reverse();
        for step in &mut steps {
            step.causes = self.causes(step)?;
            step.asked = self.asked(step)?;
        }
        Ok(steps)
    }

    /// Nothing in recordings of before it was asked.
    fn asked(&self, step: &RecordedStep) -> rusqlite::Result<SpaceChanges> {
        if !self.has_table("rss_step_call")? {
            return Ok(SpaceChanges::default());
        }
        let sql = "SELECT call, bytes FROM rss_step_call WHERE t = ? AND until = ? LIMIT ?";
        let key = params![int(step.known_at.0), int(step.to.0), CALLS_MAX];
        let calls = self.rows(sql, key, |row| Ok((row.text()?, row.bytes()?)))?;
        let of = |name| calls.iter().find(|call| call.0 == name).map_or(Bytes(0), |call| call.1);
        Ok(SpaceChanges::from_array(SpaceChanges::NAMES.map(of)))
    }

    fn causes(&self, step: &RecordedStep) -> rusqlite::Result<Vec<RecordedCause>> {
        let sql = "SELECT kind, site, bytes, n_stores, store, store_size, store_birth FROM rss_step_cause \
             WHERE t = ? AND until = ? ORDER BY position LIMIT ?";
        self.rows(sql, params![int(step.known_at.0), int(step.to.0), CAUSES_MAX], |row| {
            Ok(RecordedCause {
                kind: row.text()?,
                site: row.known_small()?,
                bytes: row.signed()?,
                n_stores: row.number()?,
                store: row.number()?,
                store_size: row.bytes()?,
                store_birth: row.nanos()?,
            })
        })
    }

    pub(super) fn freed(&self, at: Nanos) -> rusqlite::Result<Vec<(u32, Bytes)>> {
        if !self.has_table("freed")? {
            return Ok(Vec::new());
        }
        // As for the totals of sites: a search by each site, not a look at all rows of all times.
        let sql = "SELECT f.site, f.resident FROM site s CROSS JOIN freed f ON f.site = s.id \
             AND f.t = (SELECT max(t) FROM freed WHERE site = s.id AND t <= ?) LIMIT ?";
        self.rows(sql, params![int(at.0), SITES_MAX], |row| Ok((row.small()?, row.bytes()?)))
    }

    /// When V8's counters were read last, and what they said.
    pub(super) fn heaps(&self, at: Nanos) -> rusqlite::Result<(Nanos, Vec<RecordedHeap>)> {
        if !self.has_table("heap")? {
            return Ok((Nanos(0), Vec::new()));
        }
        let sql = "SELECT sampled, address, is_in_main_heap, total, used_min, used_max, external, array_buffers FROM heap \
             WHERE t = (SELECT max(t) FROM heap WHERE t <= ?) ORDER BY position LIMIT ?";
        let rows = self.rows(sql, params![int(at.0), HEAPS_MAX], |row| {
            let (sampled_at, address) = (row.nanos()?, row.number()?);
            let is_in_main_heap = row.flag()?;
            let heap = HeapSampled {
                heap: Avma(address),
                total: row.bytes()?,
                used_min: row.bytes()?,
                used_max: row.bytes()?,
                external: row.known_bytes()?,
                array_buffers: row.known_bytes()?,
            };
            Ok((sampled_at, RecordedHeap { heap, is_in_main_heap }))
        })?;
        let sampled_at = rows.first().map_or(Nanos(0), |(at, _)| *at);
        Ok((sampled_at, rows.into_iter().map(|(_, heap)| heap).collect()))
    }

    /// Files of an older bufwatch lack some.
    pub(super) fn has_table(&self, name: &str) -> rusqlite::Result<bool> {
        let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?";
        Ok(self.row(sql, params![name], value::number)?.is_some())
    }
}
