//! Functions of a copied heap as a programmer knows them: name, file and line, whose they are, and the variables of their scopes.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::sync::Arc;

use crate::base::{Avma, FastMap, sanitize};
use crate::v8::census::mark::HeapView;
use crate::v8::census::sizes::is_function;
use crate::v8::census::text;
use crate::v8::object::{Heap, Tagged};
use crate::v8::script::ScriptFacts;

/// From here on names of variables are in a hash table (`kScopeInfoMaxInlinedLocalNamesSize`).
const INLINED_LOCALS_MAX: u64 = 75;
const LOCALS_MAX: u64 = 1 << 16;

/// Bit of `ScopeInfo::flags` (src/objects/scope-info.tq), the same in V8 10 to 14.
const HAS_EXTENSION_SLOT: u64 = 1 << 26;

/// Hash tables: header of two words, three counts, entries.
const TABLE_ENTRIES_START: u64 = 40;

/// Functions remembered; then they are forgotten and read again.
const REMEMBERED_MAX: usize = 1 << 17;

/// Scripts whose lines are known at a time: a source may have megabytes.
const SCRIPTS_MAX: usize = 64;

/// Who wrote a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Author {
    /// A part of V8 or of native code: it has no script.
    Native,
    Node,
    /// Packages included.
    Application,
}

/// A function as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FunctionName {
    /// `parse() server.js:12`.
    pub(super) text: Arc<str>,
    pub(super) author: Author,
    pub(super) file: Option<Arc<str>>,
}

/// The name that V8 inferred for a function, and its range in the script.
type Uncompiled = (Option<String>, Option<(u32, u32)>);

/// Functions and scripts, remembered.
#[derive(Debug)]
pub(super) struct Functions<'a> {
    view: HeapView<'a>,
    heap: Heap<'a, crate::v8::census::copy::HeapCopy>,
    by_shared: FastMap<usize, FunctionName>,
    scripts: FastMap<u64, Option<Arc<ScriptFacts>>>,
}

impl<'a> Functions<'a> {
    pub(super) fn new(view: HeapView<'a>) -> Self {
        Self {
            view,
            heap: Heap::new(view.heap, view.layout),
            by_shared: FastMap::default(),
            scripts: FastMap::default(),
        }
    }

    /// A function with the place where it begins.
    pub(super) fn function(&mut self, function: usize) -> Option<FunctionName> {
        let view = self.view;
        is_function(view.kind(function)?, view.layout).then_some(())?;
        let shared = view.field(function, view.layout.function_shared)?;
        if let Some(known) = self.by_shared.get(&shared) {
            return Some(known.clone());
        }
        let name = self.read(shared);
        if self.by_shared.len() >= REMEMBERED_MAX {
            self.by_shared.clear();
        }
        self.by_shared.insert(shared, name.clone());
        Some(name)
    }

    fn read(&mut self, shared: usize) -> FunctionName {
        let address = self.view.heap.address(shared);
        let facts = address.and_then(|address| self.heap.function(Tagged(address.0 | 1)));
        let Some(facts) = facts else {
            return FunctionName {
                text: "function of V8".into(),
                author: Author::Native,
                file: None,
            };
        };
        let (inferred, range) = self.of_uncompiled(shared).unwrap_or_default();
        let name = facts.name.as_deref().map(sanitize).or(inferred);
        let name = name.unwrap_or_else(|| "(anonymous)".to_owned());
        // Names and sources of Node's own scripts are outside of the heap, where a copy of it has nothing.
        let script = self.script(facts.script.0);
        let Some(script) = script else {
            return FunctionName {
                text: format!("{name}()").into(),
                author: Author::Node,
                file: None,
            };
        };
        let Some(file) = script.name.as_deref() else {
            let text = format!("{name}() (eval)").into();
            return FunctionName { text, author: Author::Application, file: None };
        };
        let author = if file.starts_with("node:") { Author::Node } else { Author::Application };
        let file = sanitize(file.strip_prefix("file://").unwrap_or(file));
        let line = facts.range.or(range).and_then(|(start, _)| script.place(start));
        let text = match line {
            Some((line, _)) => format!("{name}() {file}:{line}"),
            None => format!("{name}() {file}"),
        };
        FunctionName { text: text.into(), author, file: Some(file.into()) }
    }

    /// `UncompiledData` {inferred name, start, end} of a function that never ran (src/objects/shared-function-info.tq).
    fn of_uncompiled(&self, shared: usize) -> Option<Uncompiled> {
        const INFERRED_NAME: u64 = 8;
        const POSITIONS: u64 = 16;
        let view = self.view;
        let data = view.field(shared, view.layout.shared_function_data)?;
        let name = text::string(view, view.heap.word_at(data, INFERRED_NAME)?)?;
        let positions = view.heap.word_at(data, POSITIONS)?;
        let (start, end) = (positions as u32, (positions >> 32) as u32);
        Some(((!name.is_empty()).then_some(name), (start <= end).then_some((start, end))))
    }

    fn script(&mut self, address: u64) -> Option<Arc<ScriptFacts>> {
        if let Some(known) = self.scripts.get(&address) {
            return known.clone();
        }
        let facts = self.heap.script(Avma(address)).map(Arc::new);
        if self.scripts.len() >= SCRIPTS_MAX {
            self.scripts.clear();
        }
        self.scripts.insert(address, facts.clone());
        facts
    }

    /// Only the name, without a place.
    pub(super) fn short_name(&self, function: usize) -> Option<String> {
        let view = self.view;
        is_function(view.kind(function)?, view.layout).then_some(())?;
        let shared = view.field(function, view.layout.function_shared)?;
        let named = view.heap.word_at(shared, view.layout.shared_name_or_scope_info)?;
        let object = view.object(named)?;
        if view.kind(object)? == view.layout.type_scope_info {
            let name = self.heap.scope_facts(view.heap.address(object)?)?.name?;
            return Some(sanitize(&name));
        }
        text::string(view, named)
    }

    /// Of the function whose variables a context holds, as its scope names it.
    pub(super) fn of_context(&self, context: usize) -> Option<String> {
        let view = self.view;
        let scope = view.field(context, 16)?;
        (view.kind(scope)? == view.layout.type_scope_info).then_some(())?;
        let name = self.heap.scope_facts(view.heap.address(scope)?)?.name?;
        Some(sanitize(&name))
    }

    /// The variable in a slot of a context.
    pub(super) fn variable(&self, context: usize, slot: u64) -> Option<String> {
        let (view, layout) = (self.view, self.view.layout);
        let scope = view.field(context, 16)?;
        (view.kind(scope)? == layout.type_scope_info).then_some(())?;
        // MODULE_CONTEXT_TYPE is the seventh of ten kinds of contexts.
        let is_module = layout.type_first_context.checked_add(6) == view.kind(context);
        // `Context::EXTENSION_INDEX` comes before the variables: a module, or what `eval` adds.
        let flags = view.heap.word_at(scope, layout.scope_flags)?;
        let flags = match Tagged(flags).as_smi() {
            Some(smi) if layout.scope_flags_are_smi == 1 => u64::from(smi.cast_unsigned()),
            _ => flags,
        };
        let has_extension = flags & HAS_EXTENSION_SLOT != 0;
        let first_slot = layout.context_first_slot.checked_add(u64::from(has_extension))?;
        let local = slot.checked_sub(first_slot)?;
        let offset = |word: u64| word.checked_mul(8)?.checked_add(8);
        let n_locals =
            Tagged(view.heap.word_at(scope, offset(layout.scope_n_locals)?)?).as_smi()?;
        let n_locals = u64::try_from(n_locals).ok().filter(|n| *n <= LOCALS_MAX)?;
        if local >= n_locals {
            return None;
        }
        let mut first = offset(layout.scope_first_local)?;
        // Since V8 12 the number of a module's imports and exports comes before the names, in modules only.
        if is_module && Tagged(view.heap.word_at(scope, first)?).as_smi().is_some() {
            first = first.checked_add(8)?;
        }
        if n_locals < INLINED_LOCALS_MAX {
            let at = first.checked_add(local.checked_mul(8)?)?;
            return text::name(view, view.heap.word_at(scope, at)?);
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
        text::name(view, entry)
    }
}
