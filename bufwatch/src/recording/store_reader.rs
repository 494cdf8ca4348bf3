//! Reads the stores that lived at a moment: all of them, or of very many those that are to be listed.

use rusqlite::params;

use crate::base::{Nanos, StackId, StoreKey, Tid};
use crate::event::recorded::{Moment, RecordedPages, RecordedPlacement, RecordedStore, SiteTotal};
use crate::event::residency::{FirstTouch, PageBytes};
use crate::recording::state_reader::gc_counts;
use crate::recording::value::{Columns, int};
use crate::recording::{Reader, names, value};

/// More than the kernel tracks.
const STORES_MAX: i64 = 4_000_000;

/// The longest class of lives: 2^40 seconds.
const LIFE_CLASS_MAX: u32 = 40;

/// So many are read one by one, in about 20 ms.
const FEW: u64 = 10_000;

/// Stores that are looked at in order of size for those that lived; where most of them were dead, all that lived are read instead.
const LOOKED_AT_MAX: u64 = 60_000;

/// Stores that were resized or moved, which do not stand where their first size puts them.
const CHANGED_MAX: u64 = 10_000;

const COLUMNS: &str = "number, address, id, data, size, max_size, kind, tid, birth, stack, site, minor_at_birth, major_at_birth, \
     placement, mapping_start, mapping_bytes";

/// Stores that are to be listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoresWanted {
    /// `None`: all of them.
    pub first: Option<(StoreOrder, usize)>,
    /// This one as well.
    pub also: Option<StoreKey>,
}

impl StoresWanted {
    pub const ALL: Self = Self { first: None, also: None };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreOrder {
    Largest,
    Smallest,
    Oldest,
    Youngest,
}

/// Stores that lived at a moment.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) stores: Vec<RecordedStore>,
    pub(super) is_partial: bool,
}

impl Reader {
    pub(super) fn stores(
        &self,
        moment: &Moment,
        totals: &[SiteTotal],
        wanted: &StoresWanted,
    ) -> rusqlite::Result<Found> {
        // Without these nothing is known of stores that were not read.
        let has_sums = totals.iter().all(|total| total.live.is_some());
        let is_thinned = has_sums && self.about.thinned.as_ref().is_some_and(|it| it.one_in > 1);
        let first = wanted
            .first
            .filter(|(_, n)| has_sums && moment.n_live > FEW && (*n as u64) < moment.n_live / 2);
        let few = match first {
            Some((order, n)) => self.first_stores(moment, order, n)?,
            None => None,
        };
        let mut found = match few {
            Some(stores) => Found { stores, is_partial: true },
            None => Found { stores: self.all_stores(moment)?, is_partial: is_thinned },
        };
        if let Some(key) = wanted.also.filter(|key| !found.stores.iter().any(|it| it.key == *key))
            && found.is_partial
        {
            found.stores.extend(self.store_of(moment, key)?);
        }
        found.stores.sort_unstable_by_key(|store| store.number);
        self.look(&mut found.stores, moment.at)?;
        self.touch(&mut found.stores, moment.at)?;
        Ok(found)
    }

    /// Those without a death, and of each class of lives those that were born recently enough.
    fn all_stores(&self, moment: &Moment) -> rusqlite::Result<Vec<RecordedStore>> {
        let n_created = int(moment.n_created);
        let sql =
            format!("SELECT {COLUMNS} FROM store WHERE life_class IS NULL AND number <= ? LIMIT ?");
        let mut stores = self.rows(&sql, params![n_created, STORES_MAX], store)?;
        let sql = format!(
            "SELECT {COLUMNS} FROM store WHERE life_class = ? AND birth BETWEEN ? AND ? AND death > ? AND number <= ? LIMIT ?"
        );
        for class in 0..=LIFE_CLASS_MAX {
            let (earliest, latest) = births(moment.at, class);
            let left = STORES_MAX.saturating_sub(int(stores.len() as u64));
            let values = params![class, earliest, latest, int(moment.at.0), n_created, left];
            stores.extend(self.rows(&sql, values, store)?);
        }
        if self.n_changed(1)? > 0 {
            self.change(&mut stores, moment.at)?;
        }
        Ok(stores)
    }

    /// `None` if that takes longer than reading all of them.
    fn first_stores(
        &self,
        moment: &Moment,
        order: StoreOrder,
        n: usize,
    ) -> rusqlite::Result<Option<Vec<RecordedStore>>> {
        let n_changed = self.n_changed(CHANGED_MAX + 1)?;
        if n_changed > CHANGED_MAX {
            return Ok(None);
        }
        let n_read = (n as u64).saturating_add(n_changed);
        let mut stores = match order {
            StoreOrder::Largest | StoreOrder::Smallest => self.by_size(moment, order, n_read)?,
            StoreOrder::Oldest | StoreOrder::Youngest => self.by_age(moment, order, n_read)?,
        };
        if (stores.len() as u64) < n_read.min(moment.n_live) {
            return Ok(None);
        }
        if n_changed > 0 {
            let sql = format!(
                "SELECT {COLUMNS} FROM store WHERE number IN (SELECT DISTINCT store FROM store_change) AND number <= ?2 AND (death IS NULL OR death > ?1)"
            );
            stores.extend(self.rows(
                &sql,
                params![int(moment.at.0), int(moment.n_created)],
                store,
            )?);
            self.change(&mut stores, moment.at)?;
        }
        // The same order as that of the rows of a snapshot, so that its last row is no other one.
        match order {
            StoreOrder::Largest => stores.sort_by_key(|it| (std::cmp::Reverse(it.size), it.number)),
            StoreOrder::Smallest => {
                stores.sort_by_key(|it| (it.size, std::cmp::Reverse(it.number)));
            }
            StoreOrder::Oldest => stores.sort_by_key(|it| (it.birth, it.number)),
            StoreOrder::Youngest => {
                stores
                    .sort_by_key(|it| (std::cmp::Reverse(it.birth), std::cmp::Reverse(it.number)));
            }
        }
        stores.dedup_by_key(|store| store.number);
        stores.truncate(n);
        Ok(Some(stores))
    }

    fn by_size(
        &self,
        moment: &Moment,
        order: StoreOrder,
        n: u64,
    ) -> rusqlite::Result<Vec<RecordedStore>> {
        let direction = match order {
            StoreOrder::Smallest => "size ASC, number DESC",
            _ => "size DESC, number ASC",
        };
        // In that order, and no further than it takes: the inner one hands its rows on as they come.
        let sql = format!(
            "SELECT {COLUMNS} FROM (SELECT number AS n FROM store ORDER BY {direction} LIMIT ?3) CROSS JOIN store \
             ON number = n AND number <= ?2 AND (death IS NULL OR death > ?1) LIMIT ?4"
        );
        let looked_at = LOOKED_AT_MAX.max(n.saturating_mul(2));
        let values = params![int(moment.at.0), int(moment.n_created), int(looked_at), int(n)];
        self.rows(&sql, values, store)
    }

    fn by_age(
        &self,
        moment: &Moment,
        order: StoreOrder,
        n: u64,
    ) -> rusqlite::Result<Vec<RecordedStore>> {
        let direction = match order {
            StoreOrder::Youngest => "birth DESC, number DESC",
            _ => "birth ASC, number ASC",
        };
        let (now, n_created) = (int(moment.at.0), int(moment.n_created));
        let sql = format!(
            "SELECT {COLUMNS} FROM store WHERE life_class IS NULL AND number <= ? ORDER BY {direction} LIMIT ?"
        );
        let mut stores = self.rows(&sql, params![n_created, int(n)], store)?;
        let sql = format!(
            "SELECT {COLUMNS} FROM store WHERE life_class = ? AND birth BETWEEN ? AND ? AND death > ? AND number <= ? ORDER BY {direction} LIMIT ?"
        );
        for class in 0..=LIFE_CLASS_MAX {
            let (earliest, latest) = births(moment.at, class);
            let values = params![class, earliest, latest, now, n_created, int(n)];
            stores.extend(self.rows(&sql, values, store)?);
        }
        Ok(stores)
    }

    fn store_of(&self, moment: &Moment, key: StoreKey) -> rusqlite::Result<Option<RecordedStore>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM store WHERE address = ? AND id = ? AND number <= ? AND (death IS NULL OR death > ?) LIMIT 1"
        );
        let (now, n_created) = (int(moment.at.0), int(moment.n_created));
        let mut found =
            self.rows(&sql, params![int(key.address), key.id, n_created, now], store)?;
        self.change(&mut found, moment.at)?;
        Ok(found.pop())
    }

    /// Changes of stores, as far as `max`.
    fn n_changed(&self, max: u64) -> rusqlite::Result<u64> {
        let sql = "SELECT count(*) FROM (SELECT 1 FROM store_change LIMIT ?)";
        Ok(self.row(sql, params![int(max)], value::number)?.unwrap_or(0))
    }

    fn change(&self, stores: &mut [RecordedStore], at: Nanos) -> rusqlite::Result<()> {
        let sql = "SELECT size, data, tid, minor_at_birth, major_at_birth FROM store_change WHERE store = ? AND t <= ? \
             ORDER BY t DESC LIMIT 1";
        self.of_each(sql, stores, at, |store, row| {
            (store.size, store.data, store.tid) = (row.bytes()?, row.number()?, Tid(row.small()?));
            store.gc_at_birth = gc_counts(row)?;
            Ok(())
        })
    }

    fn look(&self, stores: &mut [RecordedStore], at: Nanos) -> rusqlite::Result<()> {
        let sql = "SELECT count(*) FROM (SELECT 1 FROM store_pages LIMIT 1)";
        if self.row(sql, [], value::number)?.unwrap_or(0) == 0 {
            return Ok(());
        }
        let sql = "SELECT max(scanned) FROM rss_scan WHERE t <= ?";
        let all_at = self.row(sql, params![int(at.0)], value::known_nanos)?.flatten();
        let sql = "SELECT scanned, resident, zero, swapped, huge, touched, grew, is_recycled FROM store_pages \
             WHERE store = ? AND t <= ? ORDER BY t DESC LIMIT 1";
        self.of_each(sql, stores, at, |store, row| {
            store.pages = Some(pages(row, all_at.unwrap_or_default())?);
            Ok(())
        })
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
        self.of_each(sql, stores, at, |store, row| {
            let (touched_at, is_in_kernel) = (row.known_nanos()?, row.known_number()?);
            store.first_touch = touched_at.map_or(FirstTouch::Unseen, |at| FirstTouch::At {
                at,
                is_in_kernel: is_in_kernel == Some(1),
            });
            Ok(())
        })
    }

    /// What one row says of each store up to a moment.
    fn of_each(
        &self,
        sql: &str,
        stores: &mut [RecordedStore],
        at: Nanos,
        mut read: impl FnMut(&mut RecordedStore, &mut Columns<'_, '_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(sql)?;
        for store in stores {
            let mut rows = statement.query(params![int(store.number), int(at.0)])?;
            let Some(row) = rows.next()? else { continue };
            read(store, &mut Columns::new(row))?;
        }
        Ok(())
    }
}

/// Of stores of a class of lives that may live at a moment.
fn births(at: Nanos, class: u32) -> (i64, i64) {
    let longest = Nanos::SECOND.0.saturating_mul(1_u64 << class);
    // A birth may be of a CPU whose clock is ahead, or told late.
    (int(at.0.saturating_sub(longest)), int(at.0).saturating_add(1_000_000_000))
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
