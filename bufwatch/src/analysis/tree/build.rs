//! Builds the call tree of a snapshot: one path per site, merged where they read the same.

use std::cmp::Reverse;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::analysis::snapshot::{SiteRow, Snapshot};
use crate::analysis::tree::{FrameLevel, NODES_MAX, Node, NodeId, NodeKind, Shape, Tree, Values};
use crate::base::{FastMap, sanitize};
use crate::event::Frame;

/// Longest cycle of calls that is shown once: `a → b → c → a` is three.
const CYCLE_MAX: usize = 4;

impl Tree {
    pub fn of(snapshot: &Snapshot, shape: Shape) -> Self {
        let stores = &snapshot.stores;
        let total = Values {
            live_bytes: stores.live_bytes.0,
            allocated_bytes: stores.created_bytes.0,
            n_live: stores.n_live,
        };
        let mut tree = Self { shape, total, ..Self::default() };
        let mut sites: Vec<(&SiteRow, Values)> =
            snapshot.sites.iter().map(|site| (site, values(site))).collect();
        // The heaviest first, so that a limit cuts the lightest.
        sites.sort_by_key(|(_, values)| Reverse(values.of(shape.measure)));
        let mut listed = Values::default();
        let mut index = FastMap::default();
        for (site, values) in &sites {
            listed.add(values);
            if values.of(shape.measure) > 0 {
                tree.add(&path(site, shape), values, &mut index);
            }
        }
        // Sites are read after the totals were: the sum may be larger by a moment.
        tree.total.live_bytes = tree.total.live_bytes.max(listed.live_bytes);
        tree.total.allocated_bytes = tree.total.allocated_bytes.max(listed.allocated_bytes);
        tree.total.n_live = tree.total.n_live.max(listed.n_live);
        tree.not_listed = Values {
            live_bytes: tree.total.live_bytes - listed.live_bytes,
            allocated_bytes: tree.total.allocated_bytes - listed.allocated_bytes,
            n_live: tree.total.n_live - listed.n_live,
        };
        tree.sort();
        tree
    }

    fn add<'a>(&mut self, path: &[Step<'a>], values: &Values, index: &mut Index<'a>) {
        let mut parent: Option<usize> = None;
        for step in path {
            let at = match index.get(&(parent, step.key)) {
                Some(at) => *at,
                None if self.nodes.len() >= NODES_MAX => {
                    self.n_cut += 1;
                    break;
                }
                None => {
                    let at = self.nodes.len();
                    let id = self.child_id(parent, &step.key);
                    self.nodes.push(step.node(id, parent));
                    match parent.and_then(|parent| self.nodes.get_mut(parent)) {
                        Some(node) => node.children.push(at),
                        None => self.roots.push(at),
                    }
                    index.insert((parent, step.key), at);
                    at
                }
            };
            if let Some(node) = self.nodes.get_mut(at) {
                node.values.add(values);
                node.is_recursive |= step.is_recursive;
            }
            parent = Some(at);
        }
        if let Some(node) = parent.and_then(|at| self.nodes.get_mut(at)) {
            node.own.add(values);
        }
    }

    /// From the path only: it must be the same in the next tree. No key of the hash is secret, but all that
    /// a collision does is that two rows open together.
    fn child_id(&self, parent: Option<usize>, key: &Key<'_>) -> NodeId {
        let mut hasher = DefaultHasher::new();
        parent.and_then(|at| self.nodes.get(at)).map(|node| node.id).hash(&mut hasher);
        key.hash(&mut hasher);
        NodeId(hasher.finish())
    }

    /// Equal ones in the order of their id, so that rows do not flicker.
    fn sort(&mut self) {
        let measure = self.shape.measure;
        let weight: Vec<(Reverse<u64>, NodeId)> =
            self.nodes.iter().map(|node| (Reverse(node.values.of(measure)), node.id)).collect();
        let by_weight = |at: &usize| weight.get(*at).copied();
        self.roots.sort_by_key(by_weight);
        for node in &mut self.nodes {
            node.children.sort_by_key(by_weight);
        }
    }
}

fn values(site: &SiteRow) -> Values {
    Values {
        live_bytes: site.tally.live_bytes.0,
        allocated_bytes: site.tally.created_bytes.0,
        n_live: site.tally.n_live,
    }
}

/// What makes two nodes with the same parent one: kind, function, script, line of the call, and whether that
/// is exact.
type Key<'a> = (u8, &'a str, Option<&'a str>, Option<u32>, bool);

type Index<'a> = FastMap<(Option<usize>, Key<'a>), usize>;

/// One node of a path.
struct Step<'a> {
    key: Key<'a>,
    frame: Option<&'a Frame>,
    is_recursive: bool,
}

impl<'a> Step<'a> {
    fn of_frame(frame: &'a Frame) -> Self {
        let script = frame.script.as_deref();
        let (kind, is_exact) = (frame.kind as u8, !frame.is_approximate);
        let key = (kind, frame.function.as_ref(), script, frame.line, is_exact);
        Self { key, frame: Some(frame), is_recursive: false }
    }

    /// No frame has these kinds.
    fn of_name(name: &'a str) -> Self {
        Self { key: (u8::MAX, name, None, None, true), frame: None, is_recursive: false }
    }

    fn of_cut() -> Self {
        Self {
            key: (u8::MAX - 1, "… further out, not read", None, None, true),
            frame: None,
            is_recursive: false,
        }
    }

    fn node(&self, id: NodeId, parent: Option<usize>) -> Node {
        let kind = match self.frame {
            Some(frame) => NodeKind::Frame(frame.kind),
            None if self.key.0 == u8::MAX => NodeKind::Name,
            None => NodeKind::Cut,
        };
        let (_, name, ..) = self.key;
        let name = if self.frame.is_some() { String::new() } else { sanitize(name) };
        Node {
            id,
            parent,
            kind,
            frame: self.frame.cloned(),
            name,
            values: Values::default(),
            own: Values::default(),
            is_recursive: false,
            children: Vec::new(),
        }
    }
}

/// The path of a site, root first.
fn path(site: &SiteRow, shape: Shape) -> Vec<Step<'_>> {
    let is_visible = |frame: &&Frame| shape.level.has(frame.kind);
    let innermost = site.frames.iter().position(|frame| shape.level.has(frame.kind));
    let mut steps: Vec<Step<'_>> =
        site.frames.iter().rev().filter(is_visible).map(Step::of_frame).collect();
    if site.is_cut {
        steps.insert(0, Step::of_cut());
    }
    if innermost.is_none() {
        steps.push(Step::of_name(&site.label));
    } else if innermost == site.user_frame && shape.level != FrameLevel::All {
        // The API is not among the visible frames, but it is what the line did.
        steps.extend(site.via.as_deref().map(Step::of_name));
    }
    let mut steps = without_cycles(steps);
    if shape.is_inverted {
        steps.reverse();
    }
    steps
}

/// Recursion as a single turn of its cycle.
fn without_cycles(steps: Vec<Step<'_>>) -> Vec<Step<'_>> {
    let mut kept: Vec<Step<'_>> = Vec::with_capacity(steps.len());
    for step in steps {
        kept.push(step);
        let n = kept.len();
        let is_repeated = |len: &usize| {
            let turn = |start: Option<usize>| {
                start.and_then(|start| kept.get(start..start + len)).into_iter().flatten()
            };
            n >= 2 * len
                && turn(n.checked_sub(2 * len))
                    .map(|step| step.key)
                    .eq(turn(n.checked_sub(*len)).map(|step| step.key))
        };
        if let Some(len) = (1..=CYCLE_MAX).find(is_repeated) {
            kept.truncate(n - len);
            if let Some(turn) = kept.get_mut(n - 2 * len..) {
                for step in turn {
                    step.is_recursive = true;
                }
            }
        }
    }
    kept
}
