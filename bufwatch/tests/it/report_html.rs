//! `bufwatch report --html`: one file that asks for nothing, in which no name becomes markup. How it looks and that a browser agrees is checked
//! as docs/report.md says; `BUFWATCH_REPORTS=FOLDER` keeps the files that are made here.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::made_recording::{HOSTILE, Made};
use crate::report::bufwatch;

fn html(made: &Made, name: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = made.write(folder.path(), "a.bufwatch");
    let page = folder.path().join("a.html");
    let (file, page) = (file.to_str().unwrap(), page.to_str().unwrap());
    let (code, out, err) = bufwatch(&["report", file, "--html", page]);
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "", ""));
    assert_eq!(fs::metadata(page).unwrap().permissions().mode() & 0o777, 0o600);
    let (code, _, err) = bufwatch(&["report", file, "--html", page]);
    assert_eq!(code, Some(2));
    assert!(err.contains("hint: name another file, or overwrite it with --force"), "{err}");
    let text = fs::read_to_string(page).unwrap();
    let (_, out, _) = bufwatch(&["report", file, "--html", "-"]);
    assert_eq!(out.len(), text.len());
    if let Some(kept) = std::env::var_os("BUFWATCH_REPORTS").map(PathBuf::from) {
        fs::write(kept.join(format!("{name}.html")), &text).unwrap();
    }
    text
}

/// What the page's script is given.
fn data(page: &str) -> Value {
    let (_, rest) = page.split_once("<script type=\"application/json\" id=\"data\">").unwrap();
    let (json, _) = rest.split_once("</script>").unwrap();
    assert!(!json.contains(['<', '>', '&']), "nothing in it can end its element");
    serde_json::from_str(json).unwrap()
}

#[test]
fn names_stay_text_and_the_policy_allows_nothing_else() {
    let page = html(&Made::default(), "hostile");
    let data = data(&page);
    let command = data["command"].as_str().unwrap();
    assert!(command.starts_with("node x'); DROP TABLE store; --</script><img"), "{command}");
    assert!(!command.contains(['\u{1b}', '\u{202e}']));
    assert!(data["findings"][0]["holder"][1].as_str().unwrap().contains("<img src=x"));
    // What is not data is the program's own.
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script").count(), 2);
    assert!(!page.contains("<img") && !page.contains(HOSTILE));
    assert_eq!(page.matches("<style>").count(), 1);
    let policy = "content=\"default-src 'none'; style-src 'sha256-";
    assert!(page.contains(policy) && !page.contains("unsafe-"));
    assert!(!page.contains(" style=") && !page.contains(" onclick"));
}

#[test]
fn ten_thousand_stores_are_in_it_and_what_is_left_out_is_told() {
    let made = Made {
        seconds: 30,
        n_stores: 1_000,
        leak: 100 << 20,
        n_more_sites: 1_500,
        name: "service",
        ..Made::default()
    };
    let page = html(&made, "large");
    let data = data(&page);
    assert_eq!(data["stores"].as_array().unwrap().len(), 20_000);
    assert_eq!(data["n_stores_total"], 30_000);
    assert_eq!(data["sites"].as_array().unwrap().len(), 1_000);
    assert_eq!(data["n_sites_total"], 1_502);
    assert_eq!(data["census"]["parents"].as_array().unwrap().len(), 20_000);
    assert_eq!(data["timeline"]["gcs"].as_array().unwrap().len(), 30);
    assert!(page.len() < 16 << 20, "{} bytes", page.len());
}

#[test]
fn what_is_unknown_is_null() {
    let made = Made { has_census: false, leak: 0, seconds: 2, ..Made::default() };
    let data = data(&html(&made, "little"));
    assert!(data["census"].is_null());
    assert!(data["sites"][0]["p50"].is_object() && data["sites"][0]["resident"].is_null());
    assert!(data["in_short"].as_str().unwrap().contains("there was no census"));
}

#[test]
fn a_folder_that_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = Made::default().write(folder.path(), "a");
    let page = Path::new("/nowhere/at/all/a.html");
    let args = ["report", file.to_str().unwrap(), "--html", page.to_str().unwrap()];
    let (code, _, err) = bufwatch(&args);
    assert_eq!(code, Some(2));
    assert!(err.contains("hint: the folder must exist"), "{err}");
}
