//! How the dashboard answers to the keys of the census and of findings: lists, pages and the ways between them.

use std::sync::Arc;

use bufwatch::analysis::comparison::HolderChange;
use bufwatch::analysis::query::StoreQuery;
use bufwatch::analysis::snapshot::{CensusLog, JoinedCensus, Snapshot};
use bufwatch::base::{Avma, Bytes};
use bufwatch::event::census::{Census, Holder, HolderGroup, Parent};
use bufwatch::tui::app::{Detail, Screen};
use bufwatch::tui::census::Listing;
use bufwatch::tui::census::order::{HolderSort, ParentSort, unviewed};
use bufwatch::tui::census::rows::{HolderKey, Rows};
use bufwatch::tui::command::Command;
use bufwatch::tui::keymap::Key;
use bufwatch::tui::message::Message;

use crate::fixture;
use crate::updates::Session;

impl Session {
    /// On the census screen, after a census.
    fn judged() -> Self {
        let mut session = Self::new();
        session.arrive(fixture::judged());
        session.press(Key::Char('5'));
        session
    }

    fn rows(&self) -> &Rows {
        self.app.census.rows(&self.app.shown(&self.latest).census).unwrap()
    }

    fn listed_holders(&self) -> Vec<&HolderGroup> {
        self.rows().holders.iter().map(|at| self.rows().holder(*at).unwrap()).collect()
    }

    fn listed_parents(&self) -> Vec<&Parent> {
        self.rows().parents.iter().map(|at| self.rows().parent(*at).unwrap()).collect()
    }
}

#[test]
fn holders_and_parents_are_sorted_by_each_column() {
    let mut session = Session::judged();
    assert!(session.listed_holders().is_sorted_by(|a, b| a.bytes >= b.bytes));
    assert_eq!(session.press(Key::Char('s')), None);
    assert_eq!(session.app.census.holder_order.sort, HolderSort::Wasted);
    let wasted = |group: &HolderGroup| group.bytes.saturating_sub(group.covered);
    assert!(session.listed_holders().is_sorted_by(|a, b| wasted(a) >= wasted(b)));
    session.press(Key::Char('r'));
    assert!(session.listed_holders().is_sorted_by(|a, b| wasted(a) <= wasted(b)));

    session.press(Key::Char('v'));
    assert_eq!(session.app.census.listing, Listing::Parents);
    assert!(session.listed_parents().is_sorted_by(|a, b| a.size >= b.size));
    session.press(Key::Char('s'));
    assert!(session.listed_parents().is_sorted_by(|a, b| unviewed(a) >= unviewed(b)));
    session.write("ss");
    assert_eq!(session.app.census.parent_order.sort, ParentSort::Age);
    let rows = session.rows();
    let ages: Vec<_> =
        rows.parents.iter().map(|at| rows.joined.traced(*at as usize).map(|it| it.age)).collect();
    assert!(ages.is_sorted_by(|a, b| a >= b), "the untraced come last");
    session.press(Key::Char('v'));
    assert_eq!(session.app.census.holder_order.sort, HolderSort::Wasted, "each has its own order");
}

#[test]
fn a_filter_is_about_the_list_on_screen_and_needs_no_session() {
    let mut session = Session::judged();
    session.press(Key::Char('v'));
    session.press(Key::End);
    session.press(Key::Char('/'));
    assert_eq!(session.app.screen, Screen::Census);
    assert!(session.write("size>1mb age>60s .cache").is_empty());
    session.press(Key::Enter);
    let n_all = session.latest.census.last.as_ref().unwrap().census.parents.len();
    let found = session.listed_parents();
    assert!(!found.is_empty() && found.len() < n_all);
    assert!(found.iter().all(|parent| parent.size >= Bytes(1 << 20)));
    assert_eq!(session.app.census.selection(), (0, 0));
    assert_eq!(session.app.query, StoreQuery::default(), "the stores have their own");

    session.press(Key::Char('/'));
    session.press(Key::Ctrl('u'));
    session.write("nothing-like-it");
    assert!(session.listed_parents().is_empty());
    assert_eq!(session.press(Key::Enter), None);
    assert_eq!(session.press(Key::Enter), None, "there is no row to open");
    assert_eq!(session.app.detail, None);
    assert_eq!(session.press(Key::Esc), None);
    assert_eq!(session.listed_parents().len(), n_all);
}

#[test]
fn from_a_holder_to_its_parent_and_back() {
    let mut session = Session::judged();
    session.press(Key::Enter);
    let holder = session.app.detail;
    assert!(matches!(holder, Some(Detail::Holder(_))));
    session.write("nn");
    let held = session.app.census.held.as_ref().unwrap();
    assert_eq!(held.selected, 2);
    let index = held.parents[2];
    let address = session.rows().parent(index).unwrap().address;
    let key = session.rows().joined.traced(index as usize).unwrap().key;

    // Its pages in memory are asked for as those of a store are.
    assert_eq!(session.press(Key::Enter), Some(Command::SetDetail(Some(key))));
    assert_eq!(session.app.detail, Some(Detail::Parent(address)));
    // The holder that led here is gone back to, not opened once more.
    assert_eq!(session.press(Key::Enter), Some(Command::SetDetail(None)));
    assert_eq!((session.app.detail, session.app.trail.len()), (holder, 0));
    session.press(Key::Enter);
    assert_eq!(session.press(Key::Esc), Some(Command::SetDetail(None)));
    assert_eq!(session.app.detail, holder);
    assert_eq!(session.app.census.held.as_ref().unwrap().selected, 2, "still selected");
    assert_eq!(session.press(Key::Esc), None);
    assert_eq!(session.app.detail, None);
}

#[test]
fn a_screen_key_leaves_all_pages() {
    let mut session = Session::judged();
    session.press(Key::Enter);
    session.press(Key::Enter);
    assert_eq!(session.press(Key::Char('1')), Some(Command::SetDetail(None)));
    assert!(session.app.detail.is_none() && session.app.trail.is_empty());
    assert_eq!(session.press(Key::Esc), None);
}

#[test]
fn a_finding_leads_to_its_holder() {
    let mut session = Session::judged();
    session.press(Key::Char('6'));
    let path = session.latest.findings[0].holder.clone();
    session.press(Key::Enter);
    let finding = session.app.detail;
    session.press(Key::Enter);
    let group = session.latest.census.last.as_ref().unwrap();
    let group = group.census.holders.iter().find(|group| group.path == path).unwrap();
    assert_eq!(session.app.detail, Some(Detail::Holder(HolderKey::of(group))));
    session.press(Key::Esc);
    assert_eq!(session.app.detail, finding);
    session.press(Key::Esc);

    session.press(Key::End);
    session.press(Key::Enter);
    let finding = session.app.detail;
    session.press(Key::Enter);
    assert_eq!(session.app.detail, finding, "nobody is known to hold it");
    assert_eq!(session.app.answer.as_deref(), Some("no holder is known"));
}

#[test]
fn a_click_on_the_findings_of_the_overview_opens_them() {
    let mut session = Session::judged();
    session.press(Key::Char('1'));
    session.send(Message::Clicked { column: 20, row: 16 });
    assert_eq!(session.app.screen, Screen::Findings);
    session.send(Message::Clicked { column: 20, row: 4 });
    assert_eq!(session.app.findings.selected, 1);
    session.send(Message::Clicked { column: 20, row: 4 });
    assert!(matches!(session.app.detail, Some(Detail::Finding(_))));
}

#[test]
fn what_grew_is_told() {
    let session = Session::judged();
    let rows = session.rows();
    let largest = rows.holders[0];
    let Some(HolderChange::By { n_parents, bytes }) = rows.change(largest) else { panic!() };
    assert!(n_parents > 0 && bytes == n_parents * (10 << 20));
    let n_new = rows.parents.iter().filter(|at| rows.is_new(**at)).count() as u64;
    assert_eq!(rows.comparison.as_ref().unwrap().n_new, n_new);
    assert!(n_new >= n_parents.unsigned_abs());
}

/// As many as a census may have: `n_parents` of 64 KiB, held by one array.
fn large(n_parents: u64) -> Snapshot {
    let path = vec!["global all (Array)".to_owned(), "[…]".to_owned()];
    let parent = |n| Parent {
        address: Avma(0x10_0000 + n * 0x1_0000),
        size: Bytes(0x1_0000),
        holders: vec![Holder {
            path: vec![path[0].clone(), format!("[{n}]")],
            n_views: 1,
            ..Holder::default()
        }],
        ..Parent::default()
    };
    let census = Census {
        parents: (0..n_parents).map(parent).collect(),
        holders: vec![HolderGroup { path: path.clone(), n_parents, ..HolderGroup::default() }],
        ..Census::default()
    };
    let joined = JoinedCensus { census: Arc::new(census), ..JoinedCensus::default() };
    let census = CensusLog { last: Some(Arc::new(joined)), ..CensusLog::default() };
    Snapshot { census, ..fixture::usual() }
}

#[test]
fn a_large_census_is_put_in_order_once() {
    let mut session = Session::new();
    session.arrive(large(100_000));
    session.press(Key::Char('5'));
    session.press(Key::Char('v'));
    session.press(Key::End);
    assert_eq!(session.app.census.selection().0, 99_999);
    let order = session.rows().parents.as_ptr();
    for _ in 0..20 {
        let next = Snapshot { census: session.latest.census.clone(), ..fixture::usual() };
        session.arrive(next);
        session.press(Key::Up);
    }
    assert_eq!(session.rows().parents.as_ptr(), order, "the rows are those of before");
    assert_eq!(session.app.census.selection().0, 99_979);
    session.press(Key::Char('v'));
    session.press(Key::Enter);
    assert_eq!(session.app.census.held.as_ref().unwrap().parents.len(), 100_000);
}

#[test]
fn the_selection_stays_with_its_row_in_the_next_census() {
    let mut session = Session::judged();
    session.press(Key::Down);
    let chosen = session.listed_holders()[1].path.clone();
    let mut next = fixture::usual();
    let older = session.latest.census.clone();
    next.census =
        fixture::census::take(&fixture::snapshot(20, &StoreQuery::default(), None), &older);
    session.arrive(next);
    let selected = session.app.census.selection().0;
    assert_eq!(session.listed_holders()[selected].path, chosen);

    session.press(Key::Enter);
    session.arrive(Snapshot::blank());
    assert!(session.app.detail.is_some(), "the page says that it is gone");
    session.press(Key::Enter);
    session.press(Key::Esc);
    assert_eq!(session.app.census.selection(), (0, 0));
}

#[test]
fn while_paused_the_census_stays_and_another_can_be_asked_for() {
    let mut session = Session::judged();
    session.press(Key::Char('p'));
    assert_eq!(session.press(Key::Char('c')), Some(Command::TakeCensus));
    let n_before = session.listed_holders().len();
    session.arrive(large(10));
    assert_eq!(session.listed_holders().len(), n_before);
    session.press(Key::Char('p'));
    assert_eq!(session.listed_holders().len(), 1);
}

#[test]
fn rows_are_copied_as_text() {
    let mut session = Session::judged();
    for (keys, expect) in [
        (
            "y",
            "global ingest .sessions (SessionRegistry) .cache (Map) […] (Buffer): holds 5.49 GiB",
        ),
        ("vy", "16.0 MiB wasm at 0x"),
        ("6y", "PINNED_PARENT: 9.58 GiB in 400 parents, high confidence: 400 stores"),
    ] {
        session.write(keys);
        let text = session.app.copied.take().unwrap();
        assert!(text.starts_with(expect), "{text}");
    }
}
