//! What of a call tree is on screen: the rows that opened nodes make, and finding nodes in it.

use std::collections::BTreeSet;

use crate::analysis::tree::{Node, NodeId, Tree};

/// Matches of a search at most: more than anybody steps through.
pub(super) const MATCHES_MAX: usize = 1_000;

/// Below this share of everything, a path is not opened unasked.
const HOT_SHARE: f64 = 0.5;

/// A node on screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeRow {
    /// Index into the nodes.
    pub node: usize,
    /// Steps to the right. A chain of calls without branches has the same all the way.
    pub indent: usize,
    /// The only one below the row above it.
    pub is_only_child: bool,
    pub is_open: bool,
}

impl Tree {
    /// The rows from top to bottom.
    pub fn rows(&self, opened: &BTreeSet<NodeId>) -> Vec<TreeRow> {
        let mut rows = Vec::new();
        let row =
            |node, indent, is_only_child| TreeRow { node, indent, is_only_child, is_open: false };
        let mut pending: Vec<TreeRow> =
            self.roots.iter().rev().map(|root| row(*root, 0, false)).collect();
        while let Some(mut next) = pending.pop() {
            let Some(node) = self.nodes.get(next.node) else { continue };
            next.is_open = !node.children.is_empty() && opened.contains(&node.id);
            if next.is_open {
                let is_only = node.children.len() == 1;
                let indent = if is_only { next.indent } else { next.indent + 1 };
                pending.extend(node.children.iter().rev().map(|c| row(*c, indent, is_only)));
            }
            rows.push(next);
        }
        rows
    }

    pub fn find(&self, id: NodeId) -> Option<usize> {
        self.nodes.iter().position(|node| node.id == id)
    }

    /// A node and those below it down to where calls branch: what opens with one key.
    pub fn chain(&self, at: usize) -> Vec<NodeId> {
        let mut ids = Vec::new();
        let mut next = self.nodes.get(at);
        while let Some(node) = next {
            ids.push(node.id);
            next = match node.children.as_slice() {
                [only] => self.nodes.get(*only),
                _ => None,
            };
        }
        ids
    }

    /// All nodes below one that have something below them, itself included.
    pub fn below(&self, at: usize) -> Vec<NodeId> {
        let mut ids = Vec::new();
        let mut pending = vec![at];
        while let Some(node) = pending.pop().and_then(|at| self.nodes.get(at)) {
            if !node.children.is_empty() {
                ids.push(node.id);
                pending.extend(&node.children);
            }
        }
        ids
    }

    /// What to open at first: the heaviest path as long as it holds most of everything.
    pub fn hot_path(&self) -> Vec<NodeId> {
        let mut ids = Vec::new();
        let mut next = self.roots.first().and_then(|root| self.nodes.get(*root));
        while let Some(node) = next.filter(|node| self.share(&node.values) >= HOT_SHARE) {
            ids.push(node.id);
            next = node.children.first().and_then(|child| self.nodes.get(*child));
        }
        ids
    }

    pub fn ancestors(&self, at: usize) -> impl Iterator<Item = &Node> {
        let parent = |node: &&Node| node.parent.and_then(|at| self.nodes.get(at));
        let node = self.nodes.get(at);
        std::iter::successors(node.as_ref().and_then(parent), move |node| parent(node))
    }

    /// Nodes whose function, script or place contains `text`, ignoring case, in the order of rows if all were
    /// open; at most [`MATCHES_MAX`].
    pub fn matches(&self, text: &str) -> Vec<usize> {
        let text = text.to_lowercase();
        if text.is_empty() {
            return Vec::new();
        }
        let is_match = |node: &Node| {
            node.text().to_lowercase().contains(&text) || node.full().to_lowercase().contains(&text)
        };
        let mut found = Vec::new();
        let mut pending: Vec<usize> = self.roots.iter().rev().copied().collect();
        while let Some(at) = pending.pop() {
            let Some(node) = self.nodes.get(at) else { continue };
            if is_match(node) {
                found.push(at);
                if found.len() == MATCHES_MAX {
                    break;
                }
            }
            pending.extend(node.children.iter().rev());
        }
        found
    }
}
