//! From a live object to who holds it: the chain of parents that marking left behind, told in the words of a programmer. V8's own parts
//! (tables, arrays of elements, cells) are left out; what a container's key says differs from view to view and has a form without it.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::sync::Arc;

use crate::base::FastMap;
use crate::event::census;
use crate::v8::census::mark::{HeapView, Marks, Parent};
use crate::v8::census::name::Names;
use crate::v8::census::roots::{Root, RootKind};
use crate::v8::census::sizes::{is_array_of_tagged, is_context, is_function, is_receiver};

/// Longest chain followed; a linked list can be longer.
const CHAIN_MAX: usize = 4_096;

/// Steps told: of a longer path the middle is left out.
const STEPS_MAX: usize = 16;

/// Objects of Node's own before the first one of the application that are told, to say what it belongs to.
const STEPS_BEFORE_USER: usize = 2;

/// `OrderedHashMap`: two words of header, three counts, as many words of buckets, then entries of key, value, chain.
const ORDERED_TABLE_HEADER: u64 = 16;

/// What differs between views of the same holder.
const ANY_KEY: &str = "[…]";

/// One step of a path, and the same without keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub text: String,
    pub pattern: String,
}

impl Step {
    fn plain(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { pattern: text.clone(), text }
    }

    fn keyed(text: String) -> Self {
        Self { text, pattern: ANY_KEY.to_owned() }
    }

    fn append(mut self, more: &str) -> Self {
        self.text.push_str(more);
        self.pattern.push_str(more);
        self
    }
}

/// The way from a root to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    pub steps: Arc<[Step]>,
    pub root: census::RootKind,
    /// Something of the application is on it.
    pub is_by_application: bool,
}

/// An object on the way, the root's first.
#[derive(Clone, Copy, Debug)]
struct Link {
    object: usize,
    kind: u64,
}

/// Tells paths; remembers those to containers, since thousands of views may hang on one.
#[derive(Debug)]
pub struct Paths<'a> {
    view: HeapView<'a>,
    marks: &'a Marks,
    pub names: Names<'a>,
    containers: FastMap<usize, Path>,
    slots: FastMap<usize, FastMap<usize, u64>>,
}

impl<'a> Paths<'a> {
    pub fn new(view: HeapView<'a>, marks: &'a Marks) -> Self {
        Self {
            view,
            marks,
            names: Names::new(view),
            containers: FastMap::default(),
            slots: FastMap::default(),
        }
    }

    /// What holds an object directly; objects of one container have all but the last step in common. `None` for one that a root holds.
    pub fn container_of(&self, object: usize) -> Option<usize> {
        match self.marks.parent(self.view.walk, object)? {
            Parent::Object(container) => Some(container),
            Parent::Root(_) => None,
        }
    }

    /// The path to an object, without the object itself.
    pub fn to(&mut self, object: usize) -> Path {
        let Some(container) = self.container_of(object) else {
            let (root, step) = match self.marks.parent(self.view.walk, object) {
                Some(Parent::Root(root)) => (root.kind.shown(), root_step(root)),
                _ => (census::RootKind::default(), Step::plain("not reached")),
            };
            return Path { steps: Arc::new([step]), root, is_by_application: false };
        };
        let before = self.container_path(container);
        let (chain, _) = self.chain(container);
        let last = self.edge(&chain, chain.len(), object);
        match last {
            Some(step) => {
                let steps = before.steps.iter().cloned().chain([step]).collect();
                Path { steps, ..before }
            }
            None => before,
        }
    }

    fn container_path(&mut self, container: usize) -> Path {
        if let Some(known) = self.containers.get(&container) {
            return known.clone();
        }
        let path = self.tell(container);
        self.containers.insert(container, path.clone());
        path
    }

    /// Objects from the root to `object`, and the root.
    fn chain(&self, object: usize) -> (Vec<Link>, Option<Root>) {
        let mut links = Vec::new();
        let mut at = object;
        let mut root = None;
        for _ in 0..CHAIN_MAX {
            links.push(Link { object: at, kind: self.view.kind(at).unwrap_or(0) });
            match self.marks.parent(self.view.walk, at) {
                Some(Parent::Object(parent)) => at = parent,
                Some(Parent::Root(found)) => {
                    root = Some(found);
                    break;
                }
                None => break,
            }
        }
        links.reverse();
        (links, root)
    }

    /// The path to an object and the object.
    fn tell(&mut self, object: usize) -> Path {
        let (links, root) = self.chain(object);
        let user = links.iter().position(|link| self.is_of_application(*link));
        // Node's own part of the way is only told as far as it says what the application's part belongs to.
        let mut steps = Vec::new();
        let start = match user {
            Some(user) => {
                let is_global = links
                    .get(user)
                    .is_some_and(|link| link.kind == self.view.layout.type_property_cell);
                let before = if is_global { 0 } else { STEPS_BEFORE_USER };
                let receivers = links.iter().enumerate().take(user).filter(|(_, link)| {
                    is_receiver(link.kind, self.view.layout)
                        && !is_function(link.kind, self.view.layout)
                        && link.kind != self.view.layout.type_global_object
                });
                let receivers: Vec<usize> = receivers.map(|(n, _)| n).collect();
                let first = receivers.len().saturating_sub(before);
                receivers.get(first).copied().unwrap_or(user)
            }
            None => {
                steps.extend(root.map(root_step));
                0
            }
        };
        for n in start..links.len() {
            let Some(link) = links.get(n).copied() else { break };
            let edge = if n > start { self.edge(&links, n, link.object) } else { None };
            let node = self.node(link);
            let step = match (edge, node) {
                (Some(edge), Some(node)) => Some(edge.append(&format!(" ({node})"))),
                (Some(edge), None) => Some(edge),
                (None, Some(node)) => Some(Step::plain(node)),
                (None, None) => None,
            };
            let Some(step) = step else { continue };
            // A linked list is told once.
            if steps.last() == Some(&step) {
                continue;
            }
            steps.push(step);
        }
        Path {
            steps: shorten(steps).into(),
            root: root.map(|root| root.kind.shown()).unwrap_or_default(),
            is_by_application: user.is_some(),
        }
    }

    fn is_of_application(&mut self, link: Link) -> bool {
        let layout = self.view.layout;
        if link.kind == layout.type_property_cell {
            return true;
        }
        is_function(link.kind, layout)
            && self.names.function(link.object).is_some_and(|name| name.is_user)
    }

    /// An object that is told itself.
    fn node(&mut self, link: Link) -> Option<String> {
        let layout = self.view.layout;
        if link.kind == layout.type_property_cell {
            return Some(format!("global {}", self.names.global(link.object)?));
        }
        if is_function(link.kind, layout) {
            return self.names.function(link.object).map(|name| name.text.to_string());
        }
        if link.kind == layout.type_global_object {
            return Some("globalThis".to_owned());
        }
        if is_receiver(link.kind, layout) {
            return Some(self.names.class_of(link.object).to_string());
        }
        None
    }

    /// How the object before the `n`th of a chain refers to `child`.
    fn edge(&mut self, links: &[Link], n: usize, child: usize) -> Option<Step> {
        let parent = *links.get(n.checked_sub(1)?)?;
        let owner = n.checked_sub(2).and_then(|at| links.get(at)).copied();
        let layout = self.view.layout;
        let offset = self.slot_of(parent, child)?;
        if is_context(parent.kind, layout) {
            let slot = offset.checked_sub(16)? / 8;
            let name = self.names.variable(parent.object, slot)?;
            return Some(Step::plain(format!("variable {name}")));
        }
        if parent.kind == self.view.ephemeron_kind {
            return Some(Step::keyed("[weak key]".to_owned()));
        }
        if is_receiver(parent.kind, layout) && parent.kind != layout.type_global_object {
            return self
                .names
                .field(parent.object, offset)
                .map(|name| Step::plain(format!(".{name}")));
        }
        let owner = owner?;
        let table = self.view.field(owner.object, layout.collection_table);
        if (owner.kind == layout.type_js_map || owner.kind == layout.type_js_set)
            && table == Some(parent.object)
        {
            return Some(self.table_entry(owner, parent.object, offset));
        }
        if !is_receiver(owner.kind, layout) {
            return None;
        }
        let properties = self.view.field(owner.object, layout.object_properties);
        let index = offset.checked_sub(16)? / 8;
        if properties == Some(parent.object) {
            let name = if parent.kind == layout.type_property_array {
                self.names.array_field(owner.object, index)
            } else {
                self.key_before(parent.object, offset)
            };
            return name.map(|name| Step::plain(format!(".{name}")));
        }
        if self.view.field(owner.object, layout.object_elements) == Some(parent.object) {
            return Some(Step::keyed(format!("[{index}]")));
        }
        None
    }

    /// `NameDictionary`: the key stands before the value.
    fn key_before(&mut self, table: usize, offset: u64) -> Option<String> {
        let key = self.view.heap.word_at(table, offset.checked_sub(8)?)?;
        let key = self.names.key(key);
        Some(key.trim_matches('"').to_owned())
    }

    /// Of a Map: key and value; of a Set: key only.
    fn table_entry(&mut self, owner: Link, table: usize, offset: u64) -> Step {
        let layout = self.view.layout;
        if owner.kind == layout.type_js_set {
            return Step::keyed("[member]".to_owned());
        }
        let word = |at: Option<u64>| at.and_then(|at| self.view.heap.word_at(table, at));
        let n_buckets = word(Some(ORDERED_TABLE_HEADER.saturating_add(16)))
            .and_then(|it| crate::v8::object::Tagged(it).as_smi())
            .and_then(|it| u64::try_from(it).ok())
            .unwrap_or(0);
        let entries =
            ORDERED_TABLE_HEADER.saturating_add(24).saturating_add(n_buckets.saturating_mul(8));
        let position = offset.checked_sub(entries).map(|it| it / 8 % 3);
        if position == Some(0) {
            return Step::keyed("[a key]".to_owned());
        }
        match word(offset.checked_sub(8)) {
            Some(key) => Step::keyed(format!("[{}]", self.names.key(key))),
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

/// Of a long path the two ends.
fn shorten(steps: Vec<Step>) -> Vec<Step> {
    if steps.len() <= STEPS_MAX {
        return steps;
    }
    let n_end = STEPS_MAX / 2;
    let n_left_out = steps.len().saturating_sub(n_end).saturating_sub(n_end);
    let tail = steps.iter().skip(n_end.saturating_add(n_left_out)).cloned();
    let gap = Step { text: format!("… {n_left_out} more …"), pattern: "…".to_owned() };
    steps.iter().take(n_end).cloned().chain([gap]).chain(tail).collect()
}

fn root_step(root: Root) -> Step {
    Step::plain(match root.kind {
        RootKind::Isolate => "V8",
        RootKind::GlobalHandle => "held natively",
        RootKind::HandleScope => "a native function that runs now",
        RootKind::Microtask => "a job that waits to run",
        RootKind::Stack | RootKind::Register => "a JavaScript function that runs now",
    })
}
