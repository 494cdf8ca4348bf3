//! What a thread that runs JavaScript keeps alive: the part of its stack that belongs to JavaScript, and its registers. Also which isolate
//! a thread runs, and whether it is collecting garbage.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::ops::Range;

use crate::base::{Avma, ReadMemory};
use crate::v8::census::roots::{Collector, IsolatePlace, RootKind, ThreadState, read_words};

/// Most stack that is read of one thread; Node's default limit for JavaScript is 984 KiB.
const STACK_BYTES_MAX: u64 = 32 << 20;

/// Stack below `Isolate::js_entry_sp` that belongs to the frame of the entry.
const ENTRY_FRAME_BYTES: u64 = 256;

/// Static storage of a thread below its base: variables of the executable, measured 0xb0 to 0x2a0 bytes.
const VARIABLES_BYTES: u64 = 0x1000;
const PAGE_MASK: u64 = 0xfff;

/// Above its base: glibc's `struct pthread`, in which the first 32 keys lie at 0x310.
const KEYS_END: u64 = 0x510;

impl<M: ReadMemory> Collector<'_, M> {
    /// JavaScript's part of the stack reaches from the stack pointer to the outermost pointer into the stack that the isolate has
    /// (`js_entry_sp`, handlers, entry frames). Without one, no JavaScript is on it; native frames hold objects by handles only. These are of
    /// its `ThreadLocalTop`, in `IsolateData`, the first member of the isolate, and the heap is the second large one (V8
    /// `src/execution/isolate.h`): what lies behind may be left from earlier. In Node 26 there is such a word, at 0xfaa8.
    pub(super) fn thread(&mut self, thread: &ThreadState) {
        let stack = thread.stack_pointer..thread.stack_end;
        // Limits and bases of stacks are page-aligned; frames of JavaScript are not, but for one in 256, and an entry has several.
        let may_be_entry = |before: u64, it: u64| {
            stack.contains(&it) && !it.is_multiple_of(4096) && !is_marked_stack(before, it)
        };
        let n_data = self.place.heap.0.saturating_sub(self.place.isolate.0) / 8;
        let data = usize::try_from(n_data).ok().and_then(|n| self.words.get(..n));
        let data = data.unwrap_or(&self.words);
        let entries = data.array_windows::<2>().filter(|[before, it]| may_be_entry(*before, *it));
        let outermost = entries.map(|[_, it]| *it).max();
        let end = match outermost {
            Some(outermost) => outermost.saturating_add(ENTRY_FRAME_BYTES).min(stack.end),
            None => stack.start,
        };
        self.found.is_in_javascript = outermost.is_some();
        let n_bytes = end.saturating_sub(stack.start).min(STACK_BYTES_MAX);
        if n_bytes > 0 {
            for word in read_words(self.memory, Avma(stack.start & !7), n_bytes) {
                self.push(RootKind::Stack, word);
            }
            for word in &thread.general {
                self.push(RootKind::Stack, *word);
            }
        }
        self.found.is_collecting = self.is_collecting(thread);
    }

    /// `Heap::HeapState`: no collection is 0, behind it are the kinds of collections, and the end of the heap. Whose stack it is on, and
    /// whether that can be walked, does not matter.
    pub(super) fn is_heap_changing(&self) -> bool {
        /// `TEAR_DOWN`, 3 or 4 by version; what is larger is no state.
        const STATES: Range<u64> = 1..5;
        let state = self.facts.gc_state.and_then(|offset| {
            let offset =
                self.place.heap.0.checked_sub(self.place.isolate.0)?.checked_add(offset)?;
            let word = self.words.get(usize::try_from(offset / 8).ok()?)?;
            let shift = u32::try_from(offset % 8).ok()?.checked_mul(8)?;
            Some((word >> shift) & 0xffff_ffff)
        });
        state.is_some_and(|state| STATES.contains(&state))
    }

    /// By frame pointers: Node and V8 are built with them.
    fn is_collecting(&self, thread: &ThreadState) -> bool {
        const FRAMES_MAX: usize = 256;
        let is_collector =
            |address: u64| self.facts.collector_code.iter().any(|code| code.contains(&address));
        if is_collector(thread.instruction_pointer) {
            return true;
        }
        let mut frame = thread.frame_pointer;
        for _ in 0..FRAMES_MAX {
            if !(thread.stack_pointer..thread.stack_end).contains(&frame)
                || !frame.is_multiple_of(8)
            {
                return false;
            }
            let [caller, return_address] = *read_words(self.memory, Avma(frame), 16) else {
                return false;
            };
            if is_collector(return_address) {
                return true;
            }
            if caller <= frame {
                return false;
            }
            frame = caller;
        }
        false
    }
}

/// `heap::base::Stack` {start, marker} (V8 `src/heap/base/stack.h`): the marker is left from the last collection, so it leads to what is
/// native by now, on a thread that waits to the buffer of its poll, which is full of old words.
const fn is_marked_stack(start: u64, marker: u64) -> bool {
    start.is_multiple_of(4096) && start > marker && start.saturating_sub(marker) < STACK_BYTES_MAX
}

/// The isolate that a thread has entered: V8 keeps it in the thread's static storage (`g_current_isolate_`), up to V8 10 under one of
/// glibc's keys.
pub(super) fn isolate_of(
    memory: &impl ReadMemory,
    thread: &ThreadState,
    isolates: &[IsolatePlace],
) -> Option<Avma> {
    let base = thread.fs_base;
    let mut variables =
        read_words(memory, Avma(base.checked_sub(VARIABLES_BYTES)?), VARIABLES_BYTES);
    if variables.is_empty() {
        // Their mapping begins with the page that the base is in; what is before it can be anything.
        variables = read_words(memory, Avma(base & !PAGE_MASK), base & PAGE_MASK);
    }
    let around = [variables, read_words(memory, Avma(base), KEYS_END)];
    let words = around.iter().flatten();
    words
        .filter_map(|word| isolates.iter().find(|place| place.isolate.0 == *word))
        .map(|place| place.isolate)
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v8::census::fake::FakeMemory;
    use crate::v8::census::roots::{RootFacts, Roots};

    const ISOLATE: u64 = 0x50_0000;
    const HEAP: u64 = ISOLATE + 0x9000;

    /// The thread that collects waits for others in the C library, which keeps no frame pointer: its stack tells nothing.
    #[test]
    fn a_collection_is_known_by_what_the_heap_says() {
        let places = [IsolatePlace { heap: Avma(HEAP), isolate: Avma(ISOLATE) }];
        let is_collecting = |state: u64, gc_state: Option<u64>| {
            let mut memory = FakeMemory::default();
            memory.fill(ISOLATE - 8, &[0x9809]);
            memory.fill(ISOLATE, &vec![0; 0x1300]);
            memory.fill(HEAP + 0x240, &[state]);
            let facts = RootFacts { gc_state, ..RootFacts::default() };
            Roots::collect(&memory, &facts, &places, &[]).isolates[0].is_collecting
        };
        for state in 1..=4 {
            assert!(is_collecting(state, Some(0x240)), "{state}");
            assert!(is_collecting(state << 32, Some(0x244)), "{state}");
        }
        assert!(!is_collecting(0, Some(0x240)));
        assert!(!is_collecting(2, None));
        assert!(!is_collecting(77, Some(0x240)), "no state of a heap");
        assert!(!is_collecting(2, Some(0x100_0000)), "behind the isolate");
    }

    /// What lies behind `IsolateData` may be left from when JavaScript ran; a waiting thread's old words hold nothing.
    #[test]
    fn javascript_is_on_the_stack_if_the_thread_data_of_its_isolate_says_so() {
        const BASE: u64 = 0x70_0000;
        const STACK: u64 = 0x7f00_0000;
        let places = [IsolatePlace { heap: Avma(HEAP), isolate: Avma(ISOLATE) }];
        let is_in_javascript = |at: u64, entry: u64| {
            let mut memory = FakeMemory::default();
            let mut words = vec![0; 0x1300];
            words[usize::try_from(at / 8).unwrap()] = entry;
            memory.fill(ISOLATE - 8, &[0x9809]);
            memory.fill(ISOLATE, &words);
            let mut variables = vec![0; 0x200];
            variables[0x1c0] = ISOLATE;
            memory.fill(BASE - VARIABLES_BYTES, &variables);
            memory.fill(STACK, &[0x1234_5679; 0x400]);
            let thread = ThreadState {
                tid: 7,
                stack_pointer: STACK,
                frame_pointer: 0,
                instruction_pointer: 0,
                fs_base: BASE,
                general: Vec::new(),
                stack_end: STACK + 0x2000,
            };
            let roots = Roots::collect(&memory, &RootFacts::default(), &places, &[thread]);
            assert_eq!(roots.isolates[0].tid, Some(7));
            let n_words = roots.words.iter().filter(|root| root.kind == RootKind::Stack).count();
            assert_eq!(n_words > 0, roots.isolates[0].is_in_javascript);
            roots.isolates[0].is_in_javascript
        };
        assert!(is_in_javascript(0x180, STACK + 0x730));
        assert!(!is_in_javascript(HEAP - ISOLATE + 0x100, STACK + 0x730), "of long ago");
        assert!(!is_in_javascript(0x180, STACK + 0x1000), "a limit");
        assert!(!is_in_javascript(0x180, STACK - 8), "of another stack");
    }
}
