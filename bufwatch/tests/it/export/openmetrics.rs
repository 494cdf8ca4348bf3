//! `OpenMetrics` text, checked by its grammar (version 1.0 of it, section "ABNF"), as far as gauges, counters and infos go.

use std::collections::{BTreeMap, BTreeSet};

use crate::export::command::exported_text;
use crate::export::made_up::{HOSTILE, Spec, WALL};

/// A sample: labels by their name, value.
pub(crate) type Samples = Vec<(BTreeMap<String, String>, f64)>;

/// Checks the text, and gives the samples by the name they have. `timestamp`: what all of them carry, if anything.
pub(crate) fn parse(text: &str, timestamp: Option<&str>) -> BTreeMap<String, Samples> {
    let body = text.strip_suffix("# EOF\n").unwrap();
    let (mut samples, mut seen) = (BTreeMap::<String, Samples>::new(), BTreeSet::new());
    let (mut family, mut kind) = (String::new(), String::new());
    for line in body.lines() {
        if let Some(line) = line.strip_prefix("# TYPE ") {
            let (name, of) = line.split_once(' ').unwrap();
            assert!(seen.insert(name.to_owned()), "{name} is described twice");
            assert!(["gauge", "counter", "info"].contains(&of));
            (family, kind) = (name.to_owned(), of.to_owned());
        } else if let Some(unit) = line.strip_prefix(&format!("# UNIT {family} ")) {
            assert!(family.ends_with(&format!("_{unit}")), "{family} does not end in its unit");
        } else if line.starts_with('#') {
            assert!(line.starts_with(&format!("# HELP {family} ")), "{line}");
        } else {
            let suffix = match kind.as_str() {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            let rest = line.strip_prefix(&format!("{family}{suffix}")).unwrap();
            let (labels, rest) = labels(rest);
            let mut words = rest.strip_prefix(' ').unwrap().split(' ');
            let value: f64 = words.next().unwrap().parse().unwrap();
            assert_eq!(words.next(), timestamp);
            assert_eq!(words.next(), None);
            assert!(
                family.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            );
            let known = samples.entry(family.clone()).or_default();
            assert!(known.iter().all(|(other, _)| *other != labels), "twice: {line}");
            known.push((labels, value));
        }
    }
    samples
}

/// `{a="b",c="d\"e"}`, and what follows.
fn labels(text: &str) -> (BTreeMap<String, String>, &str) {
    let mut labels = BTreeMap::new();
    let Some(mut rest) = text.strip_prefix('{') else { return (labels, text) };
    loop {
        let (name, after) = rest.split_once("=\"").unwrap();
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().unwrap() {
                (at, '"') => break at,
                (_, '\\') => match chars.next().unwrap().1 {
                    'n' => value.push('\n'),
                    c => {
                        assert!(c == '"' || c == '\\');
                        value.push(c);
                    }
                },
                (_, c) => value.push(c),
            }
        };
        assert_eq!(labels.insert(name.to_owned(), value), None);
        match after.split_at(end + 1).1.split_at(1) {
            (",", more) => rest = more,
            ("}", more) => return (labels, more),
            (other, _) => assert_eq!(other, ",", "between labels"),
        }
    }
}

fn one(samples: &BTreeMap<String, Samples>, name: &str) -> Option<f64> {
    let found = samples.get(name)?;
    assert_eq!(found.len(), 1, "{name}");
    Some(found[0].1)
}

fn with(samples: &BTreeMap<String, Samples>, name: &str, label: (&str, &str)) -> Option<f64> {
    let labels = BTreeMap::from([(label.0.to_owned(), label.1.to_owned())]);
    samples.get(name)?.iter().find(|it| it.0 == labels).map(|it| it.1)
}

/// The moment that is exported.
fn wall() -> String {
    format!("{}.000", WALL / 1_000_000_000 + 4)
}

#[test]
fn a_moment_is_told_in_the_grammar_of_openmetrics() {
    let folder = tempfile::tempdir().unwrap();
    let recording = Spec::default().record(folder.path());
    let samples = parse(&exported_text(&recording, &["-f", "openmetrics"]), Some(&wall()));
    let mib = f64::from(1 << 20);
    let sites: f64 = (2..2 + HOSTILE.len()).map(|site| site as f64).sum();
    let plain = ("kind", "plain");
    assert_eq!(with(&samples, "bufwatch_backing_stores", plain), Some(36.0));
    assert_eq!(with(&samples, "bufwatch_backing_store_bytes", plain), Some(sites * 3.0 * mib));
    assert_eq!(with(&samples, "bufwatch_backing_store_bytes", ("kind", "wasm")), Some(0.0));
    let resident = with(&samples, "bufwatch_backing_store_resident_bytes", plain);
    assert_eq!(resident, Some(sites * 1.5 * mib));
    assert_eq!(one(&samples, "bufwatch_backing_stores_created"), Some(48.0));
    assert_eq!(one(&samples, "bufwatch_resident_memory_bytes"), Some(4_000.0 * mib));
    assert_eq!(with(&samples, "bufwatch_rss_bytes", ("part", "v8_old")), Some(400.0 * mib));
    assert_eq!(one(&samples, "bufwatch_pinned_bytes"), Some(sites * mib - 16.0 * 12.0 + 1_000.0));
    assert_eq!(one(&samples, "bufwatch_gc_pause_seconds"), Some(0.008));
    assert_eq!(one(&samples, "bufwatch_target_alive"), Some(0.0), "it has exited");
    let verdict = |kind| with(&samples, "bufwatch_verdict", ("verdict", kind));
    assert_eq!((verdict("PINNED_PARENT"), verdict("GC_LAG")), (Some(0.0), Some(0.0)));
    let (labels, _) = &samples["bufwatch_target"][0];
    assert_eq!((labels["pid"].as_str(), labels["node_version"].as_str()), ("7", "24.21.0"));
    assert!(labels["command"].contains("a,b;c d\"e\"\"f'g\\h"), "{labels:?}");
}

#[test]
fn what_nobody_looked_at_has_no_sample() {
    let folder = tempfile::tempdir().unwrap();
    let recording = Spec::without_stores().record(folder.path());
    let samples = parse(&exported_text(&recording, &["-f", "openmetrics"]), Some(&wall()));
    assert_eq!(with(&samples, "bufwatch_backing_stores", ("kind", "plain")), Some(0.0));
    for name in ["bufwatch_pinned_bytes", "bufwatch_freed_resident_bytes", "bufwatch_censuses"] {
        assert!(!samples.contains_key(name), "{name}");
    }
    let verdict = |kind| with(&samples, "bufwatch_verdict", ("verdict", kind));
    assert_eq!((verdict("PINNED_PARENT"), verdict("GC_LAG")), (None, Some(0.0)));
}

#[test]
fn a_finding_is_a_verdict_with_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let spec = Spec { names: vec!["a".to_owned()], n_flushes: 3, ..Spec::default() };
    let text = exported_text(&spec.record(folder.path()), &["-f", "openmetrics"]);
    for line in [
        "bufwatch_verdict{verdict=\"PINNED_PARENT\"} 1 ",
        "bufwatch_verdict_bytes{verdict=\"PINNED_PARENT\"} 5242880 ",
    ] {
        assert!(text.contains(line), "{text}");
    }
}
