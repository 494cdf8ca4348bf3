//! Retained sizes as V8 and DevTools see them: a heap snapshot that Node wrote, and the dominator tree over it. Shares nothing with
//! bufwatch's own way to them.
//!
//! The rules are those of DevTools (`HeapSnapshot.ts`: `isEssentialEdge`, `calculateRetainedSizes`, `markPageOwnedNodes`): weak references
//! retain nothing; shortcuts count only from the root; what is reached from the global object is not retained by V8's own roots; the value
//! of a weak map is retained by its key, not by the map.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    snapshot: Head,
    nodes: Vec<u64>,
    edges: Vec<u64>,
    strings: Vec<String>,
}

#[derive(Deserialize)]
struct Head {
    meta: Meta,
}

#[derive(Deserialize)]
struct Meta {
    node_fields: Vec<String>,
    node_types: Vec<serde_json::Value>,
    edge_fields: Vec<String>,
    edge_types: Vec<serde_json::Value>,
}

/// A node by its number.
#[derive(Debug)]
struct Node {
    kind: Arc<str>,
    name: Arc<str>,
    id: u64,
    size: u64,
    edges: Vec<Edge>,
}

#[derive(Debug)]
struct Edge {
    kind: Arc<str>,
    name: Arc<str>,
    to: usize,
}

/// How many bytes an object retains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Retained {
    pub(crate) total: u64,
    /// Without native nodes, which are the data of array buffers here.
    pub(crate) heap: u64,
}

/// A snapshot with the retained size of each node.
#[derive(Debug)]
pub(crate) struct HeapSnapshot {
    nodes: Vec<Node>,
    retained: Vec<Retained>,
}

impl HeapSnapshot {
    pub(crate) fn read(path: &Path) -> Self {
        let file: File = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let nodes = nodes(&file);
        let retained = retained(&nodes);
        Self { nodes, retained }
    }

    /// The object whose properties include these.
    pub(crate) fn object_with(&self, properties: &[&str]) -> usize {
        let has = |node: &Node, name: &str| {
            node.edges.iter().any(|edge| &*edge.kind == "property" && &*edge.name == name)
        };
        let is_it = |node: &&Node| {
            &*node.kind == "object" && properties.iter().all(|property| has(node, property))
        };
        let found: Vec<&Node> = self.nodes.iter().filter(is_it).collect();
        assert_eq!(found.len(), 1, "objects with {properties:?}: {found:?}");
        self.nodes.iter().position(|node| node.id == found[0].id).unwrap()
    }

    /// Follows references by name.
    pub(crate) fn follow(&self, from: usize, names: &[&str]) -> usize {
        names.iter().fold(from, |at, name| {
            let edges = &self.nodes[at].edges;
            let found = edges.iter().find(|edge| &*edge.name == *name && &*edge.kind != "weak");
            found.unwrap_or_else(|| panic!("no {name} in {edges:?}")).to
        })
    }

    pub(crate) fn name(&self, node: usize) -> &str {
        &self.nodes[node].name
    }

    pub(crate) fn retained(&self, node: usize) -> Retained {
        self.retained[node]
    }

    /// Buffers by the size of the data behind them.
    pub(crate) fn buffers_by_size(&self) -> BTreeMap<u64, Vec<usize>> {
        let to = |node: &Node, name: &str| {
            node.edges.iter().find(|edge| &*edge.name == name).map(|edge| &self.nodes[edge.to])
        };
        let mut buffers: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (number, node) in self.nodes.iter().enumerate() {
            let data = to(node, "buffer").and_then(|buffer| to(buffer, "backing_store"));
            if let Some(data) = data.filter(|_| &*node.name == "Buffer") {
                buffers.entry(data.size).or_default().push(number);
            }
        }
        buffers
    }
}

fn nodes(file: &File) -> Vec<Node> {
    let meta = &file.snapshot.meta;
    let column = |fields: &[String], name: &str| fields.iter().position(|it| it == name).unwrap();
    let of_node = |name| column(&meta.node_fields, name);
    let (kind, name, id) = (of_node("type"), of_node("name"), of_node("id"));
    let (size, n_edges) = (of_node("self_size"), of_node("edge_count"));
    let of_edge = |name| column(&meta.edge_fields, name);
    let (edge_kind, edge_name, to) =
        (of_edge("type"), of_edge("name_or_index"), of_edge("to_node"));
    let n_columns = meta.node_fields.len();
    let strings: Vec<Arc<str>> = file.strings.iter().map(|it| Arc::from(it.as_str())).collect();
    let text = |number: u64| Arc::clone(&strings[number as usize]);
    let kinds = |types: &[serde_json::Value]| -> Vec<Arc<str>> {
        types[0].as_array().unwrap().iter().map(|it| Arc::from(it.as_str().unwrap())).collect()
    };
    let (node_kinds, edge_kinds) = (kinds(&meta.node_types), kinds(&meta.edge_types));
    let mut edges = file.edges.chunks_exact(meta.edge_fields.len()).map(|row| {
        let kind = Arc::clone(&edge_kinds[row[edge_kind] as usize]);
        // Names of the others are numbers, which nobody asks for.
        let has_name = !matches!(&*kind, "element" | "hidden");
        let name = if has_name { text(row[edge_name]) } else { Arc::default() };
        Edge { kind, name, to: row[to] as usize / n_columns }
    });
    let rows = file.nodes.chunks_exact(n_columns);
    let nodes = rows.map(|row| Node {
        kind: Arc::clone(&node_kinds[row[kind] as usize]),
        name: text(row[name]),
        id: row[id],
        size: row[size],
        edges: edges.by_ref().take(row[n_edges] as usize).collect(),
    });
    nodes.collect()
}

/// Reached from a global object, to which the root has shortcuts.
fn of_program(nodes: &[Node]) -> Vec<bool> {
    let mut are_reached = vec![false; nodes.len()];
    let globals = nodes[0].edges.iter().filter(|edge| &*edge.kind == "shortcut");
    let mut waiting: Vec<usize> = globals.map(|edge| edge.to).collect();
    while let Some(node) = waiting.pop() {
        if !std::mem::replace(&mut are_reached[node], true) {
            let edges = nodes[node].edges.iter().filter(|edge| &*edge.kind != "weak");
            waiting.extend(edges.map(|edge| edge.to));
        }
    }
    are_reached
}

/// The references that retain.
fn successors(nodes: &[Node]) -> Vec<Vec<usize>> {
    let of_program = of_program(nodes);
    let retains = |from: usize, edge: &Edge| {
        let is_of_table = edge.name.contains(" pair in WeakMap (table @")
            && edge.name.contains(&format!("(table @{})", nodes[from].id));
        let is_by_root = from == 0 || &*edge.kind != "shortcut" && !is_of_table;
        let is_into_program = from != 0 && of_program[edge.to] && !of_program[from];
        &*edge.kind != "weak" && is_by_root && edge.to != from && !is_into_program
    };
    let all = nodes.iter().enumerate();
    all.map(|(from, node)| {
        node.edges.iter().filter(|edge| retains(from, edge)).map(|edge| edge.to).collect()
    })
    .collect()
}

/// By dominators, after Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm" (2001).
fn retained(nodes: &[Node]) -> Vec<Retained> {
    const NONE: usize = usize::MAX;
    let successors = successors(nodes);
    let order = post_order(&successors);
    let mut place = vec![NONE; nodes.len()];
    let mut predecessors = vec![Vec::new(); nodes.len()];
    for (n, node) in order.iter().enumerate() {
        place[*node] = n;
        for to in &successors[*node] {
            predecessors[*to].push(*node);
        }
    }
    let mut dominator = vec![NONE; nodes.len()];
    dominator[0] = 0;
    let mut has_changed = true;
    while has_changed {
        has_changed = false;
        for node in order.iter().rev().skip(1) {
            let known = predecessors[*node].iter().filter(|it| dominator[**it] != NONE);
            let common = known.copied().reduce(|mut a, mut b| {
                while a != b {
                    if place[a] < place[b] {
                        a = dominator[a];
                    } else {
                        b = dominator[b];
                    }
                }
                a
            });
            let common = common.unwrap_or(NONE);
            has_changed |= dominator[*node] != common;
            dominator[*node] = common;
        }
    }
    let own = |node: &Node| {
        let heap = if &*node.kind == "native" { 0 } else { node.size };
        Retained { total: node.size, heap }
    };
    let mut retained: Vec<Retained> = nodes.iter().map(own).collect();
    for node in order.iter().take(order.len() - 1) {
        let Retained { total, heap } = retained[*node];
        let above = &mut retained[dominator[*node]];
        above.total += total;
        above.heap += heap;
    }
    retained
}

/// Nodes that are reached from the first one, that one last.
fn post_order(successors: &[Vec<usize>]) -> Vec<usize> {
    let mut order = Vec::new();
    let mut are_seen = vec![false; successors.len()];
    are_seen[0] = true;
    let mut way = vec![(0, 0)];
    while let Some((node, n_done)) = way.last_mut() {
        match successors[*node].get(*n_done) {
            Some(next) => {
                *n_done += 1;
                if !std::mem::replace(&mut are_seen[*next], true) {
                    way.push((*next, 0));
                }
            }
            None => {
                order.push(*node);
                way.pop();
            }
        }
    }
    order
}
