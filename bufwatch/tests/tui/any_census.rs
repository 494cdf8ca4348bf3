//! Whatever a census and its findings contain, every screen and page of it can be drawn. What they say is checked elsewhere.

use std::sync::Arc;

use bufwatch::analysis::finding::{Confidence, Finding, FindingKind, Remedy};
use bufwatch::analysis::query::StoreQuery;
use bufwatch::analysis::snapshot::{CensusLog, JoinedCensus};
use bufwatch::base::{Avma, Bytes, Nanos};
use bufwatch::event::census::{Census, Holder, HolderGroup, Parent, ParentKind, View};
use bufwatch::tui::app::App;
use bufwatch::tui::keymap::Key;
use bufwatch::tui::message::Message;
use bufwatch::tui::update::update;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::fixture;
use crate::screens::render;

fn any_bytes() -> impl Strategy<Value = u64> {
    prop_oneof![0..300_u64, any::<u64>(), Just(u64::MAX)]
}

fn any_path() -> impl Strategy<Value = Vec<String>> {
    let step = prop_oneof![
        "[ -~]{0,20}",
        "\\PC{0,200}",
        Just("日本語 (テキスト)".to_owned()),
        Just("[…] (e\u{301}\u{200d}👩‍👩‍👧)".to_owned()),
    ];
    vec(step, 0..8)
}

fn any_parent() -> impl Strategy<Value = Parent> {
    let view = ("\\PC{0,30}", any_bytes(), any_bytes()).prop_map(|(name, offset, length)| View {
        type_name: name.into(),
        offset,
        length: Bytes(length),
    });
    let holder = (any_path(), any_bytes()).prop_map(|(path, n_views)| Holder {
        path,
        n_views,
        ..Holder::default()
    });
    let numbers = (any_bytes(), any_bytes(), any_bytes(), any_bytes());
    (numbers, vec(view, 0..6), vec(holder, 0..4)).prop_map(
        |((address, size, covered, n_views), views, holders)| Parent {
            address: Avma(address),
            size: Bytes(size),
            kind: ParentKind::Pool,
            covered: Bytes(covered),
            n_views,
            views_bytes: Bytes(covered),
            views,
            holders,
            ..Parent::default()
        },
    )
}

fn any_joined() -> impl Strategy<Value = Arc<JoinedCensus>> {
    let group = (any_path(), any_bytes(), any_bytes(), any_bytes()).prop_map(
        |(path, n_parents, bytes, covered)| HolderGroup {
            path,
            n_parents,
            n_views: n_parents,
            bytes: Bytes(bytes),
            covered: Bytes(covered),
            ..HolderGroup::default()
        },
    );
    (vec(any_parent(), 0..6), vec(group, 0..6), vec("\\PC{0,90}", 0..3), any_bytes()).prop_map(
        |(parents, holders, gaps, at)| {
            Arc::new(JoinedCensus {
                taken_at: Nanos(at),
                census: Arc::new(Census { parents, holders, gaps, ..Census::default() }),
                ..JoinedCensus::default()
            })
        },
    )
}

fn any_finding() -> impl Strategy<Value = Finding> {
    let texts = (vec("\\PC{0,90}", 3), vec("\\PC{0,90}", 0..4), any_path());
    (texts, any_bytes(), 0..3_usize).prop_map(|((mut texts, evidence, holder), bytes, sure)| {
        Finding {
            kind: FindingKind::NativeRetained,
            confidence: [Confidence::Low, Confidence::Medium, Confidence::High][sure],
            bytes: Bytes(bytes),
            n_parents: bytes,
            summary: texts.pop().unwrap_or_default(),
            evidence,
            remedy: Remedy { words: texts.pop().unwrap_or_default(), code: texts.pop() },
            site: None,
            via: None,
            holder,
            age: Some(Nanos(bytes)),
            n_major_survived: None,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_census_and_any_finding_can_be_drawn(
        last in any_joined(),
        previous in proptest::option::of(any_joined()),
        findings in vec(any_finding(), 0..4),
        size in (1..200_u16, 1..60_u16),
    ) {
        let census = CensusLog { last: Some(last), previous, ..CensusLog::default() };
        let mut snapshot = fixture::snapshot(5, &StoreQuery::default(), None);
        snapshot.census = census;
        snapshot.findings = findings.into();
        let latest = Arc::new(snapshot);
        let mut app = App::new(size.0, size.1);
        update(&mut app, Message::SnapshotArrived, &latest);
        for key in "15sssssj\nn\n\n5vsssssj\n\n56j\n\n16G\n7G".chars() {
            let key = if key == '\n' { Key::Enter } else { Key::Char(key) };
            update(&mut app, Message::KeyPressed(key), &latest);
            let text = render(&app, &latest, size, false);
            prop_assert_eq!(text.lines().count(), usize::from(size.1));
        }
    }
}
