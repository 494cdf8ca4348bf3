//! The page faults of the target, if they were asked for: attaching to them, and when a range was first written to.

use aya::Ebpf;
use aya::maps::{HashMap, MapData};
use bufwatch_common::fault::{
    FAULT_BLOCK_BYTES, FAULT_IN_KERNEL, FAULT_PAGE_BYTES, FaultBlock, N_FAULT_PAGES,
};

use crate::base::Nanos;
use crate::event::residency::FirstTouch;
use crate::source::ebpf::attach;
use crate::source::ebpf::load::{self, LoadError};

/// Attached before the stores' programs, so that no store is seen whose first write may have been missed.
const TRACEPOINTS: [(&str, &str); 2] = [
    ("page_faulted_by_program", "page_fault_user"),
    ("page_faulted_in_kernel", "page_fault_kernel"),
];

/// The faults as the programs keep them.
#[derive(Debug)]
pub(super) struct Faults {
    blocks: HashMap<MapData, u64, FaultBlock>,
}

impl Faults {
    /// Both or none: with half of the faults a touch may not be the first one.
    pub(super) fn start(ebpf: &mut Ebpf) -> Result<Self, LoadError> {
        for (program, tracepoint) in TRACEPOINTS {
            match attach::attach_tracepoint(ebpf, program, tracepoint) {
                Ok(Ok(())) => {}
                Ok(Err(source)) | Err(LoadError::Program { source, .. }) => {
                    return Err(LoadError::Faults { tracepoint, source });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Self { blocks: load::take_map(ebpf, "FAULTS")? })
    }

    /// The first write fault in `start..end` since then.
    pub(super) fn first(&self, start: u64, end: u64, since: Nanos) -> FirstTouch {
        let blocks = start / FAULT_BLOCK_BYTES..end.div_ceil(FAULT_BLOCK_BYTES);
        let times = blocks.filter_map(|key| Some((key, self.blocks.get(&key, 0).ok()?)));
        first_of(times, start, end, since)
    }
}

fn first_of(
    blocks: impl Iterator<Item = (u64, FaultBlock)>,
    start: u64,
    end: u64,
    since: Nanos,
) -> FirstTouch {
    let mut first = u64::MAX;
    for (key, block) in blocks {
        let pages = (0..N_FAULT_PAGES as u64).zip(block.pages);
        for (n, time) in pages {
            let page = key.saturating_mul(FAULT_BLOCK_BYTES).saturating_add(n * FAULT_PAGE_BYTES);
            let is_inside = page < end && page.saturating_add(FAULT_PAGE_BYTES) > start;
            // Older ones are of what was there before.
            if is_inside && time >= since.0 && time != 0 {
                first = first.min(time);
            }
        }
    }
    if first == u64::MAX {
        FirstTouch::Unseen
    } else {
        let is_in_kernel = first & FAULT_IN_KERNEL != 0;
        FirstTouch::At { at: Nanos(first & !FAULT_IN_KERNEL), is_in_kernel }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_write_inside_and_since_the_birth_counts() {
        let mut block = FaultBlock::default();
        // What was there before, the first page of the range, and the one behind its end.
        (block.pages[1], block.pages[2], block.pages[3], block.pages[5]) = (20, 301, 200, 100);
        let find = |start, end, since| {
            let blocks = [(7, block)].into_iter();
            let base = 7 * FAULT_BLOCK_BYTES;
            first_of(blocks, base + start, base + end, Nanos(since))
        };
        let at = |ns, is_in_kernel| FirstTouch::At { at: Nanos(ns), is_in_kernel };
        assert_eq!(find(4_096 + 16, 5 * 4_096, 50), at(200, false));
        assert_eq!(find(2 * 4_096 + 16, 2 * 4_096 + 17, 50), at(300, true));
        assert_eq!(find(4_096 + 16, 5 * 4_096 + 1, 50), at(100, false));
        assert_eq!(find(0, 2 * 4_096, 50), FirstTouch::Unseen);
        assert_eq!(find(0, 2 * 4_096, 0), at(20, false));
    }
}
