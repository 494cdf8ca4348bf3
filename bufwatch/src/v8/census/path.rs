//! From a live object to who holds it: the chain of parents that marking left behind, told in the words of a programmer. V8's own parts
//! (tables, arrays of elements, cells) are left out; what a container's key says differs from view to view and has a form without it.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::sync::Arc;

use crate::base::FastMap;
use crate::event::census::RootKind;
use crate::v8::census::edge::{Edges, Link};
use crate::v8::census::function_name::Author;
use crate::v8::census::mark::{HeapView, Marks, Parent};
use crate::v8::census::name::Names;
use crate::v8::census::roots::Root;
use crate::v8::census::sizes::{
    is_context, is_function, is_generator, is_receiver, is_script_context,
};
use crate::v8::census::step::{Step, shorten};

/// Longest chain followed; a linked list can be longer.
const CHAIN_MAX: usize = 4_096;

/// Objects of Node's own before the first one of the application that are told, to say what it belongs to.
const RECEIVERS_BEFORE_USER: usize = 2;

/// Of a path without anything of the application, the last objects that are told.
const RECEIVERS_OF_NODE: usize = 4;

/// `JSGeneratorObject::function` (src/objects/js-generator.tq).
const GENERATOR_FUNCTION: u64 = 24;

/// The way from a root to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    pub steps: Arc<[Step]>,
    pub root: RootKind,
    /// Something of the application is on it.
    pub is_by_application: bool,
}

/// Tells paths; remembers those to containers, since thousands of views may hang on one.
#[derive(Debug)]
pub struct Paths<'a> {
    view: HeapView<'a>,
    marks: &'a Marks,
    pub names: Names<'a>,
    edges: Edges<'a>,
    containers: FastMap<usize, Path>,
}

impl<'a> Paths<'a> {
    pub fn new(view: HeapView<'a>, marks: &'a Marks) -> Self {
        Self {
            view,
            marks,
            names: Names::new(view),
            edges: Edges::new(view),
            containers: FastMap::default(),
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
                Some(Parent::Root(root)) => (root.kind, root_step(root.kind)),
                _ => (RootKind::default(), Step::plain("not reached")),
            };
            return Path { steps: Arc::new([step]), root, is_by_application: false };
        };
        let before = self.container_path(container);
        let (chain, _) = self.chain(container);
        let last = self.edges.edge(&mut self.names, &chain, object);
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
        // A native context is held by whoever made it; what hangs on it is held by its global object.
        let is_of_context = links.first().is_some_and(|it| self.view.is_native_context(it.kind));
        let root = match root {
            Some(root) if !is_of_context => root.kind,
            _ => RootKind::Isolate,
        };
        let of_node = self.node_module(&links);
        let behind = of_node.map_or(0, |(_, context)| context);
        let is_user = |(n, link): (usize, &Link)| n >= behind && self.is_of_application(*link);
        let user = links.iter().enumerate().map(is_user).position(|it| it);
        let start = self.start_of(&links, user).max(match (user, of_node) {
            (None, Some((function, _))) => function,
            _ => 0,
        });
        let mut steps = Vec::new();
        if user.is_none() && (root != RootKind::Isolate || start == 0) {
            steps.push(root_step(root));
        }
        for (n, link) in links.iter().enumerate().skip(start) {
            let before = links.get(..n).filter(|_| n > start);
            let edge =
                before.and_then(|before| self.edges.edge(&mut self.names, before, link.object));
            let node = self.node(links.get(..n).and_then(<[Link]>::last), *link);
            let step = match (edge, node) {
                (Some(edge), Some(node)) => Some(edge.append(&format!(" ({node})"))),
                (Some(edge), None) => Some(edge),
                (None, Some(node)) => Some(Step::plain(node)),
                (None, None) => None,
            };
            let Some(step) = step else { continue };
            // A linked list is told once; of arrays in arrays, each.
            if !step.is_keyed() && steps.last() == Some(&step) {
                continue;
            }
            steps.push(step);
        }
        Path { steps: shorten(steps).into(), root, is_by_application: user.is_some() }
    }

    /// Node's own part of the way is only told as far as it says what the application's part belongs to.
    fn start_of(&self, links: &[Link], user: Option<usize>) -> usize {
        let layout = self.view.layout;
        let (end, n_told) = match user {
            Some(user) => {
                let kind = links.get(user).map(|link| link.kind);
                let is_global = kind == Some(layout.type_property_cell);
                (user, if is_global { 0 } else { RECEIVERS_BEFORE_USER })
            }
            None => (links.len(), RECEIVERS_OF_NODE),
        };
        let is_told = |link: &Link| {
            is_receiver(link.kind, layout)
                && !is_function(link.kind, layout)
                && link.kind != layout.type_global_object
        };
        let receivers: Vec<usize> =
            (0..end).filter(|n| links.get(*n).is_some_and(is_told)).collect();
        let first = receivers.len().saturating_sub(n_told);
        receivers.get(first).copied().unwrap_or_else(|| user.unwrap_or(0))
    }

    /// The last variable of one of Node's own modules: what is behind it is alive whoever else has led there. The function that it was
    /// reached by, and its context.
    fn node_module(&mut self, links: &[Link]) -> Option<(usize, usize)> {
        /// `Context::PREVIOUS_INDEX`.
        const PREVIOUS: u64 = 24;
        let view = self.view;
        for (n, link) in links.iter().enumerate().rev() {
            let is_outermost = is_context(link.kind, view.layout)
                && view
                    .field(link.object, PREVIOUS)
                    .and_then(|previous| view.kind(previous))
                    .is_some_and(|kind| view.is_native_context(kind));
            if !is_outermost {
                continue;
            }
            let before = links.get(..n)?;
            let function = before.iter().rposition(|it| is_function(it.kind, view.layout));
            let Some(function) = function else { continue };
            let object = links.get(function)?.object;
            let name = self.names.functions.function(object);
            if name.is_some_and(|name| name.author == Author::Node) {
                return Some((function, n));
            }
        }
        None
    }

    fn is_of_application(&mut self, link: Link) -> bool {
        let layout = self.view.layout;
        if link.kind == layout.type_property_cell {
            return self.names.is_global_of_application(link.object);
        }
        // Node's own modules are no scripts and no modules of V8's.
        if link.kind == layout.type_source_text_module || is_script_context(link.kind, layout) {
            return true;
        }
        if let Some(function) = self.function_of(link) {
            let name = self.names.functions.function(function);
            return name.is_some_and(|name| name.author == Author::Application);
        }
        is_receiver(link.kind, layout) && self.names.class(link.object).is_of_application
    }

    /// The function that an object is, or that waits in it.
    fn function_of(&self, link: Link) -> Option<usize> {
        let layout = self.view.layout;
        if is_function(link.kind, layout) {
            return Some(link.object);
        }
        let waiting = is_generator(link.kind, layout);
        waiting.then(|| self.view.field(link.object, GENERATOR_FUNCTION)).flatten()
    }

    /// An object that is told itself; its holder is the link before it.
    fn node(&mut self, before: Option<&Link>, link: Link) -> Option<String> {
        let layout = self.view.layout;
        if link.kind == layout.type_property_cell {
            return Some(format!("global {}", self.names.global(link.object)?));
        }
        if let Some(function) = self.function_of(link) {
            let name = self.names.functions.function(function)?;
            let is_of_module =
                before.is_some_and(|before| before.kind == layout.type_source_text_module);
            if is_generator(link.kind, layout) && is_of_module {
                return Some(format!("module {}", name.file?));
            }
            if is_generator(link.kind, layout) {
                return Some(format!("{}, waiting", name.text));
            }
            return (name.author != Author::Native).then(|| name.text.to_string());
        }
        if link.kind == layout.type_global_object {
            return Some("globalThis".to_owned());
        }
        if is_receiver(link.kind, layout) {
            return Some(self.names.class_of(link.object).to_string());
        }
        None
    }
}

fn root_step(root: RootKind) -> Step {
    Step::plain(match root {
        RootKind::Isolate => "V8",
        RootKind::GlobalHandle | RootKind::TracedHandle | RootKind::EternalHandle => {
            "held natively"
        }
        RootKind::HandleScope => "a native function that runs now",
        RootKind::Microtask => "a job that waits to run",
        RootKind::Stack => "a JavaScript function that runs now",
    })
}
