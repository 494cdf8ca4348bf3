//! What the user has opened and looks for in the call tree. Changes only in `update`; holds the tree as it
//! was built from the snapshot on screen.

use std::collections::BTreeSet;

use crate::analysis::snapshot::Snapshot;
use crate::analysis::tree::{FrameLevel, NodeId, Shape, Tree, TreeRow};
use crate::tui::app::List;

/// Opened nodes kept at most; beyond, those of paths that are gone are forgotten.
const OPENED_MAX: usize = 50_000;

#[derive(Clone, Debug, Default)]
pub struct TreeView {
    pub shape: Shape,
    pub tree: Tree,
    /// Of the opened nodes, from top to bottom.
    pub rows: Vec<TreeRow>,
    pub list: List<NodeId>,
    pub search: Search,
    opened: BTreeSet<NodeId>,
    /// The kind of tree whose hottest path was opened unasked; once, so that it can be closed.
    opened_for: Option<(bool, FrameLevel)>,
}

/// A search of the tree.
#[derive(Clone, Debug, Default)]
pub struct Search {
    pub text: String,
    /// While it is typed: the text to go back to.
    pub before: Option<String>,
    /// Indices of the nodes found, in the order of their rows.
    pub found: Vec<usize>,
}

impl TreeView {
    /// Builds the tree anew; what was opened and selected stays so.
    pub fn rebuild(&mut self, snapshot: &Snapshot, n_visible: usize) {
        self.tree = Tree::of(snapshot, self.shape);
        if self.opened.len() > OPENED_MAX {
            let known: BTreeSet<NodeId> = self.tree.nodes.iter().map(|node| node.id).collect();
            self.opened.retain(|id| known.contains(id));
        }
        let kind = (self.shape.is_inverted, self.shape.level);
        if self.opened_for != Some(kind) && !self.tree.roots.is_empty() {
            self.opened.extend(self.tree.hot_path());
            self.opened_for = Some(kind);
        }
        self.search.found = self.tree.matches(&self.search.text);
        self.settle(n_visible);
    }

    pub fn set_shape(&mut self, shape: Shape, snapshot: &Snapshot, n_visible: usize) {
        // Paths read the same in either measure, but an inverted one is another.
        if shape.is_inverted != self.shape.is_inverted {
            self.list = List::default();
        }
        self.shape = shape;
        self.rebuild(snapshot, n_visible);
    }

    /// Rows that changed: the list follows its node.
    fn settle(&mut self, n_visible: usize) {
        self.rows = self.tree.rows(&self.opened);
        let keys = self.keys();
        self.list.settle(&keys, n_visible);
    }

    pub fn keys(&self) -> Vec<NodeId> {
        self.rows
            .iter()
            .map(|row| self.tree.nodes.get(row.node).map(|node| node.id).unwrap_or_default())
            .collect()
    }

    pub fn selected(&self) -> Option<TreeRow> {
        self.rows.get(self.list.selected).copied()
    }

    pub fn move_by(&mut self, delta: isize, n_visible: usize) {
        let keys = self.keys();
        self.list.move_by(delta, &keys, n_visible);
    }

    pub fn toggle(&mut self, n_visible: usize) {
        let Some(row) = self.selected() else { return };
        if row.is_open { self.close(row, n_visible) } else { self.open(row, n_visible) }
    }

    /// Opens it; what is open already is entered.
    pub fn expand(&mut self, n_visible: usize) {
        let Some(row) = self.selected() else { return };
        if row.is_open { self.move_by(1, n_visible) } else { self.open(row, n_visible) }
    }

    /// Closes it; what is closed already is left.
    pub fn collapse(&mut self, n_visible: usize) {
        let Some(row) = self.selected() else { return };
        if row.is_open {
            self.close(row, n_visible);
        } else if let Some(parent) = self.tree.nodes.get(row.node).and_then(|node| node.parent) {
            self.select(parent, n_visible);
        }
    }

    pub fn expand_all(&mut self, n_visible: usize) {
        let Some(row) = self.selected() else { return };
        self.opened.extend(self.tree.below(row.node));
        self.hold(row, n_visible);
    }

    pub fn collapse_all(&mut self, n_visible: usize) {
        let root = self.selected().map(|row| {
            let root = self.tree.ancestors(row.node).last().map(|node| node.id);
            root.and_then(|id| self.tree.find(id)).unwrap_or(row.node)
        });
        self.opened.clear();
        self.settle(n_visible);
        if let Some(root) = root {
            self.select(root, n_visible);
        }
    }

    fn open(&mut self, row: TreeRow, n_visible: usize) {
        self.opened.extend(self.tree.chain(row.node));
        self.hold(row, n_visible);
    }

    fn close(&mut self, row: TreeRow, n_visible: usize) {
        if let Some(node) = self.tree.nodes.get(row.node) {
            self.opened.remove(&node.id);
        }
        self.hold(row, n_visible);
    }

    /// The rows change and the selection stays, also at the top.
    fn hold(&mut self, row: TreeRow, n_visible: usize) {
        self.rows = self.tree.rows(&self.opened);
        self.select(row.node, n_visible);
    }

    /// Selects a node, opening what it lies in.
    pub fn select(&mut self, at: usize, n_visible: usize) {
        self.opened.extend(self.tree.ancestors(at).map(|node| node.id));
        self.rows = self.tree.rows(&self.opened);
        if let Some(row) = self.rows.iter().position(|row| row.node == at) {
            let keys = self.keys();
            self.list.select(row, &keys, n_visible);
        }
    }

    /// Looks for another text: all that is found is opened up, the next one from here is selected.
    pub fn set_search(&mut self, text: String, n_visible: usize) {
        self.search.text = text;
        self.search.found = self.tree.matches(&self.search.text);
        let from = self.selected().map(|row| row.node);
        for at in &self.search.found {
            self.opened.extend(self.tree.ancestors(*at).map(|node| node.id));
        }
        self.rows = self.tree.rows(&self.opened);
        if let Some(from) = from {
            self.select(from, n_visible);
        }
        let is_here = from.is_some_and(|from| self.search.found.contains(&from));
        if !is_here {
            self.find_next(true, n_visible);
        }
    }

    /// Selects the next match below or above; at the end it begins again. False if there is none.
    pub fn find_next(&mut self, is_forward: bool, n_visible: usize) -> bool {
        for at in &self.search.found {
            self.opened.extend(self.tree.ancestors(*at).map(|node| node.id));
        }
        let here = self.selected().map(|row| row.node);
        self.rows = self.tree.rows(&self.opened);
        let row_of = |at: usize| self.rows.iter().position(|row| row.node == at);
        let here = here.and_then(row_of).unwrap_or(0);
        let rows: Vec<usize> = self.search.found.iter().filter_map(|at| row_of(*at)).collect();
        let wanted = if is_forward {
            rows.iter().find(|row| **row > here).or(rows.first())
        } else {
            rows.iter().rev().find(|row| **row < here).or(rows.last())
        };
        let Some(at) = wanted.and_then(|row| self.rows.get(*row)).map(|row| row.node) else {
            return false;
        };
        self.select(at, n_visible);
        true
    }

    /// Which of the matches is selected, from 1; `None` if it is none of them.
    pub fn match_number(&self) -> Option<usize> {
        let here = self.selected()?.node;
        self.search.found.iter().position(|at| *at == here).map(|at| at + 1)
    }
}
