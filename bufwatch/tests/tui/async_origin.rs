//! Where what Node does for itself was begun: in the pages of a site and of a store, and in the JSON.

use std::sync::Arc;

use bufwatch::analysis::query::StoreQuery;
use bufwatch::analysis::snapshot::{AsyncStack, Snapshot, StoreDetail};
use bufwatch::event::{Frame, FrameKind};
use bufwatch::export::sample_json;
use bufwatch::tui::keymap::Key;

use crate::fixture;
use crate::screens::check;

fn frame(kind: FrameKind, function: &str, place: Option<(&str, u32)>) -> Frame {
    Frame {
        kind,
        function: function.into(),
        script: place.map(|(script, _)| script.into()),
        line: place.map(|(_, line)| line),
        column: place.map(|_| 9),
        is_resolved: true,
        ..Frame::default()
    }
}

/// `fs.readFile` asks how large the file is when it is open, and was itself called by the application.
fn async_stack() -> Arc<AsyncStack> {
    let node = |function, line| frame(FrameKind::Node, function, Some(("node:fs", line)));
    let native = |function| frame(FrameKind::Native, function, None);
    let stated = [
        native("node::fs::NewFSReqCallback"),
        node("readFileAfterOpen", 325),
        native("node::fs::FSReqCallback::Resolve"),
        native("uv_run"),
    ];
    let opened = [
        native("node::fs::NewFSReqCallback"),
        node("readFile", 406),
        frame(FrameKind::Js, "loadTile", Some(("/srv/ingest/node_modules/tiles/load.js", 12))),
        frame(FrameKind::Js, "onRequest", Some(("/srv/ingest/server.js", 40))),
        native("uv_run"),
    ];
    let stacks = vec![stated.into(), opened.into()];
    Arc::new(AsyncStack { stacks, user_frame: 2, app_frame: Some(3) })
}

/// A target that only reads files.
fn snapshot() -> Snapshot {
    let mut snapshot = fixture::usual();
    let group = snapshot.groups.last().unwrap().clone();
    let mut site = snapshot.sites.iter().find(|site| site.group == group.id).unwrap().clone();
    let (label, via) = ("loadTile tiles/load.js:12 (async)", Some("fs.readFile (async)".into()));
    let mut group = group;
    (group.label, group.via, group.heaviest.async_stack) =
        (label.into(), via.clone(), Some(async_stack()));
    (site.label, site.via, site.async_stack) = (label.into(), via, Some(async_stack()));
    snapshot.sites = Arc::from([site]);
    snapshot.groups = Arc::from([group]);
    snapshot
}

#[test]
fn of_a_site() {
    check("site_async", &snapshot(), &[Key::Char('2'), Key::Enter]);
}

#[test]
fn of_a_store() {
    let snapshot = snapshot();
    let site = &snapshot.sites[0];
    let mut row = snapshot.table.rows[0].clone();
    (row.stack, row.site, row.via) = (site.stack, Arc::clone(&site.label), site.via.clone());
    let detail = StoreDetail {
        map: None,
        row,
        is_live: true,
        frames: Arc::clone(&site.frames),
        is_cut: false,
        user_frame: None,
        app_frame: None,
        async_stack: site.async_stack.clone(),
    };
    let mut with_detail = fixture::snapshot(221, &StoreQuery::default(), None);
    with_detail.detail = Some(detail);
    check("store_async", &with_detail, &[Key::Char('4'), Key::Enter]);
}

#[test]
fn in_the_json_its_frames_are_one_list() {
    let sample = sample_json::sample(&snapshot());
    let site = &sample["sites"][0];
    assert_eq!(site["user_frame"], serde_json::Value::Null);
    assert_eq!(site["label"], "loadTile tiles/load.js:12 (async)");
    assert_eq!(site["async_frames"].as_array().unwrap().len(), 9);
    assert_eq!((&site["async_user_frame"], &site["async_app_frame"]), (&6.into(), &7.into()));
    assert_eq!(site["async_frames"][6]["function"], "loadTile");
    // Without it they are not known, and not empty.
    let without = sample_json::sample(&fixture::usual());
    assert_eq!(without["sites"][0].get("async_frames"), Some(&serde_json::Value::Null));
}
