//! How one object on a path refers to the next: by which property, variable, key or slot of its own. Which objects lie on the path, and
//! what they are called, is not decided here.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::FastMap;
use crate::v8::census::mark::HeapView;
use crate::v8::census::name::Names;
use crate::v8::census::property::Slot;
use crate::v8::census::sizes::{is_array_of_tagged, is_context, is_generator, is_receiver};
use crate::v8::census::step::{ANY_KEY, Step};
use crate::v8::census::text;
use crate::v8::object::Tagged;

/// `OrderedHashMap`: two words of header, three counts, as many words of buckets, then entries of key, value, chain.
const ORDERED_TABLE_HEADER: u64 = 16;

/// `JSGeneratorObject::parameters_and_registers` (src/objects/js-generator.tq).
const GENERATOR_REGISTERS: u64 = 72;

/// `JSBoundFunction::bound_arguments` (src/objects/js-function.tq).
const BOUND_ARGUMENTS: u64 = 40;

/// An object on the way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) object: usize,
    pub(super) kind: u64,
}

/// Tells edges; remembers what large containers refer to.
#[derive(Debug)]
pub(super) struct Edges<'a> {
    view: HeapView<'a>,
    slots: FastMap<usize, FastMap<usize, u64>>,
}

impl<'a> Edges<'a> {
    pub(super) fn new(view: HeapView<'a>) -> Self {
        Self { view, slots: FastMap::default() }
    }

    /// How the last of `before`, root's first, refers to `child`; `None` if it is no word of a programmer's.
    pub(super) fn edge(
        &mut self,
        names: &mut Names<'a>,
        before: &[Link],
        child: usize,
    ) -> Option<Step> {
        let (parent, before) = before.split_last()?;
        let parent = *parent;
        let layout = self.view.layout;
        let offset = self.slot_of(parent, child)?;
        if is_context(parent.kind, layout) {
            let slot = offset.checked_sub(16)? / 8;
            let name = names.functions.variable(parent.object, slot)?;
            return Some(Step::plain(format!("variable {name}")));
        }
        if parent.kind == self.view.ephemeron_kind {
            return Some(Step::keyed("[weak key]".to_owned()));
        }
        if parent.kind == layout.type_cell {
            let name = before.iter().rev().find_map(|link| self.exported(*link, parent.object))?;
            return Some(Step::plain(format!("export {name}")));
        }
        if let Some(slot) = self.internal_slot(parent, offset, child) {
            return Some(Step::plain(slot));
        }
        if is_receiver(parent.kind, layout) && parent.kind != layout.type_global_object {
            return names.properties.access(parent.object, Slot::Inside(offset)).map(Step::plain);
        }
        let owner = *before.last()?;
        self.of_part(names, owner, parent, offset)
    }

    /// `part` is an array or table of its owner.
    fn of_part(&self, names: &mut Names<'a>, owner: Link, part: Link, offset: u64) -> Option<Step> {
        let (view, layout) = (self.view, self.view.layout);
        let is_at = |at: u64| view.field(owner.object, at) == Some(part.object);
        if (owner.kind == layout.type_js_map || owner.kind == layout.type_js_set)
            && is_at(layout.collection_table)
        {
            return Some(self.table_entry(names, owner, part.object, offset));
        }
        if !is_receiver(owner.kind, layout) {
            return None;
        }
        let index = offset.checked_sub(16)? / 8;
        if is_at(layout.object_properties) {
            return if part.kind == layout.type_property_array {
                names.properties.access(owner.object, Slot::Array(index)).map(Step::plain)
            } else {
                let key = view.heap.word_at(part.object, offset.checked_sub(8)?)?;
                text::access(view, key).map(Step::plain)
            };
        }
        if is_at(layout.object_elements) {
            let index = match self.sparse_index(part, offset) {
                Some(index) => index.to_string(),
                None => index.to_string(),
            };
            return Some(Step::keyed(format!("[{index}]")));
        }
        if owner.kind == layout.type_bound_function && is_at(BOUND_ARGUMENTS) {
            return Some(Step::plain("[bound argument]"));
        }
        if is_generator(owner.kind, layout) && is_at(GENERATOR_REGISTERS) {
            return Some(Step::plain("[local variable]"));
        }
        None
    }

    /// Parts of objects that are no properties.
    fn internal_slot(&self, parent: Link, offset: u64, child: usize) -> Option<&'static str> {
        let layout = self.view.layout;
        let is_promise_result = || {
            let reaction = self.view.kind(child) == Some(layout.type_promise_reaction);
            offset == 24 && !reaction
        };
        let is_function = || self.view.kind(child).is_some_and(|it| is_receiver(it, layout));
        let kind = parent.kind;
        if kind == layout.type_bound_function {
            // `JSBoundFunction` {function, this, arguments} (src/objects/js-function.tq).
            return match offset {
                24 => Some("[bound function]"),
                32 => Some("[bound this]"),
                _ => None,
            };
        }
        if kind == layout.type_js_promise && is_promise_result() {
            return Some("[result]");
        }
        // `PromiseReaction` {next, handlers, promise} (src/objects/promise.tq).
        if kind == layout.type_promise_reaction && is_function() {
            return Some("[then]");
        }
        // `JSProxy` {target, handler} (src/objects/js-proxy.tq).
        if kind == layout.type_first_receiver {
            return match offset {
                16 => Some("[target]"),
                24 => Some("[handler]"),
                _ => None,
            };
        }
        if kind == layout.type_weak_cell && self.view.kind(child) != Some(kind) {
            return Some("[held value]");
        }
        if kind == layout.type_map && offset == 24 {
            return Some("[prototype]");
        }
        None
    }

    /// The name under which a module exports a variable, which stands in a cell: `Module::exports` is a hash table from names to cells.
    fn exported(&self, module: Link, cell: usize) -> Option<String> {
        /// Words of a `SourceTextModule` before which its exports stand.
        const EXPORTS_BEFORE: usize = 8;
        let view = self.view;
        (module.kind == view.layout.type_source_text_module).then_some(())?;
        let wanted = view.heap.address(cell)?.0 | 1;
        let fields = module.object.saturating_add(1)..module.object.saturating_add(EXPORTS_BEFORE);
        view.heap.slice(fields).iter().find_map(|table| {
            let table = view.object(*table)?;
            let facts = view.facts(table)?;
            is_array_of_tagged(facts.kind, view.layout).then_some(())?;
            let words = view.heap.slice(table..view.end_of(table, facts));
            let found = words.array_windows::<2>().filter(|[_, value]| *value == wanted);
            found.into_iter().find_map(|[key, _]| text::string(view, *key))
        })
    }

    /// Of an array with holes: `NumberDictionary`, entries of key, value, details.
    fn sparse_index(&self, elements: Link, offset: u64) -> Option<u64> {
        let view = self.view;
        (elements.kind != view.layout.type_fixed_array).then_some(())?;
        let key = Tagged(view.heap.word_at(elements.object, offset.checked_sub(8)?)?);
        if let Some(index) = key.as_smi() {
            return u64::try_from(index).ok();
        }
        // `HeapNumber::value`.
        let number = view.object(key.0)?;
        (view.kind(number)? == view.layout.type_heap_number).then_some(())?;
        let value = f64::from_bits(view.heap.word_at(number, 8)?);
        (value >= 0.0 && value <= f64::from(u32::MAX)).then_some(value as u64)
    }

    /// Of a Map: key and value; of a Set: key only.
    fn table_entry(&self, names: &mut Names<'a>, owner: Link, table: usize, offset: u64) -> Step {
        let layout = self.view.layout;
        if owner.kind == layout.type_js_set {
            return Step::keyed("[member]".to_owned());
        }
        let word = |at: Option<u64>| at.and_then(|at| self.view.heap.word_at(table, at));
        let n_buckets = word(Some(ORDERED_TABLE_HEADER.saturating_add(16)))
            .and_then(|it| Tagged(it).as_smi())
            .and_then(|it| u64::try_from(it).ok())
            .unwrap_or(0);
        let entries =
            ORDERED_TABLE_HEADER.saturating_add(24).saturating_add(n_buckets.saturating_mul(8));
        let position = offset.checked_sub(entries).map(|it| it / 8 % 3);
        if position == Some(0) {
            return Step::keyed("[a key]".to_owned());
        }
        match word(offset.checked_sub(8)) {
            Some(key) => Step::keyed(format!("[{}]", names.key(key))),
            None => Step::keyed(ANY_KEY.to_owned()),
        }
    }

    /// Byte offset at which an object refers to another.
    fn slot_of(&mut self, parent: Link, child: usize) -> Option<u64> {
        /// Above this, a container's references are listed once instead of searched for each child.
        const SEARCHED_WORDS: usize = 64;
        let view = self.view;
        let end = view.end_of(parent.object, view.facts(parent.object)?);
        let words = view.heap.slice(parent.object.checked_add(1)?..end);
        let offset = |n: usize| (n as u64).checked_add(1)?.checked_mul(8);
        if words.len() <= SEARCHED_WORDS || !is_array_of_tagged(parent.kind, view.layout) {
            let address = view.heap.address(child)?.0 | 1;
            return offset(words.iter().position(|word| *word == address)?);
        }
        let slots = self.slots.entry(parent.object).or_insert_with(|| {
            let mut slots = FastMap::default();
            for (n, word) in words.iter().enumerate() {
                if let (Some(object), Some(offset)) = (view.object(*word), offset(n)) {
                    // A Map's key may also be its value: the value says more.
                    slots.insert(object, offset);
                }
            }
            slots
        });
        slots.get(&child).copied()
    }
}
