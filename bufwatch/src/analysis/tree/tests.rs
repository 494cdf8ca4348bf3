//! The tree of small snapshots.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::analysis::snapshot::{GroupId, SiteId, SiteRow, Snapshot, TallyRow};
use crate::base::{Bytes, StackId};
use crate::event::Frame;
use crate::model::origin::Origin;

/// Frames like `n:concat` (Node), `b:CreateTypedArray`, `c:uv_run` (native) or `f:31` (the application).
fn frame(text: &str) -> Frame {
    let (first, second) = text.split_once(':').unwrap();
    let (kind, function, line) = match first {
        "n" => (FrameKind::Node, second, Some(1)),
        "b" => (FrameKind::Builtin, second, None),
        "c" => (FrameKind::Native, second, None),
        _ => (FrameKind::Js, first, second.parse().ok()),
    };
    let script = match kind {
        FrameKind::Js => Some(Arc::from("/srv/App.js")),
        FrameKind::Node => Some(Arc::from("node:buffer")),
        FrameKind::Builtin | FrameKind::Native => None,
    };
    Frame { kind, function: function.into(), script, line, is_resolved: true, ..Frame::default() }
}

fn snapshot(stacks: &[(&str, u64, u64)]) -> Snapshot {
    let mut snapshot = Snapshot::blank();
    let site = |(n, (stack, live, created)): (usize, &(&str, u64, u64))| {
        let is_cut = stack.ends_with(" cut");
        let frames: Arc<[Frame]> =
            stack.trim_end_matches(" cut").split_whitespace().map(frame).collect();
        let origin = Origin::of(&frames);
        SiteRow {
            id: SiteId::OTHERS,
            async_stack: None,
            stack: StackId(n as u64),
            frames,
            is_cut,
            group: GroupId(0),
            user_frame: origin.user_frame,
            app_frame: origin.app_frame,
            label: origin.label,
            via: origin.via,
            tally: TallyRow {
                n_live: 1,
                live_bytes: Bytes(*live),
                created_bytes: Bytes(*created),
                ..TallyRow::default()
            },
        }
    };
    snapshot.sites = stacks.iter().enumerate().map(site).collect();
    snapshot.stores.live_bytes = Bytes(1_000);
    snapshot
}

/// All rows, opened: two blanks a step, `>` for an only child, the value, `*` for recursion.
fn picture(tree: &Tree) -> Vec<String> {
    let opened: BTreeSet<NodeId> = tree.nodes.iter().map(|node| node.id).collect();
    let row = |row: TreeRow| {
        let node = &tree.nodes[row.node];
        let only = if row.is_only_child { "> " } else { "" };
        let recursive = if node.is_recursive { " *" } else { "" };
        let value = tree.measured(&node.values);
        format!("{}{only}{} {value}{recursive}", "  ".repeat(row.indent), node.text())
    };
    tree.rows(&opened).into_iter().map(row).collect()
}

fn tree(stacks: &[(&str, u64, u64)], shape: Shape) -> Tree {
    Tree::of(&snapshot(stacks), shape)
}

const STACKS: [(&str, u64, u64); 4] = [
    ("c:attach n:concat f:1 main:9 c:uv_run", 700, 700),
    ("b:ArrayBufferConstructor g:2 main:9 c:uv_run", 200, 5_000),
    ("n:concat g:3 main:9 c:uv_run", 50, 50),
    ("c:node::LibuvStreamWrap::OnUvRead c:uv_run", 0, 900),
];

#[test]
fn callers_are_above_what_they_call_and_the_heaviest_is_first() {
    assert_eq!(
        picture(&tree(&STACKS, Shape::default())),
        [
            "main App.js:9 950",
            "  f App.js:1 700",
            "  > concat node:buffer:1 700",
            "  g App.js:2 200",
            "  > new ArrayBuffer 200",
            "  g App.js:3 50",
            "  > concat node:buffer:1 50",
        ]
    );
}

#[test]
fn inverted_the_allocation_is_above_its_callers() {
    let shape = Shape { is_inverted: true, level: FrameLevel::Application, ..Shape::default() };
    assert_eq!(
        picture(&tree(&STACKS, shape)),
        [
            "Buffer.concat 750",
            "  f App.js:1 700",
            "  > main App.js:9 700",
            "  g App.js:3 50",
            "  > main App.js:9 50",
            "new ArrayBuffer 200",
            "> g App.js:2 200",
            "> main App.js:9 200",
        ]
    );
}

#[test]
fn other_measures_and_levels_make_other_trees() {
    let shape = Shape { measure: Measure::Allocated, level: FrameLevel::All, ..Shape::default() };
    let tree = tree(&STACKS, shape);
    let picture = picture(&tree);
    assert_eq!(picture[..3], ["uv_run 6650", "  main App.js:9 5750", "    g App.js:2 5000"]);
    assert!(picture.contains(&"  node::LibuvStreamWrap::OnUvRead 900".to_owned()), "{picture:?}");
    assert_eq!(tree.nodes[tree.roots[0]].own.allocated_bytes, 0);
}

#[test]
fn what_has_no_visible_frame_is_named_and_what_is_cut_says_so() {
    let stacks = [("c:node::LibuvStreamWrap::OnUvRead c:uv_run", 5, 5), ("f:1 main:2 cut", 3, 3)];
    let picture = picture(&tree(&stacks, Shape::default()));
    assert_eq!(picture[0], "socket data (or pipe, libuv stream read) 5");
    assert_eq!(picture[1..], ["… further out, not read 3", "> main App.js:2 3", "> f App.js:1 3"]);
}

#[test]
fn recursion_is_one_turn_of_its_cycle() {
    let stacks = [
        ("leaf:1 walk:7 walk:7 walk:7 main:1", 10, 10),
        ("leaf:1 b:x odd:2 even:3 odd:2 even:3 odd:2 even:3 main:1", 8, 8),
        ("leaf:1 walk:7 walk:7 main:1", 4, 4),
    ];
    assert_eq!(
        picture(&tree(&stacks, Shape::default())),
        [
            "main App.js:1 22",
            "  walk App.js:7 14 *",
            "  > leaf App.js:1 14",
            "  even App.js:3 8 *",
            "  > odd App.js:2 8 *",
            "  > leaf App.js:1 8",
        ]
    );
}

#[test]
fn a_path_keeps_its_id_and_shares_are_of_everything() {
    let (one, two) = (tree(&STACKS, Shape::default()), tree(&STACKS[..2], Shape::default()));
    let id = |tree: &Tree| tree.nodes[tree.matches("f app.JS:1")[0]].id;
    assert_eq!(id(&one), id(&two));
    assert!((one.share(&one.nodes[one.roots[0]].values) - 0.95).abs() < 1e-9);
    assert_eq!(one.not_listed.live_bytes, 50);
}

#[test]
fn opening_and_finding() {
    let tree = tree(&STACKS, Shape::default());
    assert_eq!(tree.rows(&BTreeSet::new()).len(), 1);
    let hot: BTreeSet<NodeId> = tree.hot_path().into_iter().collect();
    let shown: Vec<_> = tree.rows(&hot).iter().map(|row| tree.nodes[row.node].text()).collect();
    assert_eq!(
        shown,
        ["main App.js:9", "f App.js:1", "concat node:buffer:1", "g App.js:2", "g App.js:3"]
    );
    let found = tree.matches("/SRV/app.js:3");
    assert_eq!(found.len(), 1, "the whole path is searched");
    let ancestors: Vec<_> = tree.ancestors(found[0]).map(Node::text).collect();
    assert_eq!(ancestors, ["main App.js:9"]);
    assert_eq!(tree.chain(found[0]).len(), 2);
    assert_eq!(tree.below(tree.roots[0]).len(), 4);
    assert!(tree.matches("").is_empty());
}

#[test]
fn there_is_an_end_to_it() {
    let stacks: Vec<(String, u64, u64)> = (0..1_000_u64)
        .map(|n| ((0..40).map(|d| format!("f{n}:{d}")).collect::<Vec<_>>().join(" "), 1_000 - n, 1))
        .collect();
    let borrowed: Vec<(&str, u64, u64)> =
        stacks.iter().map(|(stack, live, created)| (stack.as_str(), *live, *created)).collect();
    let tree = tree(&borrowed, Shape::default());
    assert_eq!((tree.nodes.len(), tree.n_cut), (NODES_MAX, 500));
}
