//! `FREED_BUT_RESIDENT`: JavaScript has freed it, malloc has not given it back.
//!
//! The shape: much of RSS are free chunks of malloc, and stay so. The cause, mostly: glibc gives large blocks a mapping of their own, which
//! goes with them, until the first such block is freed; then its threshold rises to that block's size, blocks below it come from the heap,
//! and what still lives between them keeps the heap from shrinking. The remedy is chosen by where the free memory is and by how large the
//! blocks were; only what was seen to work is proposed (docs/allocator.md).
//!
//! Not accused: less than glibc may keep by design, a fifth of RSS, what a busy process frees and uses again; allocators whose records
//! bufwatch cannot read.

use std::sync::Arc;

use crate::analysis::Snapshot;
use crate::analysis::finding::{Confidence, Finding, FindingKind, Remedy};
use crate::analysis::snapshot::FreedRow;
use crate::base::Bytes;
use crate::base::text::{count, percent};
use crate::detect::process::{self, MUCH, is_share, lasting};
use crate::event::residency::{MallocThresholds, RssPart, RssSplit};

/// A fifth of RSS: with less, freeing all of it would not be noticed beside what else there is.
const SHARE: u64 = 5;

/// glibc's threshold before anything has raised it (`DEFAULT_MMAP_THRESHOLD_MIN`, malloc/malloc.c).
const LARGE_BLOCK: Bytes = Bytes(128 << 10);

pub(super) fn find(snapshot: &Snapshot) -> Option<Finding> {
    let free = |split: &RssSplit| {
        let survey = &split.survey;
        (survey.n_arenas > survey.n_arenas_unknown).then(|| split.get(RssPart::AllocatorFree))
    };
    let lasting = lasting(snapshot, free)?;
    let (_, split) = snapshot.memory.split?;
    let bytes = lasting.least;
    if bytes < MUCH || !is_share(bytes, split.rss, SHARE) {
        return None;
    }
    let confidence = if split.is_allocator_known { Confidence::High } else { Confidence::Medium };
    let mut finding = process::finding(FindingKind::FreedButResident, confidence, bytes);
    let share = percent(bytes.0 as f64 / split.rss.0.max(1) as f64);
    finding.summary =
        format!("{bytes} of RSS, {share}, are free memory that malloc keeps: nothing lives there");
    finding.evidence = vec![
        format!(
            "never less than {bytes} in {} looks over {}",
            count(lasting.n_looks as u64),
            lasting.since
        ),
        format!(
            "read from glibc's own records: {} free chunks in {}, {} of their bytes at the ends of heaps, {} in arenas of threads",
            count(split.survey.n_free),
            arenas(&split),
            split.survey.free_at_end,
            split.survey.free_in_threads
        ),
    ];
    if !split.is_allocator_known {
        let n = count(split.survey.n_arenas_unknown.into());
        finding
            .evidence
            .push(format!("{n} more arenas could not be read: there may be more of it"));
    }
    finding.evidence.extend(split.survey.thresholds.map(|it| thresholds(&it)));
    finding.evidence.extend(freed_lines(&snapshot.freed));
    if let Some(row) = snapshot.freed.first().filter(|row| is_share(row.resident, bytes, 2)) {
        finding.site = Some(Arc::clone(&row.site));
        finding.via.clone_from(&row.via);
    }
    finding.remedy = remedy(snapshot, &split, bytes);
    Some(finding)
}

fn arenas(split: &RssSplit) -> String {
    let n = u64::from(split.survey.n_arenas);
    if n == 1 { "one arena".to_owned() } else { format!("{} arenas", count(n)) }
}

fn thresholds(thresholds: &MallocThresholds) -> String {
    let MallocThresholds { mmap, trim, is_fixed } = thresholds;
    if *is_fixed {
        format!(
            "its thresholds are set: mappings of their own from {mmap} on, trimmed above {trim}"
        )
    } else if *mmap > LARGE_BLOCK {
        format!(
            "a block of {mmap} was freed, and blocks up to that size come from its heap since then; the heap's end is trimmed above {trim}"
        )
    } else {
        format!(
            "blocks of {mmap} and more have mappings of their own; the heap's end is trimmed above {trim}"
        )
    }
}

/// Lines whose dead stores it was.
fn freed_lines(freed: &[FreedRow]) -> Option<String> {
    let of: Vec<String> = freed
        .iter()
        .take(3)
        .map(|row| {
            let via = row.via.as_ref().map_or_else(String::new, |via| format!(" by {via}"));
            format!("{} of stores of {}{via}", row.resident, row.site)
        })
        .collect();
    (!of.is_empty()).then(|| format!("it was memory of dead stores: {}", of.join("; ")))
}

/// Why the memory stays decides what helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// The end of a heap, below the threshold above which it is given back.
    Untrimmed,
    /// Large blocks in the heap, between what lives.
    LargeBlocks,
    /// Blocks too small for mappings of their own, or nobody knows.
    SmallBlocks,
}

fn cause(snapshot: &Snapshot, split: &RssSplit, bytes: Bytes) -> Cause {
    let survey = &split.survey;
    let is_fixed = survey.thresholds.is_some_and(|it| it.is_fixed);
    let is_low = |get: fn(&MallocThresholds) -> Bytes| {
        survey.thresholds.as_ref().is_some_and(|it| get(it) <= LARGE_BLOCK)
    };
    // What thread arenas have at their ends is not given back by trimming.
    let at_end = survey.free_at_end.saturating_sub(survey.free_in_threads);
    if is_share(at_end, survey.free, 2) && !(is_fixed && is_low(|it| it.trim)) {
        return Cause::Untrimmed;
    }
    if is_low(|it| it.mmap) {
        return Cause::SmallBlocks;
    }
    let is_large = |row: &&FreedRow| {
        let group = snapshot.groups.iter().find(|group| group.id == row.group);
        let tally = group.map(|group| &group.tally);
        tally.is_some_and(|it| it.created_bytes.0 >= LARGE_BLOCK.0.saturating_mul(it.n_created))
    };
    let large: Bytes = snapshot.freed.iter().filter(is_large).map(|row| row.resident).sum();
    // Freed before bufwatch came: how large the chunks are, neighbours as one.
    let mean = survey.free.0.checked_div(survey.n_free).unwrap_or(0);
    let is_unknown = !is_share(snapshot.freed.iter().map(|row| row.resident).sum(), bytes, 2);
    if is_share(large, bytes, 2) || (is_unknown && mean >= LARGE_BLOCK.0) {
        Cause::LargeBlocks
    } else {
        Cause::SmallBlocks
    }
}

fn remedy(snapshot: &Snapshot, split: &RssSplit, bytes: Bytes) -> Remedy {
    let survey = &split.survey;
    let (words, code) = match cause(snapshot, split, bytes) {
        Cause::Untrimmed => {
            let trim = survey.thresholds.map_or_else(String::new, |it| format!(" of {}", it.trim));
            (
                format!(
                    "It is at the end of malloc's heap, where nothing lives above it, and is kept only because of the trim threshold{trim}. \
                     Start the program with a fixed one: then the end goes back to the kernel with each large free."
                ),
                "MALLOC_TRIM_THRESHOLD_=131072 node app.js",
            )
        }
        Cause::LargeBlocks => (
            "The blocks were large, and lie between others that live. Start the program with a fixed threshold: blocks of 128 KiB and more \
             then have mappings of their own, which go back to the kernel with each free. It costs page faults at each allocation, which \
             shows if the program makes thousands of them a second; or reuse such buffers instead."
                .to_owned(),
            "MALLOC_MMAP_THRESHOLD_=131072 node app.js",
        ),
        Cause::SmallBlocks => (
            "The blocks were too small for mappings of their own, so malloc's thresholds do not help, and MALLOC_ARENA_MAX has made it worse \
             elsewhere. What needs fewer of them at a time helps: less concurrency, larger chunks that are reused. An allocator that \
             gives free pages back with time (jemalloc) is worth a measurement; bufwatch then cannot look into it, but RSS tells."
                .to_owned(),
            "LD_PRELOAD=libjemalloc.so.2 node app.js",
        ),
    };
    Remedy { words, code: Some(code.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::made_up::{MIB, group, splits};
    use crate::event::residency::AllocatorSurvey;

    fn split(free_mib: u64, rss_mib: u64) -> RssSplit {
        let mut split = RssSplit {
            rss: Bytes(rss_mib * MIB),
            is_allocator_known: true,
            survey: AllocatorSurvey {
                n_arenas: 1,
                n_free: 40,
                free: Bytes(free_mib * MIB),
                thresholds: Some(MallocThresholds {
                    mmap: Bytes(31 * MIB),
                    trim: Bytes(62 * MIB),
                    is_fixed: false,
                }),
                ..AllocatorSurvey::default()
            },
            ..RssSplit::default()
        };
        split.add(RssPart::AllocatorFree, Bytes(free_mib * MIB));
        split
    }

    fn find_in(looks: &[RssSplit]) -> Option<Finding> {
        find(&splits(looks))
    }

    #[test]
    fn what_stays_free_and_in_memory_is_told() {
        let found = find_in(&vec![split(390, 445); 12]).unwrap();
        assert_eq!((found.bytes, found.confidence), (Bytes(390 * MIB), Confidence::High));
        let code = found.remedy.code.unwrap();
        assert!(code.starts_with("MALLOC_MMAP_THRESHOLD_="), "{code}");
    }

    #[test]
    fn what_is_used_again_is_not_accused() {
        let mut looks = vec![split(390, 445); 12];
        looks[6] = split(10, 445);
        assert_eq!(find_in(&looks), None);
        assert_eq!(find_in(&vec![split(390, 445); 5]), None, "a moment");
        assert_eq!(find_in(&vec![split(50, 100); 12]), None, "not much");
        assert_eq!(find_in(&vec![split(100, 1_000); 12]), None, "of little weight");
        let unknown = RssSplit { survey: AllocatorSurvey::default(), ..split(390, 445) };
        assert_eq!(find_in(&vec![unknown; 12]), None, "nobody could look");
    }

    #[test]
    fn the_remedy_is_what_fits() {
        let code = |change: &dyn Fn(&mut RssSplit)| {
            let mut look = split(390, 445);
            change(&mut look);
            find_in(&vec![look; 12]).unwrap().remedy.code.unwrap()
        };
        let at_end = code(&|it| it.survey.free_at_end = Bytes(300 * MIB));
        assert!(at_end.starts_with("MALLOC_TRIM"), "{at_end}");
        let in_threads = code(&|it| {
            it.survey.free_at_end = Bytes(300 * MIB);
            it.survey.free_in_threads = Bytes(350 * MIB);
        });
        assert!(in_threads.starts_with("MALLOC_MMAP"), "{in_threads}");
        let small = code(&|it| it.survey.n_free = 100_000);
        assert!(small.starts_with("LD_PRELOAD"), "{small}");
        let set = code(&|it| {
            let low = Bytes(128 << 10);
            it.survey.thresholds = Some(MallocThresholds { mmap: low, trim: low, is_fixed: true });
            it.survey.free_at_end = Bytes(300 * MIB);
        });
        assert!(set.starts_with("LD_PRELOAD"), "{set}");
    }

    #[test]
    fn the_line_that_had_allocated_it_is_named() {
        let mut snapshot = splits(&vec![split(390, 445); 12]);
        let mut line = group("upload (server.js:41)");
        (line.tally.n_created, line.tally.created_bytes) = (400, Bytes(400 * MIB));
        snapshot.freed = [FreedRow {
            group: line.id,
            site: Arc::clone(&line.label),
            via: None,
            resident: Bytes(380 * MIB),
        }]
        .into();
        snapshot.groups = [line].into();
        let found = find(&snapshot).unwrap();
        assert_eq!(found.site.as_deref(), Some("upload (server.js:41)"));
        assert!(found.evidence.iter().any(|it| it.contains("380 MiB of stores of upload")));
    }
}
