//! Names that a programmer knows for objects in a copied heap: of classes, properties, variables, functions and keys. Names are foreign
//! text: they leave this file sanitized. Which objects lie on a path is not decided here.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::sync::Arc;

use crate::base::{FastMap, sanitize};
use crate::v8::census::copy::HeapCopy;
use crate::v8::census::mark::HeapView;
use crate::v8::census::sizes::{FIRST_NON_STRING, is_context, is_function};
use crate::v8::object::{Heap, Tagged};
use crate::v8::script::ScriptFacts;

/// `DescriptorArray`: words of an entry, key, details, value.
const DESCRIPTOR_BYTES: u64 = 24;

/// Maps from an object's own one back to the one that its constructor made.
const BACK_POINTERS_MAX: usize = 128;

/// From here on names of variables are in a hash table (`kScopeInfoMaxInlinedLocalNamesSize`).
const INLINED_LOCALS_MAX: u64 = 75;
const LOCALS_MAX: u64 = 1 << 16;

/// Hash tables: header of two words, three counts, entries.
const TABLE_ENTRIES_START: u64 = 40;

/// Longest key shown, in characters.
const KEY_CHARS_MAX: usize = 40;

/// Names remembered of each kind; then they are forgotten and read again.
const REMEMBERED_MAX: usize = 1 << 17;

/// Scripts whose lines are known at a time: a source may have megabytes.
const SCRIPTS_MAX: usize = 64;

/// Where an object keeps a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Slot {
    /// Byte offset in the object itself.
    Inside(u64),
    /// Index in its `PropertyArray`.
    Array(u64),
}

/// Names, remembered.
#[derive(Debug)]
pub struct Names<'a> {
    view: HeapView<'a>,
    heap: Heap<'a, HeapCopy>,
    classes: FastMap<usize, Arc<str>>,
    properties: FastMap<usize, Arc<FastMap<Slot, String>>>,
    functions: FastMap<usize, FunctionName>,
    scripts: FastMap<u64, Option<Arc<ScriptFacts>>>,
}

/// The name that V8 inferred for a function, and its range in the script.
type Uncompiled = (Option<String>, Option<(u32, u32)>);

/// A function as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionName {
    /// `parse() server.js:12`.
    pub text: Arc<str>,
    /// Of the application, not of Node or V8.
    pub is_user: bool,
}

impl<'a> Names<'a> {
    pub fn new(view: HeapView<'a>) -> Self {
        Self {
            view,
            heap: Heap::new(view.heap, view.layout),
            classes: FastMap::default(),
            properties: FastMap::default(),
            functions: FastMap::default(),
            scripts: FastMap::default(),
        }
    }

    /// The text of a string or symbol.
    fn text(&self, word: u64) -> Option<String> {
        /// `Symbol::description`.
        const DESCRIPTION: u64 = 16;
        let object = self.view.object(word)?;
        let kind = self.view.kind(object)?;
        if kind < FIRST_NON_STRING {
            return self.heap.name(Tagged(word));
        }
        (kind == FIRST_NON_STRING).then_some(())?;
        self.heap.name(Tagged(self.view.heap.word_at(object, DESCRIPTION)?))
    }

    /// A key of a Map or object as it is shown: `"key 17"`, `17`, the class of an object.
    pub fn key(&mut self, word: u64) -> String {
        if let Some(number) = Tagged(word).as_smi() {
            return number.to_string();
        }
        if let Some(text) = self.text(word) {
            let text = sanitize(&text);
            return if text.chars().count() > KEY_CHARS_MAX {
                let start: String = text.chars().take(KEY_CHARS_MAX).collect();
                format!("\"{start}…\"")
            } else {
                format!("\"{text}\"")
            };
        }
        match self.view.object(word) {
            Some(object) => self.class_of(object).to_string(),
            None => "?".to_owned(),
        }
    }

    /// The class that an object was made by.
    pub fn class_of(&mut self, object: usize) -> Arc<str> {
        let view = self.view;
        let Some(map) = view.heap.word(object).and_then(|word| view.walk.map_of(view.heap, word))
        else {
            return "Object".into();
        };
        if let Some(name) = self.classes.get(&map) {
            return Arc::clone(name);
        }
        let name: Arc<str> = self
            .class_of_prototype(map)
            .or_else(|| self.class_of_constructor(map))
            .filter(|name| !name.is_empty())
            .map_or_else(|| "Object".into(), |name| sanitize(&name).into());
        if self.classes.len() >= REMEMBERED_MAX {
            self.classes.clear();
        }
        self.classes.insert(map, Arc::clone(&name));
        name
    }

    /// What the prototype's own property `constructor` says: right for classes that extend others, as Node's `FastBuffer` does.
    fn class_of_prototype(&mut self, map: usize) -> Option<String> {
        /// `Map::prototype`.
        const PROTOTYPE: u64 = 24;
        let view = self.view;
        let prototype = view.field(map, PROTOTYPE)?;
        let constructor = self.own_property(prototype, "constructor")?;
        self.name_of_function(constructor)
    }

    /// The value of a property that an object has itself.
    pub fn own_property(&mut self, object: usize, name: &str) -> Option<usize> {
        let view = self.view;
        let map = view.walk.map_of(view.heap, view.heap.word(object)?)?;
        let properties = self.properties_of(map);
        let found = properties.iter().find(|(_, it)| it.as_str() == name).map(|(slot, _)| *slot);
        match found {
            Some(Slot::Inside(offset)) => view.field(object, offset),
            Some(Slot::Array(index)) => {
                let array = view.field(object, view.layout.object_properties)?;
                view.field(array, index.checked_mul(8)?.checked_add(16)?)
            }
            None => self.in_dictionary(object, name),
        }
    }

    /// `NameDictionary`: header, counts, and two words of prefix; entries of key, value, details.
    fn in_dictionary(&self, object: usize, name: &str) -> Option<usize> {
        const ENTRIES_MAX: usize = 4_096;
        let view = self.view;
        let table = view.field(object, view.layout.object_properties)?;
        let facts = view.facts(table)?;
        if facts.kind == view.layout.type_property_array || facts.instance_bytes != 0 {
            return None;
        }
        let end = view.end_of(table, facts);
        let words = view.heap.slice(table.saturating_add(5)..end);
        let pairs = words.array_windows::<2>().take(ENTRIES_MAX.saturating_mul(3));
        let mut found = pairs.filter(|[key, _]| {
            view.object(*key)
                .and_then(|it| view.kind(it))
                .is_some_and(|kind| kind < FIRST_NON_STRING)
                && self.text(*key).as_deref() == Some(name)
        });
        let [_, value] = found.next()?;
        let value = view.object(*value)?;
        // A constant property of a dictionary may stand in a cell.
        if view.kind(value)? == view.layout.type_property_cell {
            return view.field(value, 24).or_else(|| view.field(value, 16));
        }
        Some(value)
    }

    fn class_of_constructor(&mut self, map: usize) -> Option<String> {
        let view = self.view;
        let mut at = map;
        for _ in 0..BACK_POINTERS_MAX {
            let next = view.field(at, view.layout.map_constructor)?;
            let kind = view.kind(next)?;
            if is_function(kind, view.layout) {
                return self.name_of_function(next);
            }
            if kind != view.layout.type_map {
                return None;
            }
            at = next;
        }
        None
    }

    /// Only the name, without a place.
    fn name_of_function(&self, function: usize) -> Option<String> {
        let view = self.view;
        is_function(view.kind(function)?, view.layout).then_some(())?;
        let shared = view.field(function, view.layout.function_shared)?;
        let named = view.heap.word_at(shared, view.layout.shared_name_or_scope_info)?;
        let object = view.object(named)?;
        if view.kind(object)? == view.layout.type_scope_info {
            return self.heap.scope_facts(view.heap.address(object)?)?.name;
        }
        self.heap.name(Tagged(named))
    }

    /// The name of the property that an object keeps at this offset.
    pub fn field(&mut self, object: usize, offset: u64) -> Option<String> {
        self.property(object, Slot::Inside(offset))
    }

    /// The name of the property at this index of an object's `PropertyArray`.
    pub fn array_field(&mut self, object: usize, index: u64) -> Option<String> {
        self.property(object, Slot::Array(index))
    }

    fn property(&mut self, object: usize, slot: Slot) -> Option<String> {
        let view = self.view;
        let map = view.walk.map_of(view.heap, view.heap.word(object)?)?;
        self.properties_of(map).get(&slot).cloned()
    }

    /// True if an object has a property, by name or by the description of its symbol, that contains this.
    pub fn has_property_like(&mut self, object: usize, part: &str) -> bool {
        let view = self.view;
        let map = view.heap.word(object).and_then(|word| view.walk.map_of(view.heap, word));
        map.is_some_and(|map| self.properties_of(map).values().any(|name| name.contains(part)))
    }

    fn properties_of(&mut self, map: usize) -> Arc<FastMap<Slot, String>> {
        if let Some(known) = self.properties.get(&map) {
            return Arc::clone(known);
        }
        let properties = Arc::new(self.read_properties(map).unwrap_or_default());
        if self.properties.len() >= REMEMBERED_MAX {
            self.properties.clear();
        }
        self.properties.insert(map, Arc::clone(&properties));
        properties
    }

    fn read_properties(&self, map: usize) -> Option<FastMap<Slot, String>> {
        let (view, layout) = (self.view, self.view.layout);
        let word = |offset| view.heap.word_at(map, offset);
        let bits = word(layout.map_bit_field3)? & 0xffff_ffff;
        let shift = u32::try_from(layout.map_own_descriptors_shift).ok()?;
        let n_own = (bits & layout.map_own_descriptors_mask).checked_shr(shift)?;
        let first_field = word(layout.map_first_field)? & 0xff;
        let n_words = word(layout.map_instance_words)? & 0xff;
        let n_inside = n_words.saturating_sub(first_field);
        let descriptors = view.field(map, layout.map_descriptors)?;
        let mut properties = FastMap::default();
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
            if let Some(name) = self.text(key) {
                properties.insert(slot, sanitize(&name));
            }
        }
        Some(properties)
    }

    /// The variable in a slot of a context.
    pub fn variable(&self, context: usize, slot: u64) -> Option<String> {
        let (view, layout) = (self.view, self.view.layout);
        let scope = view.field(context, 16)?;
        (view.kind(scope)? == layout.type_scope_info).then_some(())?;
        // Contexts of modules have the module itself before the variables (`Context::EXTENSION_INDEX`). MODULE_CONTEXT_TYPE is the
        // seventh of ten kinds of contexts.
        let is_module = layout.type_first_context.checked_add(6) == view.kind(context);
        let first_slot = layout.context_first_slot.checked_add(u64::from(is_module))?;
        let local = slot.checked_sub(first_slot)?;
        let offset = |word: u64| word.checked_mul(8)?.checked_add(8);
        let n_locals =
            Tagged(view.heap.word_at(scope, offset(layout.scope_n_locals)?)?).as_smi()?;
        let n_locals = u64::try_from(n_locals).ok().filter(|n| *n <= LOCALS_MAX)?;
        if local >= n_locals {
            return None;
        }
        let first = offset(layout.scope_first_local)?;
        if n_locals < INLINED_LOCALS_MAX {
            let at = first.checked_add(local.checked_mul(8)?)?;
            return self.text(view.heap.word_at(scope, at)?).map(|name| sanitize(&name));
        }
        // `NameToIndexHashTable`: entries of name and index.
        let table = view.field(scope, first)?;
        let end = view.end_of(table, view.facts(table)?);
        let entries =
            view.heap.slice(table.saturating_add((TABLE_ENTRIES_START / 8) as usize)..end);
        let entry = entries.chunks_exact(2).find_map(|entry| {
            let [name, index] = *entry else { return None };
            let index = Tagged(index).as_smi().and_then(|it| u64::try_from(it).ok())?;
            (index == local && view.object(name).is_some()).then_some(name)
        })?;
        self.text(entry).map(|name| sanitize(&name))
    }

    /// Of the function whose variables a context holds, as its scope names it.
    pub fn function_of_context(&self, context: usize) -> Option<String> {
        let view = self.view;
        is_context(view.kind(context)?, view.layout).then_some(())?;
        let scope = view.field(context, 16)?;
        (view.kind(scope)? == view.layout.type_scope_info).then_some(())?;
        let name = self.heap.scope_facts(view.heap.address(scope)?)?.name?;
        Some(sanitize(&name))
    }

    /// A function with the place where it begins.
    pub fn function(&mut self, function: usize) -> Option<FunctionName> {
        let view = self.view;
        let shared = view.field(function, view.layout.function_shared)?;
        if let Some(known) = self.functions.get(&shared) {
            return Some(known.clone());
        }
        let name = self.read_function(shared);
        if self.functions.len() >= REMEMBERED_MAX {
            self.functions.clear();
        }
        self.functions.insert(shared, name.clone());
        Some(name)
    }

    fn read_function(&mut self, shared: usize) -> FunctionName {
        let facts = self
            .view
            .heap
            .address(shared)
            .and_then(|address| self.heap.function(Tagged(address.0 | 1)));
        let Some(facts) = facts else {
            return FunctionName { text: "function of V8".into(), is_user: false };
        };
        let (inferred, range) = self.of_uncompiled(shared).unwrap_or_default();
        let name = facts.name.as_deref().map(sanitize).or(inferred);
        let name = name.unwrap_or_else(|| "(anonymous)".to_owned());
        let script = self.script(facts.script.0);
        let file = script.as_ref().and_then(|script| script.name.as_deref());
        let is_user = file.is_some_and(|file| !file.starts_with("node:"));
        let text = match file {
            None => format!("{name}()"),
            Some(file) => {
                let file = sanitize(file.strip_prefix("file://").unwrap_or(file));
                let line = script
                    .as_ref()
                    .zip(facts.range.or(range))
                    .and_then(|(script, (start, _))| script.place(start));
                match line {
                    Some((line, _)) => format!("{name}() {file}:{line}"),
                    None => format!("{name}() {file}"),
                }
            }
        };
        FunctionName { text: text.into(), is_user }
    }

    /// `UncompiledData` {inferred name, start, end} of a function that never ran (src/objects/shared-function-info.tq).
    fn of_uncompiled(&self, shared: usize) -> Option<Uncompiled> {
        const INFERRED_NAME: u64 = 8;
        const POSITIONS: u64 = 16;
        let view = self.view;
        let data = view.field(shared, view.layout.shared_function_data)?;
        let name = view.heap.word_at(data, INFERRED_NAME)?;
        (view.kind(view.object(name)?)? < FIRST_NON_STRING).then_some(())?;
        let name = self.heap.name(Tagged(name)).filter(|name| !name.is_empty());
        let positions = view.heap.word_at(data, POSITIONS)?;
        let (start, end) = (positions as u32, (positions >> 32) as u32);
        Some((name.map(|name| sanitize(&name)), (start <= end).then_some((start, end))))
    }

    fn script(&mut self, address: u64) -> Option<Arc<ScriptFacts>> {
        if let Some(known) = self.scripts.get(&address) {
            return known.clone();
        }
        let facts = self.heap.script(crate::base::Avma(address)).map(Arc::new);
        if self.scripts.len() >= SCRIPTS_MAX {
            self.scripts.clear();
        }
        self.scripts.insert(address, facts.clone());
        facts
    }

    /// The name of a global variable's cell.
    pub fn global(&self, cell: usize) -> Option<String> {
        let word = self.view.heap.word_at(cell, self.view.layout.property_cell_name)?;
        self.text(word).map(|name| sanitize(&name))
    }
}
