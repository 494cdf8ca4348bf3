//! The list of all scripts of an isolate: where a script is by now, after V8 has moved it. Reads no script but its id.
//!
//! The way there: the page of any object names its `Heap`, which lies in the `Isolate`, one word of which is the list
//! (`Heap::script_list`, a `WeakArrayList` of weak references; V8 src/roots/roots.h). Which word it is differs between builds: it is the
//! one whose list has scripts.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::{Avma, ReadMemory};
use crate::v8::object::{Heap, Tagged, word_in};
use crate::v8::page::{HEADER_BYTES, PAGE_ALIGNMENT, PageLayout};

/// Where a `WeakArrayList` has its length and its first element; the capacity is before them. The same in V8 10 to 14.
const LENGTH: u64 = 16;
const FIRST_ELEMENT: u64 = 24;

/// Scripts looked at, the newest first: programs that evaluate all the time have no end of them.
const SCRIPTS_MAX: u64 = 1 << 14;

/// Elements by which a list is recognised.
const LOOKED_AT: u64 = 8;

/// Bytes from an `Isolate` to its `Heap`: measured 0xc638 to 0xf3c0.
const HEAP_OFFSET_MAX: u64 = 0x20000;

/// How an isolate is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct IsolateFacts {
    pub pages: PageLayout,
    pub heap_in_isolate: u64,
}

/// A word of an isolate that points to its list of scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptList(Avma);

impl<M: ReadMemory> Heap<'_, M> {
    /// Of the isolate that an object belongs to. Reads some thousand words.
    pub fn script_list(&self, object: Avma, facts: IsolateFacts) -> Option<ScriptList> {
        let page = object.0 & !PAGE_ALIGNMENT.checked_sub(1)?;
        let header = self.bytes(Avma(page), HEADER_BYTES, HEADER_BYTES)?;
        let metadata = match facts.pages.metadata(&header) {
            Some(at) => self.bytes(at, HEADER_BYTES, HEADER_BYTES)?,
            None => Vec::new(),
        };
        let heap = facts.pages.parse(page, &header, &metadata)?.heap?;
        let isolate = Avma(heap.0.checked_sub(facts.heap_in_isolate)?);
        let len = usize::try_from(facts.heap_in_isolate.min(HEAP_OFFSET_MAX)).ok()?;
        let bytes = self.bytes(isolate, len, len)?;
        let (words, _) = bytes.as_chunks::<8>();
        let at = words.iter().position(|it| self.is_script_list(u64::from_le_bytes(*it)))?;
        isolate.checked_add((at as u64).checked_mul(8)?).map(ScriptList)
    }

    /// The script with this id, where it is now.
    pub fn listed_script(&self, list: ScriptList, id: i32) -> Option<Avma> {
        let word = self.tagged(list.0, 0)?;
        self.newest(word, SCRIPTS_MAX)?.into_iter().find_map(|element| {
            let script = element.as_object_or_weak()?;
            // Also where it was its number is left.
            (self.smi(script, self.layout.script_id)? == id).then_some(())?;
            self.typed(Tagged(script.0 | 1), self.layout.type_script)
        })
    }

    fn is_script_list(&self, word: u64) -> bool {
        let Some(elements) = self.newest(Tagged(word), LOOKED_AT) else { return false };
        let mut scripts = elements.iter().filter_map(|element| element.as_object_or_weak());
        let is_script =
            |script: Avma| self.typed(Tagged(script.0 | 1), self.layout.type_script).is_some();
        // There is one, and there is nothing else.
        scripts.next().is_some_and(is_script) && scripts.all(is_script)
    }

    /// The last elements of a list, the last one first.
    fn newest(&self, word: Tagged, limit: u64) -> Option<Vec<Tagged>> {
        let list = self.typed(word, self.layout.type_weak_array_list)?;
        let len = u64::try_from(self.smi(list, LENGTH)?).ok()?;
        let n = len.min(limit);
        let start = FIRST_ELEMENT.checked_add(len.checked_sub(n)?.checked_mul(8)?)?;
        let n_bytes = usize::try_from(n.checked_mul(8)?).ok()?;
        let bytes = self.bytes(list.checked_add(start)?, n_bytes, n_bytes)?;
        let elements = (0..n_bytes).step_by(8).rev();
        Some(elements.filter_map(|at| word_in(&bytes, at)).map(Tagged).collect())
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "made-up addresses")]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::base::MemoryError;
    use crate::v8::Layout;

    const PAGE: u64 = 0x7f00_0000_0000;
    const HEAP: u64 = 0x2000_0400;
    const ISOLATE: u64 = 0x2000_0000;
    const LIST: u64 = PAGE + 0x8000;
    const OTHER_LIST: u64 = PAGE + 0x9000;
    const MAP_OF_SCRIPTS: u64 = 0x8_0000;
    const MAP_OF_LISTS: u64 = 0x9_0000;
    const FACTS: IsolateFacts =
        IsolateFacts { pages: PageLayout::Plain, heap_in_isolate: HEAP - ISOLATE };

    struct Words(BTreeMap<u64, u64>);

    impl ReadMemory for Words {
        fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
            for (n, byte) in out.iter_mut().enumerate() {
                let at = address.0.wrapping_add(n as u64);
                let is_near = self.0.range(at.saturating_sub(0x1000)..).next();
                is_near
                    .filter(|(near, _)| near.abs_diff(at) < 0x1000)
                    .ok_or(MemoryError::Unmapped(address))?;
                let word = self.0.get(&(at & !7)).copied().unwrap_or(0);
                *byte = word.to_le_bytes()[(at & 7) as usize];
            }
            Ok(())
        }
    }

    fn layout() -> Layout {
        Layout {
            map_instance_type: 8,
            type_script: 1,
            type_weak_array_list: 2,
            script_id: 64,
            ..Layout::default()
        }
    }

    fn script(n: u64) -> u64 {
        PAGE + 0x2000 + n * 0x100
    }

    fn memory() -> Words {
        let mut words = BTreeMap::from([
            (MAP_OF_SCRIPTS + 8, 1),
            (MAP_OF_LISTS + 8, 2),
            // The page: size, flags, heap, area.
            (PAGE, 0x4_0000),
            (PAGE + 16, HEAP),
            (PAGE + 24, PAGE + 0x1000),
            (PAGE + 32, PAGE + 0x4_0000),
            // The isolate: something else, a list of something else, an empty one, the one.
            (ISOLATE + 8, script(1) | 1),
            (ISOLATE + 16, OTHER_LIST | 1),
            (ISOLATE + 32, LIST | 1),
            (HEAP, 0),
            (OTHER_LIST, MAP_OF_LISTS | 1),
            (OTHER_LIST + LENGTH, 1 << 32),
            (OTHER_LIST + FIRST_ELEMENT, OTHER_LIST | 3),
            (LIST, MAP_OF_LISTS | 1),
            (LIST + LENGTH, 4 << 32),
            (LIST + FIRST_ELEMENT, script(1) | 3),
            // Collected.
            (LIST + FIRST_ELEMENT + 8, 3),
            (LIST + FIRST_ELEMENT + 16, script(2) | 3),
            (LIST + FIRST_ELEMENT + 24, script(3) | 3),
        ]);
        for n in 1..=3 {
            words.insert(script(n), MAP_OF_SCRIPTS | 1);
            words.insert(script(n) + 64, n << 32);
        }
        Words(words)
    }

    #[test]
    fn a_script_is_found_by_its_number() {
        let (memory, layout) = (memory(), layout());
        let heap = Heap::new(&memory, &layout);
        let list = heap.script_list(Avma(script(2)), FACTS).unwrap();
        assert_eq!(list, ScriptList(Avma(ISOLATE + 32)));
        assert_eq!(heap.listed_script(list, 1), Some(Avma(script(1))));
        assert_eq!(heap.listed_script(list, 3), Some(Avma(script(3))));
        assert_eq!(heap.listed_script(list, 4), None);
    }

    #[test]
    fn a_script_is_found_while_it_moves() {
        let (mut memory, layout) = (memory(), layout());
        memory.0.insert(script(3), script(9));
        memory.0.insert(script(9), MAP_OF_SCRIPTS | 1);
        let heap = Heap::new(&memory, &layout);
        let list = heap.script_list(Avma(script(3)), FACTS).unwrap();
        assert_eq!(heap.listed_script(list, 3), Some(Avma(script(9))));
    }

    #[test]
    fn what_is_no_list_is_not_believed() {
        let (mut memory, layout) = (memory(), layout());
        let list = ScriptList(Avma(ISOLATE + 16));
        assert_eq!(Heap::new(&memory, &layout).listed_script(list, 1), None);
        memory.0.insert(LIST + LENGTH, u64::MAX << 32);
        let heap = Heap::new(&memory, &layout);
        assert_eq!(heap.script_list(Avma(script(2)), FACTS), None);
        assert_eq!(heap.script_list(Avma(0x1234), FACTS), None);
    }
}
