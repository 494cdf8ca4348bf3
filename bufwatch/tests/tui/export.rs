//! The JSON contract and the text of headless runs.

use bufwatch::analysis::snapshot::Snapshot;
use bufwatch::export::{sample_json, sample_text};
use serde_json::{Value, json};

use crate::fixture;

#[test]
fn the_keys_of_the_contract_are_there() {
    let sample = sample_json::sample(&fixture::lossy());
    assert_eq!(sample["schema"], "bufwatch.sample/1");
    assert_eq!(sample["pid"], 4121);
    assert_eq!(sample["node_version"], "22.23.3");
    for key in ["t_ns", "rss_bytes", "array_buffers_bytes"] {
        assert!(sample[key].is_u64(), "{key}");
    }
    let keys =
        ["n_live", "live_bytes", "n_created", "created_bytes", "n_destroyed", "destroyed_bytes"];
    for key in keys {
        assert!(sample["stores"][key].is_u64(), "{key}");
    }
    assert_eq!(sample["lost"]["events"], 12_345);
    assert_eq!(sample["lost"]["reasons"], json!({"ring-full": 12_345, "stack-unreadable": 9}));
    assert!(sample["gc"]["n_minor"].is_u64() && sample["gc"]["n_major"].is_u64());
    assert!(sample["rss_parts"]["v8_heap"].is_u64());
    assert_eq!(sample["findings"], json!([]));
    let site = &sample["sites"][0];
    assert!(site["n_live"].is_u64() && site["live_bytes"].is_u64() && site["n_created"].is_u64());
    assert_eq!(
        site["frames"][3],
        json!({
            "function": "onChunk", "script": "/srv/ingest/ingest.js", "line": 31, "column": 9,
            "kind": "js", "is_approximate": false, "is_resolved": true, "original": null,
        })
    );
    assert_eq!(site["frames"][0]["script"], Value::Null);
    assert_eq!((&site["user_frame"], &site["app_frame"]), (&json!(3), &json!(3)));
    assert_eq!(
        (&site["label"], &site["via"]),
        (&json!("onChunk ingest.js:31"), &json!("Buffer.concat"))
    );
    assert_eq!(
        sample["frames"]["js"],
        json!({"n": 4_120, "n_unresolved": 33, "n_approximate": 16})
    );
    assert!(!sample.to_string().contains('\n'));
}

#[test]
fn what_is_not_known_is_null() {
    let sample = sample_json::sample(&Snapshot::blank());
    for key in ["pid", "node_version", "rss_bytes", "array_buffers_bytes"] {
        assert_eq!(sample[key], Value::Null, "{key}");
    }
    // The objects stay, so that a script may look into them at any time.
    assert!(sample["stores"].as_object().unwrap().values().all(Value::is_null));
    assert_eq!(sample["lost"]["events"], Value::Null);
    assert_eq!(sample["gc"]["n_major"], Value::Null);
    assert_eq!(sample["rss_parts"], json!({}));
    assert_eq!(sample["state"], "attaching");
}

#[test]
fn lines() {
    assert_eq!(sample_text::line(&Snapshot::blank()), "attaching…     RSS –  arrayBuffers –");
    assert_eq!(
        sample_text::line(&fixture::usual()),
        "live 3m41s     RSS 10.1 GiB  arrayBuffers 9.72 GiB  stores 9.68 GiB in 1,258  \
         alloc 232 MiB/s  freed 188 MiB/s  GC 99+11  lost 0"
    );
}

#[test]
fn summaries() {
    insta::assert_snapshot!("summary", sample_text::summary(&fixture::usual()));
    insta::assert_snapshot!("summary_lossy", sample_text::summary(&fixture::lossy()));
    insta::assert_snapshot!("summary_blank", sample_text::summary(&Snapshot::blank()));
}

#[test]
fn a_summary_fits_the_usual_terminal() {
    for snapshot in [fixture::usual(), fixture::lossy()] {
        for line in sample_text::summary(&snapshot).lines() {
            assert!(bufwatch::base::text::width(line) <= 100, "{line}");
        }
    }
}
