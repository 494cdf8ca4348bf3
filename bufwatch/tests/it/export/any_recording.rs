//! Recordings of any size with any names, as protocol buffers: what is written is well-formed, refers to what is there, and adds up.

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
    profile.assert_samples_are_whole();
    let labels = profile.message.messages(2).into_iter().flat_map(|sample| sample.messages(3));
    assert!(labels.into_iter().all(|label| !profile.text(label.number(1)).is_empty()));
    let n_live = n_live_at_the_end(spec);
    let mib: u64 = (2..).zip(&spec.names).map(|(site, _)| site * n_live).sum();
    assert_eq!(profile.total("inuse_space"), mib << 20);
    assert_eq!(profile.total("inuse_objects"), n_live * spec.names.len() as u64);
    assert!(profile.texts.iter().all(|text| is_harmless(text)), "{:?}", profile.texts);
}

fn assert_trace(spec: &Spec, trace: &Trace) {
    for (at, kind, track, event) in trace.events() {
        assert!(at >= START.0, "{at} is before the session");
        match kind {
            1 | 2 => {}
            3 => assert!(!event.texts(23).is_empty(), "an instant without a name"),
            other => {
                assert_eq!(other, 4, "a value");
                assert_eq!(track.messages(8).len(), 1, "a value that is not of a counter");
            }
        }
        assert!(event.texts(23).iter().all(|text| is_harmless(text)), "{:?}", event.texts(23));
    }
    let slices = trace.slices();
    let n_lives = slices.iter().filter(|(track, ..)| track.texts(2) == ["stores"]).count();
    assert_eq!(n_lives as u64, (spec.n_live + 1) * spec.names.len() as u64);
    let n_without_end = slices.iter().filter(|(_, _, _, end)| end.is_none()).count();
    assert_eq!(n_without_end as u64, n_live_at_the_end(spec) * spec.names.len() as u64);
}

/// Of each site; one dies at the second flush.
const fn n_live_at_the_end(spec: &Spec) -> u64 {
    if spec.n_flushes >= 2 { spec.n_live } else { spec.n_live + 1 }
}

fn is_harmless(text: &str) -> bool {
    !text.chars().any(char::is_control)
}
