//! The per-CPU counters of the programs, summed up.

use aya::maps::{MapData, PerCpuArray};
use bufwatch_common::{DropReason, N_SIZE_CLASSES, SizeClassCounters};

use crate::event::CountersSampled;

pub(super) fn sample(
    size_classes: &PerCpuArray<MapData, [SizeClassCounters; N_SIZE_CLASSES]>,
    drops: &PerCpuArray<MapData, [u64; DropReason::COUNT]>,
) -> Option<CountersSampled> {
    let mut sampled = CountersSampled {
        size_classes: [SizeClassCounters::default(); N_SIZE_CLASSES],
        drops: [0; DropReason::COUNT],
    };
    for of_cpu in size_classes.get(&0, 0).ok()?.iter() {
        for (sum, class) in sampled.size_classes.iter_mut().zip(of_cpu) {
            sum.n_created += class.n_created;
            sum.created_bytes += class.created_bytes;
            sum.n_destroyed += class.n_destroyed;
            sum.destroyed_bytes += class.destroyed_bytes;
        }
    }
    for of_cpu in drops.get(&0, 0).ok()?.iter() {
        for (sum, count) in sampled.drops.iter_mut().zip(of_cpu) {
            *sum += count;
        }
    }
    Some(sampled)
}

pub(super) fn sum(counter: &PerCpuArray<MapData, u64>) -> Option<u64> {
    Some(counter.get(&0, 0).ok()?.iter().sum())
}
