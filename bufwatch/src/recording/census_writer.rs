//! Writes one census: its parents with their views and holders, as far as the limits go; what they cut off is told by `is_thinned`.

use rusqlite::{Transaction, params};

use crate::event::census::{Holder, HolderGroup, Isolate, Parent, Retained, View};
use crate::event::recorded::{RecordedCensus, RecordedTraced};
use crate::recording::value::{int, known, list, texts};

/// Parents of a census that are kept, the largest.
const PARENTS_MAX: usize = 20_000;

/// Views and holders of one parent that are kept.
const VIEWS_MAX: usize = 200;
const HOLDERS_MAX: usize = 20;

const GROUPS_MAX: usize = 2_000;

const ORPHANS_MAX: usize = 2_000;

/// The one-based number of the census.
pub(super) fn write(
    transaction: &Transaction<'_>,
    id: i64,
    recorded: &RecordedCensus,
) -> rusqlite::Result<()> {
    let rows = Rows { transaction, census: id };
    let census = &recorded.census;
    let parents = || census.parents.iter().take(PARENTS_MAX);
    let is_thinned = census.parents.len() > PARENTS_MAX
        || parents().any(|it| it.views.len() > VIEWS_MAX || it.holders.len() > HOLDERS_MAX)
        || census.holders.len() > GROUPS_MAX
        || recorded.orphans.len() > ORPHANS_MAX;
    rows.head(recorded, is_thinned)?;
    let nobody = None;
    for (position, parent) in (0_i64..).zip(parents()) {
        let at = usize::try_from(position).unwrap_or(usize::MAX);
        rows.parent(position, parent, recorded.traced.get(at).unwrap_or(&nobody).as_ref())?;
    }
    for (position, group) in (0_i64..).zip(census.holders.iter().take(GROUPS_MAX)) {
        rows.group(position, group)?;
    }
    for (position, (size, store)) in (0_i64..).zip(recorded.orphans.iter().take(ORPHANS_MAX)) {
        rows.execute(
            "INSERT INTO orphan VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                id,
                position,
                int(size.0),
                int(store.number),
                int(store.key.address),
                store.key.id,
                int(store.age.0),
                store.n_major_survived,
                store.site,
            ],
        )?;
    }
    Ok(())
}

struct Rows<'a> {
    transaction: &'a Transaction<'a>,
    census: i64,
}

impl Rows<'_> {
    fn execute(&self, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<()> {
        self.transaction.prepare_cached(sql)?.execute(params).map(|_| ())
    }

    fn head(&self, recorded: &RecordedCensus, is_thinned: bool) -> rusqlite::Result<()> {
        let census = &recorded.census;
        let (timing, counts) = (&census.timing, &census.counts);
        self.execute(
            "INSERT INTO census VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, 0)",
            params![
                self.census,
                int(recorded.at.0),
                int(recorded.known_at.0),
                int(timing.stopped_at.0),
                int(timing.stopped.0),
                int(timing.total.0),
                int(counts.heap_bytes.0),
                int(counts.n_pages),
                int(counts.n_objects),
                int(counts.n_live_objects),
                int(counts.n_rejected),
                int(counts.n_retries),
                known(counts.allocator_bytes.map(|it| it.0)),
                int(counts.live_bytes.0),
                int(census.parents.len() as u64),
                is_thinned,
            ],
        )?;
        for (position, gap) in (0_i64..).zip(&census.gaps) {
            self.execute(
                "INSERT INTO census_gap VALUES (?, ?, ?)",
                params![self.census, position, gap],
            )?;
        }
        let isolates = (0_i64..).zip(&census.isolates);
        isolates.into_iter().try_for_each(|(position, isolate)| self.isolate(position, isolate))
    }

    fn isolate(&self, position: i64, isolate: &Isolate) -> rusqlite::Result<()> {
        self.execute(
            "INSERT INTO isolate VALUES (?, ?, ?, ?, ?, ?)",
            params![
                self.census,
                position,
                isolate.tid,
                int(isolate.address.0),
                int(isolate.heap_bytes.0),
                isolate.is_in_javascript
            ],
        )
    }

    fn parent(
        &self,
        position: i64,
        parent: &Parent,
        store: Option<&RecordedTraced>,
    ) -> rusqlite::Result<()> {
        let isolates: Vec<u64> = parent.isolates.iter().map(|it| u64::from(*it) + 1).collect();
        let (heap, off_heap) = retained(parent.retained);
        self.execute(
            "INSERT INTO parent VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                self.census,
                position,
                int(parent.address.0),
                int(parent.size.0),
                parent.kind.name(),
                parent.is_resizable,
                parent.is_held_itself,
                list(&isolates),
                int(parent.n_views),
                int(parent.views_bytes.0),
                int(parent.covered.0),
                parent.has_aliases,
                parent.has_overlaps,
                known(parent.resident().map(|it| it.0)),
                heap,
                off_heap,
                store.map(|it| int(it.number)),
                store.map(|it| int(it.key.address)),
                store.map(|it| it.key.id),
                store.map(|it| int(it.age.0)),
                store.and_then(|it| it.n_major_survived),
                store.map(|it| it.site),
                known(parent.pages.map(|it| it.swapped.0)),
                known(parent.pages.map(|it| it.zero.0)),
            ],
        )?;
        for (at, view) in (0_i64..).zip(parent.views.iter().take(VIEWS_MAX)) {
            self.view(position, at, view)?;
        }
        for (at, holder) in (0_i64..).zip(parent.holders.iter().take(HOLDERS_MAX)) {
            self.holder(position, at, holder)?;
        }
        Ok(())
    }

    fn view(&self, parent: i64, position: i64, view: &View) -> rusqlite::Result<()> {
        self.execute(
            "INSERT INTO array_view VALUES (?, ?, ?, ?, ?, ?)",
            params![
                self.census,
                parent,
                position,
                &*view.type_name,
                int(view.offset),
                int(view.length.0)
            ],
        )
    }

    fn holder(&self, parent: i64, position: i64, holder: &Holder) -> rusqlite::Result<()> {
        self.execute(
            "INSERT INTO holder VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![
                self.census,
                parent,
                position,
                texts(&holder.path),
                holder.root.name(),
                holder.is_by_application,
                int(holder.n_views)
            ],
        )
    }

    fn group(&self, position: i64, group: &HolderGroup) -> rusqlite::Result<()> {
        let (heap, off_heap) = retained(group.retained);
        self.execute(
            "INSERT INTO holder_group VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                self.census,
                position,
                texts(&group.path),
                group.root.name(),
                group.is_by_application,
                int(group.n_parents),
                int(group.n_views),
                int(group.bytes.0),
                int(group.covered.0),
                group.holder.as_deref(),
                heap,
                off_heap
            ],
        )
    }
}

fn retained(retained: Option<Retained>) -> (Option<i64>, Option<i64>) {
    (known(retained.map(|it| it.heap.0)), known(retained.map(|it| it.off_heap.0)))
}
