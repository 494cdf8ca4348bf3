//! The report as one HTML file. Its policy allows the style and the script of this program by their hashes and nothing else: no request, no
//! other code, whatever the names in the recording are.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::analysis::post_mortem::PostMortem;
use crate::export::report::data::data;

const PAGE: &str = include_str!("assets/report.html");
const STYLE: &str = include_str!("assets/report.css");

/// One script; each file declares functions, the last one calls them.
const SCRIPTS: [&str; 5] = [
    include_str!("assets/words.js"),
    include_str!("assets/table.js"),
    include_str!("assets/timeline.js"),
    include_str!("assets/flame.js"),
    include_str!("assets/page.js"),
];

/// `file` is the name of the recording.
pub fn to_html(told: &PostMortem, file: &str) -> String {
    let script = format!("'use strict';\n{}", SCRIPTS.concat());
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(&script)
    );
    let values = [
        ("POLICY", policy.as_str()),
        ("STYLE", STYLE),
        ("SCRIPT", &script),
        ("DATA", &escaped(told, file)),
    ];
    fill(PAGE, &values)
}

/// As a policy names what it allows.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text.as_bytes())))
}

/// JSON in which no character can end the element that it stands in, or begin another.
fn escaped(told: &PostMortem, file: &str) -> String {
    let json = data(told, file).to_string();
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// Replaces each `{{NAME}}` of the page, once; what is put in is not looked at again.
fn fill(page: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((name, after)) = after.split_once("}}") else { break };
        let value = values.iter().find(|(known, _)| *known == name);
        out.push_str(value.map_or("", |(_, value)| value));
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_is_not_filled_again() {
        let values = [("A", "{{B}}"), ("B", "b")];
        assert_eq!(fill("<{{A}}|{{B}}|{{C}}>", &values), "<{{B}}|b|>");
    }

    #[test]
    fn a_hash_is_that_of_the_standard() {
        // `printf abc | openssl dgst -sha256 -binary | base64`
        assert_eq!(hash("abc"), "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    }

    #[test]
    fn the_page_asks_for_nothing_from_outside() {
        for asset in [PAGE, STYLE].iter().chain(&SCRIPTS) {
            for word in [
                "http:",
                "https:",
                "//cdn",
                "@import",
                "url(",
                "innerHTML",
                "eval(",
                "document.write",
            ] {
                assert!(!asset.replace("http://www.w3.org/2000/svg", "").contains(word), "{word}");
            }
        }
    }
}
