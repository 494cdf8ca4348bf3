//! Reads the last two censuses as they were known at a moment.

use std::sync::Arc;

use rusqlite::params;

use crate::base::{Avma, FastMap, Nanos, StoreKey};
use crate::event::census::{
    Census, Counts, Holder, HolderGroup, Isolate, Parent, Retained, Timing, View,
};
use crate::event::recorded::{RecalledCensuses, RecordedCensus, RecordedFailure, RecordedTraced};
use crate::event::residency::PageBytes;
use crate::recording::value::{Columns, int, read_list, read_texts};
use crate::recording::{Reader, names, value};

/// Rows of one census that are read.
const ROWS_MAX: i64 = 5_000_000;

pub(super) fn read(reader: &Reader, at: Nanos) -> rusqlite::Result<RecalledCensuses> {
    let sql = "SELECT count(*), coalesce(max(stop_ns), 0), coalesce(sum(stop_ns), 0) FROM census WHERE known <= ?";
    let sums = |row: &mut Columns<'_, '_>| Ok((row.number()?, row.nanos()?, row.nanos()?));
    let sums = reader.row(sql, params![int(at.0)], sums)?.unwrap_or_default();
    // Of others only sums are left.
    let whole = if reader.has_dropped_censuses { "AND is_dropped = 0" } else { "" };
    let sql = format!(
        "SELECT id, t, known, stopped_at, stop_ns, total_ns, heap_bytes, n_pages, n_objects, n_live_objects, n_rejected, n_retries, \
         allocator_bytes, live_bytes FROM census WHERE known <= ? {whole} ORDER BY id DESC LIMIT 2"
    );
    let mut found = reader.rows(&sql, params![int(at.0)], head)?.into_iter();
    let mut next = || found.next().map(|(id, head)| remembered(reader, id, &head)).transpose();
    let (last, previous) = (next()?, next()?);
    let sql = "SELECT t, message, hint FROM census_failure WHERE t <= ? ORDER BY t DESC LIMIT 1";
    let failure = reader.row(sql, params![int(at.0)], |row| {
        let (at, message, hint) = (row.nanos()?, row.text()?.into(), row.text()?.into());
        Ok(RecordedFailure { at, message, hint })
    })?;
    let known_at = last.as_ref().map(|census| census.known_at);
    Ok(RecalledCensuses {
        failure: failure.filter(|failure| known_at.is_none_or(|known_at| failure.at > known_at)),
        last,
        previous,
        n_taken: sums.0,
        longest_stop: sums.1,
        total_stop: sums.2,
    })
}

/// Censuses that are remembered: the two of a moment, and those of the moment before.
const REMEMBERED_MAX: usize = 4;

/// From the file, unless it was read lately.
fn remembered(reader: &Reader, id: i64, head: &RecordedCensus) -> rusqlite::Result<RecordedCensus> {
    let known = reader.censuses.borrow().iter().find(|it| it.0 == id).map(|it| it.1.clone());
    if let Some(known) = known {
        return Ok(known);
    }
    let census = fill(reader, id, head)?;
    let mut censuses = reader.censuses.borrow_mut();
    if censuses.len() >= REMEMBERED_MAX {
        censuses.remove(0);
    }
    censuses.push((id, census.clone()));
    Ok(census)
}

fn head(row: &mut Columns<'_, '_>) -> rusqlite::Result<(i64, RecordedCensus)> {
    let id = int(row.number()?);
    let (at, known_at) = (row.nanos()?, row.nanos()?);
    let timing = Timing { stopped_at: row.nanos()?, stopped: row.nanos()?, total: row.nanos()? };
    let counts = Counts {
        heap_bytes: row.bytes()?,
        n_pages: row.number()?,
        n_objects: row.number()?,
        n_live_objects: row.number()?,
        n_rejected: row.number()?,
        n_retries: row.number()?,
        allocator_bytes: row.known_bytes()?,
        live_bytes: row.bytes()?,
    };
    let census = Arc::new(Census { timing, counts, ..Census::default() });
    Ok((id, RecordedCensus { at, known_at, census, ..RecordedCensus::default() }))
}

fn fill(reader: &Reader, id: i64, head: &RecordedCensus) -> rusqlite::Result<RecordedCensus> {
    let (parents, traced) = parents(reader, id)?;
    let sql = "SELECT gap FROM census_gap WHERE census = ? ORDER BY position LIMIT 1000";
    let census = Census {
        isolates: isolates(reader, id)?,
        parents,
        holders: groups(reader, id)?,
        timing: head.census.timing,
        counts: head.census.counts,
        gaps: reader.rows(sql, params![id], value::text)?,
    };
    let sql = "SELECT size, store, store_address, store_id, age, n_major_survived, site FROM orphan WHERE census = ? \
         ORDER BY position LIMIT ?";
    let orphans = reader.rows(sql, params![id, ROWS_MAX], |row| {
        let (size, number, address, key) =
            (row.bytes()?, row.number()?, row.number()?, row.small()?);
        let store = RecordedTraced {
            key: StoreKey { address, id: key },
            number,
            age: row.nanos()?,
            n_major_survived: row.known_small()?,
            site: row.small()?,
        };
        Ok((size, store))
    })?;
    let (at, known_at) = (head.at, head.known_at);
    Ok(RecordedCensus { at, known_at, census: Arc::new(census), traced, orphans })
}

fn isolates(reader: &Reader, id: i64) -> rusqlite::Result<Vec<Isolate>> {
    let sql = "SELECT tid, address, heap_bytes, is_in_javascript FROM isolate WHERE census = ? ORDER BY position LIMIT 10000";
    reader.rows(sql, params![id], |row| {
        Ok(Isolate {
            tid: row.known_small()?,
            address: Avma(row.number()?),
            heap_bytes: row.bytes()?,
            is_in_javascript: row.flag()?,
        })
    })
}

type Parents = (Vec<Parent>, Vec<Option<RecordedTraced>>);

fn parents(reader: &Reader, id: i64) -> rusqlite::Result<Parents> {
    let sql = "SELECT parent, type, offset, length FROM array_view WHERE census = ? ORDER BY parent, position LIMIT ?";
    let mut views: FastMap<u64, Vec<View>> = FastMap::default();
    // Names repeat a lot.
    let mut types: FastMap<String, Arc<str>> = FastMap::default();
    let found = reader.rows(sql, params![id, ROWS_MAX], |row| {
        let (parent, name) = (row.number()?, row.text()?);
        let type_name = types.entry(name).or_insert_with_key(|name| Arc::from(name.as_str()));
        let type_name = Arc::clone(type_name);
        Ok((parent, View { type_name, offset: row.number()?, length: row.bytes()? }))
    })?;
    for (parent, view) in found {
        views.entry(parent).or_default().push(view);
    }
    let sql = "SELECT parent, path, root, is_by_application, n_views FROM holder WHERE census = ? ORDER BY parent, position LIMIT ?";
    let mut holders: FastMap<u64, Vec<Holder>> = FastMap::default();
    let found = reader.rows(sql, params![id, ROWS_MAX], |row| {
        let parent = row.number()?;
        let holder = Holder {
            path: read_texts(&row.text()?),
            root: names::read_root(&row.text()?),
            is_by_application: row.flag()?,
            n_views: row.number()?,
        };
        Ok((parent, holder))
    })?;
    for (parent, holder) in found {
        holders.entry(parent).or_default().push(holder);
    }
    // Older recordings do not have them.
    let more = if reader.has_parent_pages { "swapped, zero" } else { "NULL, NULL" };
    let sql = format!(
        "SELECT position, address, size, kind, is_resizable, is_held_itself, isolates, n_views, views_bytes, covered, has_aliases, \
         has_overlaps, resident, {more}, retained_heap, retained_off_heap, store, store_address, store_id, age, n_major_survived, site \
         FROM parent WHERE census = ? ORDER BY position LIMIT ?"
    );
    let found = reader.rows(&sql, params![id, ROWS_MAX], |row| {
        let position = row.number()?;
        let mut parent = parent(row)?;
        parent.views = views.remove(&position).unwrap_or_default();
        parent.holders = holders.remove(&position).unwrap_or_default();
        Ok((parent, traced(row)?))
    })?;
    Ok(found.into_iter().unzip())
}

fn parent(row: &mut Columns<'_, '_>) -> rusqlite::Result<Parent> {
    let mut parent = Parent {
        address: Avma(row.number()?),
        size: row.bytes()?,
        kind: names::read_parent_kind(&row.text()?),
        is_resizable: row.flag()?,
        is_held_itself: row.flag()?,
        ..Parent::default()
    };
    let isolates = read_list(&row.text()?).into_iter();
    let isolates = isolates.filter_map(|number| u16::try_from(number.checked_sub(1)?).ok());
    parent.isolates = isolates.collect();
    parent.n_views = row.number()?;
    parent.views_bytes = row.bytes()?;
    parent.covered = row.bytes()?;
    parent.has_aliases = row.flag()?;
    parent.has_overlaps = row.flag()?;
    parent.pages = pages(row)?;
    parent.retained = retained(row)?;
    Ok(parent)
}

fn pages(row: &mut Columns<'_, '_>) -> rusqlite::Result<Option<PageBytes>> {
    let resident = row.known_bytes()?;
    let (swapped, zero) = (row.known_bytes()?, row.known_bytes()?);
    let rest = PageBytes {
        swapped: swapped.unwrap_or_default(),
        zero: zero.unwrap_or_default(),
        ..PageBytes::default()
    };
    Ok(resident.map(|resident| PageBytes { resident, ..rest }))
}

fn retained(row: &mut Columns<'_, '_>) -> rusqlite::Result<Option<Retained>> {
    let (heap, off_heap) = (row.known_bytes()?, row.known_bytes()?);
    Ok(heap.zip(off_heap).map(|(heap, off_heap)| Retained { heap, off_heap }))
}

fn traced(row: &mut Columns<'_, '_>) -> rusqlite::Result<Option<RecordedTraced>> {
    let (number, address, id) = (row.known_number()?, row.known_number()?, row.known_small()?);
    let (age, n_major_survived, site) =
        (row.known_nanos()?, row.known_small()?, row.known_small()?);
    let known = number.zip(address).zip(id);
    Ok(known.map(|((number, address), id)| RecordedTraced {
        key: StoreKey { address, id },
        number,
        age: age.unwrap_or_default(),
        n_major_survived,
        site: site.unwrap_or_default(),
    }))
}

fn groups(reader: &Reader, id: i64) -> rusqlite::Result<Vec<HolderGroup>> {
    let sql = "SELECT path, root, is_by_application, n_parents, n_views, bytes, covered, holder, retained_heap, retained_off_heap \
         FROM holder_group WHERE census = ? ORDER BY position LIMIT ?";
    reader.rows(sql, params![id, ROWS_MAX], |row| {
        Ok(HolderGroup {
            path: read_texts(&row.text()?),
            root: names::read_root(&row.text()?),
            is_by_application: row.flag()?,
            n_parents: row.number()?,
            n_views: row.number()?,
            bytes: row.bytes()?,
            covered: row.bytes()?,
            holder: row.known_text()?.map(Into::into),
            retained: retained(row)?,
        })
    })
}
