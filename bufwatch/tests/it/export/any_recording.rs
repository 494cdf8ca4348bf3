//! Recordings of any size with any names, as protocol buffers: what is written is well-formed, refers to what is there, and adds up.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::export::command::exported;
use crate::export::made_up::{START, Spec};
use crate::export::perfetto::Trace;
use crate::export::profiles::Pprof;

/// Control characters, quotes and what else `any` does not like to make.
fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[\\x00-\\x1f\"'\\\\;<>&%]{0,12}", "[a-z]{0,3}", "\\PC{300}"]
}

prop_compose! {
    fn any_spec()(
        names in prop::collection::vec(any_name(), 0..16),
        n_live in 0..5_u64,
        n_flushes in 1..7_u64,
        has_census in any::<bool>(),
        is_ended in any::<bool>(),
    ) -> Spec {
        Spec { names, n_live, n_flushes, has_census, is_ended }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_recording_is_a_profile_and_a_trace(spec in any_spec()) {
        let folder = tempfile::tempdir().unwrap();
        let recording = spec.record(folder.path());
        assert_profile(&spec, &Pprof::read(&exported(&recording, &["-f", "pprof"])));
        assert_trace(&spec, &Trace::read(&exported(&recording, &["-f", "perfetto"])));
    }
}

fn assert_profile(spec: &Spec, profile: &Pprof) {
    let n_types = profile.types().len();
    let places = profile.places();
    for sample in profile.message.messages(2) {
        assert_eq!(sample.list(2).len(), n_types);
        let locations = sample.list(1);
        assert!(!locations.is_empty() && locations.iter().all(|id| places.contains_key(id)));
        for label in sample.messages(3) {
            assert_ne!(profile.text(label.number(1)), "");
        }
    }
    let n_live = if spec.n_flushes >= 2 { spec.n_live } else { spec.n_live + 1 };
    let mib: u64 = (2..).zip(&spec.names).map(|(site, _)| site * n_live).sum();
    assert_eq!(profile.total("inuse_space"), mib << 20);
    assert_eq!(profile.total("inuse_objects"), n_live * spec.names.len() as u64);
    let are_harmless =
        profile.texts.iter().flat_map(|text| text.chars()).all(|it| !it.is_control());
    assert!(are_harmless, "{:?}", profile.texts);
}

fn assert_trace(spec: &Spec, trace: &Trace) {
    let mut open: BTreeMap<u64, u64> = BTreeMap::new();
    let mut n_lives = 0;
    for (at, kind, track, event) in trace.events() {
        assert!(at >= START.0, "{at} is before the session");
        let uuid = event.number(11);
        match kind {
            1 => {
                assert_eq!(open.insert(uuid, at), None, "slices of a track overlap");
                n_lives += usize::from(track.texts(2) == ["stores"]);
            }
            2 => {
                let from = open.remove(&uuid);
                assert!(from.is_some_and(|from| from <= at), "an end without a start");
            }
            3 => assert!(!event.texts(23).is_empty(), "an instant without a name"),
            other => {
                assert_eq!(other, 4, "a value");
                assert_eq!(track.messages(8).len(), 1, "a value that is not of a counter");
            }
        }
        let is_harmless = |text: &String| !text.chars().any(char::is_control);
        assert!(event.texts(23).iter().all(is_harmless), "{:?}", event.texts(23));
    }
    assert_eq!(n_lives as u64, (spec.n_live + 1) * spec.names.len() as u64);
    let n_alive = if spec.n_flushes >= 2 { spec.n_live } else { spec.n_live + 1 };
    assert_eq!(open.len() as u64, n_alive * spec.names.len() as u64);
}
