//! Where objects keep their named properties: what their maps say, read once for each map. What the properties' values mean is not known
//! here.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::sync::Arc;

use crate::base::FastMap;
use crate::v8::census::mark::HeapView;
use crate::v8::census::sizes::FIRST_NON_STRING;
use crate::v8::census::text;
use crate::v8::object::Tagged;

/// `DescriptorArray`: words of an entry, key, details, value.
const DESCRIPTOR_BYTES: u64 = 24;

/// `NameDictionary`: words before the first that may be a key: map, length, three counts.
const DICTIONARY_HEADER_WORDS: usize = 5;

/// Maps remembered; then they are forgotten and read again.
const REMEMBERED_MAX: usize = 1 << 17;

/// Where an object keeps a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Slot {
    /// Byte offset in the object itself.
    Inside(u64),
    /// Index in its `PropertyArray`.
    Array(u64),
}

/// Accesses (`.name`) by slot.
type Slots = FastMap<Slot, String>;

/// Properties by map, remembered.
#[derive(Debug)]
pub(super) struct Properties<'a> {
    view: HeapView<'a>,
    by_map: FastMap<usize, Arc<Slots>>,
}

impl<'a> Properties<'a> {
    pub(super) fn new(view: HeapView<'a>) -> Self {
        Self { view, by_map: FastMap::default() }
    }

    /// The value of a property that an object has itself, if it is an object; `access` as in `.constructor`.
    pub(super) fn value(&mut self, object: usize, access: &str) -> Option<usize> {
        let view = self.view;
        let slots = self.slots_of(object)?;
        let found = slots.iter().find(|(_, it)| it.as_str() == access).map(|(slot, _)| *slot);
        match found {
            Some(Slot::Inside(offset)) => view.field(object, offset),
            Some(Slot::Array(index)) => {
                let array = view.field(object, view.layout.object_properties)?;
                view.field(array, index.checked_mul(8)?.checked_add(16)?)
            }
            None => self.in_dictionary(object, access),
        }
    }

    /// `NameDictionary`: header, counts, and two words of prefix; entries of key, value, details.
    fn in_dictionary(&self, object: usize, access: &str) -> Option<usize> {
        const ENTRIES_MAX: usize = 4_096;
        let view = self.view;
        let table = view.field(object, view.layout.object_properties)?;
        let facts = view.facts(table)?;
        if facts.kind == view.layout.type_property_array || facts.instance_bytes != 0 {
            return None;
        }
        let end = view.end_of(table, facts);
        let words = view.heap.slice(table.saturating_add(DICTIONARY_HEADER_WORDS)..end);
        let pairs = words.array_windows::<2>().take(ENTRIES_MAX.saturating_mul(3));
        let is_key = |word: u64| {
            let kind = view.object(word).and_then(|object| view.kind(object));
            kind.is_some_and(|kind| kind <= FIRST_NON_STRING)
                && text::access(view, word).as_deref() == Some(access)
        };
        let [_, value] = pairs.into_iter().find(|[key, _]| is_key(*key))?;
        let value = view.object(*value)?;
        // A constant property of a dictionary may stand in a cell.
        if view.kind(value)? == view.layout.type_property_cell {
            return view.field(value, 24).or_else(|| view.field(value, 16));
        }
        Some(value)
    }

    /// How the property in a slot of an object is written.
    pub(super) fn access(&mut self, object: usize, slot: Slot) -> Option<String> {
        self.slots_of(object)?.get(&slot).cloned()
    }

    /// True if an object has a property whose name, or the description of whose symbol, contains this.
    pub(super) fn has_like(&mut self, object: usize, part: &str) -> bool {
        self.slots_of(object).is_some_and(|slots| slots.values().any(|it| it.contains(part)))
    }

    fn slots_of(&mut self, object: usize) -> Option<Arc<Slots>> {
        let view = self.view;
        let map = view.walk.map_of(view.heap, view.heap.word(object)?)?;
        if let Some(known) = self.by_map.get(&map) {
            return Some(Arc::clone(known));
        }
        let slots = Arc::new(self.read(map).unwrap_or_default());
        if self.by_map.len() >= REMEMBERED_MAX {
            self.by_map.clear();
        }
        self.by_map.insert(map, Arc::clone(&slots));
        Some(slots)
    }

    fn read(&self, map: usize) -> Option<Slots> {
        let (view, layout) = (self.view, self.view.layout);
        let word = |offset| view.heap.word_at(map, offset);
        let bits = word(layout.map_bit_field3)? & 0xffff_ffff;
        let shift = u32::try_from(layout.map_own_descriptors_shift).ok()?;
        let n_own = (bits & layout.map_own_descriptors_mask).checked_shr(shift)?;
        let first_field = word(layout.map_first_field)? & 0xff;
        let n_words = word(layout.map_instance_words)? & 0xff;
        let n_inside = n_words.saturating_sub(first_field);
        let descriptors = view.field(map, layout.map_descriptors)?;
        let mut slots = Slots::default();
        for n in 0..n_own {
            let at = n.checked_mul(DESCRIPTOR_BYTES)?.checked_add(layout.descriptors_header)?;
            let key = view.heap.word_at(descriptors, at)?;
            let details = Tagged(view.heap.word_at(descriptors, at.checked_add(8)?)?).as_smi();
            let Some(details) = details else { continue };
            let details = u64::from(details.cast_unsigned());
            // In the descriptors themselves: the same for all objects.
            if details & layout.property_location_mask != 0 {
                continue;
            }
            let shift = u32::try_from(layout.property_index_shift).ok()?;
            let index = (details & layout.property_index_mask).checked_shr(shift)?;
            let slot = if index < n_inside {
                Slot::Inside(first_field.checked_add(index)?.checked_mul(8)?)
            } else {
                Slot::Array(index.checked_sub(n_inside)?)
            };
            if let Some(access) = text::access(view, key) {
                slots.insert(slot, access);
            }
        }
        Some(slots)
    }
}
