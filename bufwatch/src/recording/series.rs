//! What happened in a recording, in order of time and as it comes, for timelines.

use std::io;

use rusqlite::params;

use crate::base::{Bytes, Nanos, Tid};
use crate::event::recorded::{RecordedGc, RecordedGcCounts, RecordedSite};
use crate::event::{StoreKind, Thread};
use crate::recording::stream::StreamError;
use crate::recording::value::Columns;
use crate::recording::{Reader, RecordingError, names, value};

/// The memory at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryPoint {
    pub at: Nanos,
    pub rss: Option<Bytes>,
    pub array_buffers: Option<Bytes>,
    pub v8_heap: Option<Bytes>,
    pub n_live: u64,
    pub live_bytes: Bytes,
    pub small_live_bytes: Option<Bytes>,
    pub n_lost: u64,
}

/// A store that lived at a flush.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreLife {
    pub number: u64,
    pub size: Bytes,
    pub kind: StoreKind,
    pub tid: Tid,
    pub site: u32,
    pub birth: Nanos,
    /// `None` while it lives.
    pub death: Option<Nanos>,
}

/// A census in short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CensusPoint {
    pub stopped_at: Nanos,
    pub stopped: Nanos,
    pub n_parents: u64,
    pub live_bytes: Bytes,
}

/// A finding in short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FindingPoint {
    /// All findings of one time are those that were told then.
    pub at: Nanos,
    /// There are none any more: nothing else is said.
    pub is_none: bool,
    pub kind: String,
    pub confidence: String,
    pub bytes: Bytes,
    pub summary: String,
    pub remedy: String,
    pub site: Option<String>,
}

impl Reader {
    pub fn sites(&self) -> &[RecordedSite] {
        &self.sites
    }

    pub fn threads(&self) -> &[Thread] {
        &self.threads
    }

    pub fn each_memory(
        &self,
        visit: impl FnMut(MemoryPoint) -> io::Result<()>,
    ) -> Result<(), StreamError> {
        let sql = "SELECT t, rss, array_buffers, v8_heap, n_live, live_bytes, small_live_bytes, n_lost FROM moment ORDER BY t";
        let read = |row: &mut Columns<'_, '_>| {
            Ok(MemoryPoint {
                at: row.nanos()?,
                rss: row.known_bytes()?,
                array_buffers: row.known_bytes()?,
                v8_heap: row.known_bytes()?,
                n_live: row.number()?,
                live_bytes: row.bytes()?,
                small_live_bytes: row.known_bytes()?,
                n_lost: row.number()?,
            })
        };
        self.each(sql, [], read, visit)
    }

    /// When all pages were looked at, a part of RSS as it is called in the file, and its bytes.
    pub fn each_rss_part(
        &self,
        visit: impl FnMut((Nanos, String, Bytes)) -> io::Result<()>,
    ) -> Result<(), StreamError> {
        let sql = "SELECT s.scanned, p.part, p.bytes FROM rss_part p JOIN rss_scan s ON s.t = p.t ORDER BY p.t, p.part";
        self.each(sql, [], |row| Ok((row.nanos()?, row.text()?, row.bytes()?)), visit)
    }

    pub fn each_gc(
        &self,
        visit: impl FnMut(RecordedGc) -> io::Result<()>,
    ) -> Result<(), StreamError> {
        let read = |row: &mut Columns<'_, '_>| {
            Ok(RecordedGc {
                tid: Tid(row.small()?),
                at: row.nanos()?,
                pause: row.nanos()?,
                kind: names::read_gc_kind(&row.text()?),
                counts: RecordedGcCounts { n_minor: row.small()?, n_major: row.small()? },
            })
        };
        let sql = "SELECT tid, t, pause_ns, kind, n_minor, n_major FROM gc ORDER BY t";
        self.each(sql, [], read, visit)
    }

    pub fn n_stores(&self) -> Result<u64, RecordingError> {
        self.begin();
        let n = self.row("SELECT count(*) FROM store", [], value::number);
        Ok(n.map_err(RecordingError::reading(&self.path))?.unwrap_or(0))
    }

    /// The largest stores, at most `limit`.
    pub fn each_large_store(
        &self,
        limit: u64,
        visit: impl FnMut(StoreLife) -> io::Result<()>,
    ) -> Result<(), StreamError> {
        let sql = "SELECT number, size, kind, tid, site, birth, death FROM store ORDER BY size DESC, number LIMIT ?";
        let read = |row: &mut Columns<'_, '_>| {
            Ok(StoreLife {
                number: row.number()?,
                size: row.bytes()?,
                kind: names::read_store_kind(&row.text()?),
                tid: Tid(row.small()?),
                site: row.small()?,
                birth: row.nanos()?,
                death: row.known_nanos()?,
            })
        };
        self.each(sql, params![value::int(limit)], read, visit)
    }

    pub fn each_census(
        &self,
        visit: impl FnMut(CensusPoint) -> io::Result<()>,
    ) -> Result<(), StreamError> {
        let sql = "SELECT stopped_at, stop_ns, n_parents, live_bytes FROM census ORDER BY id";
        let read = |row: &mut Columns<'_, '_>| {
            Ok(CensusPoint {
                stopped_at: row.nanos()?,
                stopped: row.nanos()?,
                n_parents: row.number()?,
                live_bytes: row.bytes()?,
            })
        };
        self.each(sql, [], read, visit)
    }

    pub fn each_finding(
        &self,
        visit: impl FnMut(FindingPoint) -> io::Result<()>,
    ) -> Result<(), StreamError> {
        let sql = "SELECT t, rank < 0, kind, confidence, bytes, summary, remedy, site FROM finding ORDER BY t, rank";
        let read = |row: &mut Columns<'_, '_>| {
            Ok(FindingPoint {
                at: row.nanos()?,
                is_none: row.flag()?,
                kind: row.text()?,
                confidence: row.text()?,
                bytes: row.bytes()?,
                summary: row.text()?,
                remedy: row.text()?,
                site: row.known_text()?,
            })
        };
        self.each(sql, [], read, visit)
    }
}
