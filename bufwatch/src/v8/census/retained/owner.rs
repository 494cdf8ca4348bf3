//! The object that a group of views hangs on: the nearest one that all of their paths have in common and that a programmer knows, such as a
//! Map, an array, an object, the variables of a function. Whose retained size is told with the group.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::FastMap;
use crate::v8::census::mark::{HeapView, Marks, Parent};
use crate::v8::census::name::Names;
use crate::v8::census::sizes::{is_context, is_function, is_receiver};

/// Steps of all paths of one group that are followed; a linked list may be long.
const STEPS_MAX: usize = 1 << 22;

/// `None` if a root holds them, or several, or something that belongs to all of the program.
pub(super) fn of(view: HeapView<'_>, marks: &Marks, objects: &[u32]) -> Option<usize> {
    let common = common_holder(view, marks, objects)?;
    let mut at = Some(common);
    for _ in 0..STEPS_MAX {
        let object = at?;
        let kind = view.kind(object)?;
        if view.is_native_context(kind) || kind == view.layout.type_global_object {
            return None;
        }
        if is_known(view, kind) {
            return Some(object);
        }
        at = holder(view, marks, object);
    }
    None
}

/// As it is shown.
pub(super) fn name(view: HeapView<'_>, names: &mut Names<'_>, object: usize) -> String {
    let kind = view.kind(object).unwrap_or(0);
    if kind == view.layout.type_property_cell {
        return names.global(object).map_or("a global".to_owned(), |name| format!("global {name}"));
    }
    if is_context(kind, view.layout) {
        let function = names.functions.of_context(object);
        return function.map_or("variables".to_owned(), |name| format!("variables of {name}()"));
    }
    if is_function(kind, view.layout) {
        return names
            .functions
            .function(object)
            .map_or("Function".to_owned(), |name| name.text.to_string());
    }
    names.class_of(object).to_string()
}

fn holder(view: HeapView<'_>, marks: &Marks, object: usize) -> Option<usize> {
    match marks.parent(view.walk, object)? {
        Parent::Object(holder) => Some(holder),
        Parent::Root(_) => None,
    }
}

/// Receivers are objects, arrays, Maps, functions; contexts hold variables.
fn is_known(view: HeapView<'_>, kind: u64) -> bool {
    let layout = view.layout;
    is_receiver(kind, layout) || is_context(kind, layout) || kind == layout.type_property_cell
}

/// The first object that the ways from all of these to a root have in common, none of these itself.
fn common_holder(view: HeapView<'_>, marks: &Marks, objects: &[u32]) -> Option<usize> {
    let (first, others) = objects.split_first()?;
    // For each object seen, how far up the first one's way it leads.
    let mut way = Vec::new();
    let mut seen: FastMap<usize, usize> = FastMap::default();
    let mut next = holder(view, marks, *first as usize);
    while let Some(object) = next {
        if way.len() >= STEPS_MAX {
            return None;
        }
        seen.insert(object, way.len());
        way.push(object);
        next = holder(view, marks, object);
    }
    let mut common = 0;
    let mut passed = Vec::new();
    for object in others {
        let mut next = holder(view, marks, *object as usize);
        let met = loop {
            let at = next?;
            if let Some(met) = seen.get(&at) {
                break *met;
            }
            if seen.len().saturating_add(passed.len()) >= STEPS_MAX {
                return None;
            }
            passed.push(at);
            next = holder(view, marks, at);
        };
        seen.extend(passed.drain(..).map(|at| (at, met)));
        common = met.max(common);
    }
    way.get(common).copied()
}
