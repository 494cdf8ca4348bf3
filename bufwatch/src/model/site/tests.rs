//! Which stacks are one site, and which sites one group.

use super::*;
use crate::event::FrameKind;

fn frame(kind: FrameKind, function: &str, line: Option<u32>) -> Frame {
    let script = line.map(|_| Arc::from("/srv/a.js"));
    let function = function.into();
    Frame { kind, function, script, line, is_resolved: true, ..Frame::default() }
}

fn js(function: &str, line: u32) -> Frame {
    frame(FrameKind::Js, function, Some(line))
}

fn sites(stacks: &[&[Frame]]) -> (Sites, Vec<SiteId>) {
    let mut sites = Sites::default();
    let mut ids = Vec::new();
    for (n, frames) in stacks.iter().enumerate() {
        let stack = StackId(n as u64 + 1);
        sites.stack_resolved(stack, &frames.to_vec().into(), false);
        ids.push(sites.of_stack(stack));
    }
    (sites, ids)
}

#[test]
fn tiers_and_columns_do_not_make_another_site_but_lines_and_apis_do() {
    let native = |name| frame(FrameKind::Native, name, None);
    let builtin = |name| frame(FrameKind::Builtin, name, None);
    let column = Frame { column: Some(9), ..js("f", 1) };
    let (_, ids) = sites(&[
        &[builtin("CreateTypedArray"), js("f", 1), native("uv_run")],
        &[builtin("TypedArrayConstructor"), builtin("ConstructHandler"), column, native("x")],
        &[builtin("CreateTypedArray"), js("f", 2)],
        &[builtin("ArrayBufferConstructor"), js("f", 1)],
        &[builtin("CreateTypedArray"), js("f", 1), js("g", 5)],
        &[builtin("CreateTypedArray"), Frame { is_approximate: true, ..js("f", 1) }],
    ]);
    assert_eq!(ids[0], ids[1]);
    for other in &ids[2..] {
        assert_ne!(ids[0], *other);
    }
}

#[test]
fn without_javascript_all_frames_count() {
    let native = |name| frame(FrameKind::Native, name, None);
    let (_, ids) = sites(&[&[native("a")], &[native("a")], &[native("a"), native("b")]]);
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2]);
}

#[test]
fn what_is_not_resolved_is_told_apart_by_its_text() {
    let unknown = |text| Frame { is_resolved: false, ..frame(FrameKind::Js, text, None) };
    let (_, ids) =
        sites(&[&[unknown("js#1:2")], &[unknown("js#1:2")], &[unknown("js#1:3")], &[js("f", 1)]]);
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2]);
}

#[test]
fn what_different_lines_began_are_different_sites() {
    use crate::event::AsyncOriginSeen;

    let read = frame(FrameKind::Native, "node::LibuvStreamWrap::OnUvRead", None);
    let (mut sites, ids) = sites(&[&[read], &[js("connect", 7)]]);
    let frames = |line| vec![js("connect", line)].into();
    for (n, line) in [(11, 7), (12, 9), (13, 7)] {
        let (stack, id) = (StackId(100 + n), AsyncOriginId(n));
        sites.async_origins.stack_resolved(stack, &frames(line));
        sites.async_origins.seen(&AsyncOriginSeen { id, stack, parent: AsyncOriginId::NONE });
    }
    let mut of = |origin| sites.of_store(StackId(1), AsyncOriginId(origin));
    let (seven, nine, again, unknown) = (of(11), of(12), of(13), of(99));
    assert_eq!((seven, unknown, of(0)), (again, ids[0], ids[0]));
    assert!(seven != nine && seven != ids[0] && nine != ids[0]);
    let site = sites.get(seven).unwrap();
    assert_eq!(site.origin.label.as_ref(), "connect a.js:7 (async)");
    assert_eq!(site.origin.user_frame, None);
    assert_eq!(site.origin.via.as_deref(), Some("socket data (or pipe, libuv stream read)"));
    // The line that began something is another row than the same line where it allocated.
    let allocated = sites.get(ids[1]).unwrap();
    assert_ne!(site.group, allocated.group);
    assert_ne!(site.stack, allocated.stack);
    // What has a line of its own keeps it.
    let id = sites.of_store(StackId(2), AsyncOriginId(12));
    let site = sites.get(id).unwrap();
    assert_eq!(site.origin.label.as_ref(), "connect a.js:7");
    assert_eq!(site.group, sites.get(ids[1]).unwrap().group);
    assert_ne!(id, ids[1]);
    assert_eq!(site.async_stack.as_ref().unwrap().user_frame().unwrap().line, Some(9));
}

#[test]
fn a_group_is_a_line_and_an_api_and_knows_its_own_peak() {
    let (mut sites, ids) = sites(&[
        &[js("f", 1), js("g", 5)],
        &[js("f", 1), js("h", 7)],
        &[frame(FrameKind::Builtin, "ArrayBufferConstructor", None), js("f", 1)],
    ]);
    let group = |sites: &Sites, at: usize| sites.get(ids[at]).unwrap().group;
    assert_eq!(group(&sites, 0), group(&sites, 1));
    assert_ne!(group(&sites, 0), group(&sites, 2));
    sites.created(ids[0], Bytes(100));
    sites.destroyed(ids[0], Bytes(100), Nanos(1), 0);
    sites.created(ids[1], Bytes(60));
    let id = group(&sites, 0);
    let group = sites.groups().find(|group| group.id == id).unwrap();
    assert_eq!((group.n_sites, group.label.as_ref()), (2, "f a.js:1"));
    assert_eq!((group.tally.live_bytes, group.tally.peak_bytes), (Bytes(60), Bytes(100)));
    assert_eq!((group.tally.n_created, group.tally.lifetimes.n_dead()), (2, 1));
}
