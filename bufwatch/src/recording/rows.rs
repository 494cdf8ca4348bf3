//! Rows of a batch as `SQL`, one function a table.

use rusqlite::{Transaction, params};

use crate::base::{FastMap, Nanos};
use crate::event::Frame;
use crate::event::recorded::{Moment, RecordedSite, RecordedStore, SiteLive, SiteTotal};
use crate::event::residency::{Allocator, FirstTouch, Obstacle, RssPart, RssSplit};
use crate::recording::row::{Batch, Fact, FindingRow, NoticeList};
use crate::recording::value::{int, known, list, texts};
use crate::recording::{Thinned, names};

/// The shortest class that a life fits in: up to 2^n seconds. With it, who lived at a moment is found by birth alone.
fn life_class(birth: Nanos, death: Nanos) -> i64 {
    let seconds = death.since(birth).0.div_ceil(Nanos::SECOND.0).max(1);
    i64::from(seconds.next_power_of_two().trailing_zeros())
}

pub(super) struct Rows<'a> {
    pub(super) transaction: &'a Transaction<'a>,
    /// Which stores have a row.
    pub(super) kept: Thinned,
}

impl Rows<'_> {
    pub(super) fn execute(&self, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<()> {
        self.transaction.prepare_cached(sql)?.execute(params).map(|_| ())
    }

    pub(super) fn fact(&self, name: &str, fact: &Fact) -> rusqlite::Result<()> {
        let sql = "INSERT OR REPLACE INTO fact VALUES (?, ?)";
        match fact {
            Fact::Number(n) => self.execute(sql, params![name, int(*n)]),
            Fact::Text(text) => self.execute(sql, params![name, text]),
        }
    }

    /// With frames that may be better than when it was last written.
    pub(super) fn site(
        &self,
        site: &RecordedSite,
        frames: &mut FastMap<Frame, i64>,
    ) -> rusqlite::Result<()> {
        self.execute(
            "INSERT OR REPLACE INTO site VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![
                site.number,
                site.group,
                site.stack.0.cast_signed(),
                &*site.label,
                site.via.as_deref(),
                site.is_cut,
                site.user_frame
            ],
        )?;
        self.execute("DELETE FROM site_frame WHERE site = ?", params![site.number])?;
        for (part, stack) in (0_i64..).zip(&site.stacks) {
            for (position, frame) in (0_i64..).zip(stack.iter()) {
                let id = match frames.get(frame) {
                    Some(id) => *id,
                    None => {
                        let id = int(frames.len() as u64 + 1);
                        self.frame(id, frame)?;
                        frames.insert(frame.clone(), id);
                        id
                    }
                };
                self.execute(
                    "INSERT INTO site_frame VALUES (?, ?, ?, ?)",
                    params![site.number, part, position, id],
                )?;
            }
        }
        Ok(())
    }

    fn frame(&self, id: i64, frame: &Frame) -> rusqlite::Result<()> {
        let original = frame.original.as_deref();
        self.execute(
            "INSERT OR REPLACE INTO frame VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                id,
                frame.kind.name(),
                &*frame.function,
                frame.script.as_deref(),
                frame.line,
                frame.column,
                frame.is_approximate,
                frame.is_resolved,
                original.map(|it| &*it.source),
                original.map(|it| it.line),
                original.map(|it| it.column),
                original.and_then(|it| it.name.as_deref()),
            ],
        )
    }

    pub(super) fn site_total(&self, total: &SiteTotal) -> rusqlite::Result<()> {
        let live = |n: fn(&SiteLive) -> u64| known(total.live.as_ref().map(n));
        self.execute(
            "INSERT OR REPLACE INTO site_total VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                total.site,
                int(total.at.0),
                int(total.n_live),
                int(total.live_bytes.0),
                int(total.peak_bytes.0),
                int(total.group_peak_bytes.0),
                int(total.n_created),
                int(total.created_bytes.0),
                total.created_bytes_per_s,
                total.n_created_per_s,
                int(total.n_folded),
                int(total.folded_bytes.0),
                list(&total.lifetimes),
                list(&total.majors_survived),
                live(|it| it.n_survivors),
                live(|it| it.n_known),
                live(|it| it.known_bytes.0),
                live(|it| it.pages.resident.0),
                live(|it| it.pages.zero.0),
                live(|it| it.pages.swapped.0),
                live(|it| it.pages.huge.0),
                live(|it| it.n_shared),
                live(|it| it.shared_bytes.0),
                live(|it| it.n_old),
                live(|it| it.old_bytes.0),
                live(|it| it.old_held.0),
                live(|it| it.n_young),
                live(|it| it.young_bytes.0),
            ],
        )
    }

    pub(super) fn store(&self, store: &RecordedStore) -> rusqlite::Result<()> {
        let placement = store.placement;
        self.execute(
            "INSERT OR REPLACE INTO store (number, address, id, data, size, max_size, kind, tid, site, stack, minor_at_birth, \
             major_at_birth, placement, mapping_start, mapping_bytes, birth) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                int(store.number),
                int(store.key.address),
                store.key.id,
                int(store.data),
                int(store.size.0),
                int(store.max_size.0),
                store.kind.name(),
                store.tid.0,
                store.site,
                store.stack.0.cast_signed(),
                store.gc_at_birth.n_minor,
                store.gc_at_birth.n_major,
                placement.map(|it| names::placement(it.kind)),
                placement.map(|it| int(it.start)),
                placement.map(|it| int(it.len.0)),
                int(store.birth.0),
            ],
        )
    }

    /// False of stores that were left out.
    fn has_row(&self, number: u64) -> rusqlite::Result<bool> {
        if self.kept.one_in <= 1 {
            return Ok(true);
        }
        let sql = "SELECT 1 FROM store WHERE number = ?";
        self.transaction.prepare_cached(sql)?.exists([int(number)])
    }

    fn first_touches(&self, batch: &Batch) -> rusqlite::Result<()> {
        for (at, number, touch) in &batch.first_touches {
            if !self.has_row(*number)? {
                continue;
            }
            let (touched_at, is_in_kernel) = match touch {
                FirstTouch::Unknown => continue,
                FirstTouch::Unseen => (None, None),
                FirstTouch::At { at, is_in_kernel } => (Some(int(at.0)), Some(*is_in_kernel)),
            };
            let values = params![int(*number), int(at.0), touched_at, is_in_kernel];
            self.execute("INSERT OR REPLACE INTO first_touch VALUES (?, ?, ?, ?)", values)?;
        }
        Ok(())
    }

    /// Changes, pages and deaths of stores that have rows, and collections.
    pub(super) fn what_became(&self, batch: &Batch) -> rusqlite::Result<()> {
        for (number, placement) in &batch.placements {
            self.execute(
                "UPDATE store SET placement = ?, mapping_start = ?, mapping_bytes = ? WHERE number = ?",
                params![
                    names::placement(placement.kind),
                    int(placement.start),
                    int(placement.len.0),
                    int(*number)
                ],
            )?;
        }
        for change in &batch.changes {
            if !self.has_row(change.number)? {
                continue;
            }
            self.execute(
                "INSERT OR REPLACE INTO store_change VALUES (?, ?, ?, ?, ?, ?, ?)",
                params![
                    int(change.number),
                    int(change.at.0),
                    int(change.size.0),
                    int(change.data),
                    change.tid.0,
                    change.gc_at_birth.n_minor,
                    change.gc_at_birth.n_major,
                ],
            )?;
        }
        for (at, number, known) in &batch.pages {
            if !self.has_row(*number)? {
                continue;
            }
            let pages = &known.pages;
            self.execute(
                "INSERT OR REPLACE INTO store_pages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                params![
                    int(*number),
                    int(at.0),
                    int(known.scanned_at.0),
                    int(pages.resident.0),
                    int(pages.zero.0),
                    int(pages.swapped.0),
                    int(pages.huge.0),
                    int(known.touched_at.0),
                    int(known.grew_at.0),
                    known.is_recycled,
                ],
            )?;
        }
        self.first_touches(batch)?;
        for death in &batch.deaths {
            self.execute(
                "UPDATE store SET death = ?, life_class = ?, n_minor_survived = ?, n_major_survived = ? WHERE number = ?",
                params![
                    int(death.at.0),
                    life_class(death.birth, death.at),
                    death.survived.map(|it| it.n_minor),
                    death.survived.map(|it| it.n_major),
                    int(death.number),
                ],
            )?;
        }
        for gc in &batch.gcs {
            self.execute(
                "INSERT OR REPLACE INTO gc VALUES (?, ?, ?, ?, ?, ?)",
                params![
                    gc.tid.0,
                    int(gc.at.0),
                    int(gc.pause.0),
                    names::gc_kind(gc.kind),
                    gc.counts.n_minor,
                    gc.counts.n_major,
                ],
            )?;
        }
        Ok(())
    }

    pub(super) fn split(
        &self,
        at: Nanos,
        scanned_at: Nanos,
        split: &RssSplit,
    ) -> rusqlite::Result<()> {
        let survey = &split.survey;
        let (thresholds, mapped) = (survey.thresholds, survey.untraced_mapped);
        self.execute(
            "INSERT OR REPLACE INTO rss_scan VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                int(at.0),
                int(scanned_at.0),
                int(split.rss.0),
                int(split.swapped.0),
                int(split.untouched.0),
                split.is_allocator_known,
                survey.allocator.map(Allocator::name),
                survey.obstacle.map(Obstacle::name),
                survey.n_arenas,
                survey.n_arenas_unknown,
                int(survey.n_chunks),
                int(survey.n_free),
                int(survey.free.0),
                int(survey.free_at_end.0),
                int(survey.free_in_threads.0),
                thresholds.map(|it| int(it.mmap.0)),
                thresholds.map(|it| int(it.trim.0)),
                thresholds.map(|it| it.is_fixed),
                mapped.map(|it| int(it.n)),
                mapped.map(|it| int(it.bytes.0)),
                mapped.map(|it| int(it.resident.0)),
                int(survey.took.0),
            ],
        )?;
        for part in RssPart::ALL {
            self.execute(
                "INSERT OR REPLACE INTO rss_part VALUES (?, ?, ?)",
                params![int(at.0), part.name(), int(split.get(part).0)],
            )?;
        }
        Ok(())
    }

    pub(super) fn moment(&self, moment: &Moment) -> rusqlite::Result<()> {
        let (memory, own, small) = (&moment.memory, &moment.own, moment.small);
        let frames: Vec<u64> = own.frames.iter().flatten().copied().collect();
        self.execute(
            "INSERT OR REPLACE INTO moment VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, \
             ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                int(moment.at.0),
                moment.is_flush,
                known(memory.rss.map(|it| it.0)),
                known(memory.array_buffers.map(|it| it.0)),
                known(memory.v8_heap.map(|it| it.0)),
                memory.n_isolates,
                known(moment.before_attach.map(|it| it.0)),
                int(moment.n_live),
                int(moment.live_bytes.0),
                int(moment.peak_bytes.0),
                int(moment.live_allocator_bytes.0),
                int(moment.n_created),
                int(moment.created_bytes.0),
                int(moment.n_destroyed),
                int(moment.destroyed_bytes.0),
                int(moment.n_destroyed_unknown),
                int(moment.destroyed_unknown_bytes.0),
                moment.n_created_per_s,
                moment.created_bytes_per_s,
                moment.destroyed_bytes_per_s,
                known(small.map(|it| it.n_live)),
                known(small.map(|it| it.live_bytes.0)),
                known(small.map(|it| it.n_created)),
                known(small.map(|it| it.created_bytes.0)),
                known(moment.n_minor),
                known(moment.n_major),
                known(moment.gc_last.map(|it| it.0)),
                known(moment.gc_longest.map(|it| it.0)),
                known(moment.gc_total.map(|it| it.0)),
                int(own.n_lost),
                int(own.n_reconciled),
                int(own.n_closed_by_reconcile),
                own.cpu_share,
                known(own.rss.map(|it| it.0)),
                known(own.resolve_p50.map(|it| it.0)),
                known(own.resolve_p99.map(|it| it.0)),
                list(&frames),
                known(memory.rss_in_node.map(|it| it.0)),
                own.coverage,
            ],
        )
    }

    pub(super) fn findings(&self, at: Nanos, findings: &[FindingRow]) -> rusqlite::Result<()> {
        let none = FindingRow::default();
        let ranked = (0_i64..).zip(findings);
        // That there are none is something to say as well.
        let nothing = findings.is_empty().then_some((-1, &none));
        for (rank, finding) in ranked.chain(nothing) {
            self.execute(
                "INSERT OR REPLACE INTO finding VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                params![
                    int(at.0),
                    rank,
                    finding.kind,
                    finding.confidence,
                    int(finding.bytes),
                    int(finding.n_parents),
                    finding.summary,
                    texts(&finding.evidence),
                    finding.remedy,
                    finding.remedy_code,
                    finding.site,
                    finding.via,
                    texts(&finding.holder),
                    known(finding.age.map(|it| it.0)),
                    finding.n_major_survived,
                ],
            )?;
        }
        Ok(())
    }

    pub(super) fn notices(&self, notices: &NoticeList) -> rusqlite::Result<()> {
        for (position, text) in (0_i64..).zip(&notices.texts) {
            self.execute(
                "INSERT OR REPLACE INTO notice VALUES (?, ?, ?, ?)",
                params![int(notices.at.0), notices.is_limit, position, text],
            )?;
        }
        Ok(())
    }
}
