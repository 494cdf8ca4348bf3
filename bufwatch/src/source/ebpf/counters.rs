//! The per-CPU counters of the programs, summed up.

use aya::maps::{MapData, PerCpuArray};
use bufwatch_common::{DropReason, N_SIZE_CLASSES, SizeClassCounters};

use crate::event::CountersSampled;

pub(super) fn sample(
    size_classes: &PerCpuArray<MapData, SizeClassCounters>,
    drops: &PerCpuArray<MapData, u64>,
) -> Option<CountersSampled> {
    let mut sampled = CountersSampled {
        size_classes: [SizeClassCounters::default(); N_SIZE_CLASSES],
        drops: [0; DropReason::COUNT],
    };
    for (index, class) in (0u32..).zip(&mut sampled.size_classes) {
        for cpu in size_classes.get(&index, 0).ok()?.iter() {
            class.n_created += cpu.n_created;
            class.created_bytes += cpu.created_bytes;
            class.n_destroyed += cpu.n_destroyed;
            class.destroyed_bytes += cpu.destroyed_bytes;
        }
    }
    for (index, count) in (0u32..).zip(&mut sampled.drops) {
        *count = sum(drops, index)?;
    }
    Some(sampled)
}

pub(super) fn sum(counters: &PerCpuArray<MapData, u64>, index: u32) -> Option<u64> {
    Some(counters.get(&index, 0).ok()?.iter().sum())
}
