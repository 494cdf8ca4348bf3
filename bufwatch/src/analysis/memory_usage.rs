//! `process.memoryUsage()` from outside: which isolate is the main thread's, and what all have together.

use crate::analysis::snapshot::{HeapNumbers, MemoryUsage, Placement};
use crate::base::{Bytes, Nanos};
use crate::event::HeapSampled;
use crate::model::Model;

pub(super) fn memory_usage(model: &Model, now: Nanos) -> Option<MemoryUsage> {
    let (at, heaps) = &model.heaps;
    let all = heaps.iter().map(numbers).reduce(sum)?;
    Some(MemoryUsage {
        age: now.since(*at),
        rss: model.memory.rss_in_node,
        main: main(model, heaps).map(numbers),
        all,
        n_isolates: heaps.len() as u32,
    })
}

/// The main thread's isolate is in the brk heap, since that is where glibc's main arena is. Workers have arenas of their own, unless there are
/// very many threads: then more than one isolate may be there, and nothing is said.
fn main<'a>(model: &Model, heaps: &'a [HeapSampled]) -> Option<&'a HeapSampled> {
    if let [only] = heaps {
        return Some(only);
    }
    let mut in_main_heap =
        heaps.iter().filter(|heap| model.address_space.place(heap.heap.0) == Placement::MainHeap);
    in_main_heap.next().filter(|_| in_main_heap.next().is_none())
}

fn numbers(heap: &HeapSampled) -> HeapNumbers {
    HeapNumbers {
        total: heap.total,
        used_min: heap.used_min,
        used_max: heap.used_max,
        external: heap.external,
        array_buffers: heap.array_buffers,
    }
}

fn sum(a: HeapNumbers, b: HeapNumbers) -> HeapNumbers {
    let both = |a: Option<Bytes>, b: Option<Bytes>| Some(a? + b?);
    HeapNumbers {
        total: a.total + b.total,
        used_min: a.used_min + b.used_min,
        used_max: a.used_max + b.used_max,
        external: both(a.external, b.external),
        array_buffers: both(a.array_buffers, b.array_buffers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Avma;
    use crate::event::{Event, Mapping, MappingKind, Payload};

    fn heap(at: u64, total: u64, external: Option<u64>) -> HeapSampled {
        HeapSampled {
            heap: Avma(at),
            total: Bytes(total),
            external: external.map(Bytes),
            ..HeapSampled::default()
        }
    }

    fn usage(heaps: &[HeapSampled]) -> Option<MemoryUsage> {
        let mut model = Model::new(Nanos(0));
        let brk = Mapping { start: 0x1000, end: 0x9000, kind: MappingKind::Heap };
        let at = Nanos::from_secs(1);
        model.apply(&Event { at, payload: Payload::MappingsSampled([brk].into()) });
        model.apply(&Event { at, payload: Payload::HeapsSampled(heaps.into()) });
        memory_usage(&model, Nanos::from_secs(3))
    }

    #[test]
    fn the_main_isolate_is_the_one_in_the_brk_heap() {
        let found = usage(&[heap(0x7000_0000, 5, Some(1)), heap(0x2000, 7, Some(2))]).unwrap();
        assert_eq!(found.main.unwrap().total, Bytes(7));
        assert_eq!((found.all.total, found.all.external), (Bytes(12), Some(Bytes(3))));
        assert_eq!((found.age, found.n_isolates), (Nanos::from_secs(2), 2));
    }

    #[test]
    fn what_cannot_be_told_is_not_told() {
        assert_eq!(usage(&[]), None);
        let two = usage(&[heap(0x2000, 5, None), heap(0x3000, 7, Some(2))]).unwrap();
        assert_eq!((two.main, two.all.external), (None, None));
    }
}
