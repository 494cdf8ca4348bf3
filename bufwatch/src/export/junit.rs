//! What became of limits, as `JUnit` XML for continuous integration and as JSON (schema `bufwatch.check/1`).

use serde_json::{Value, json};

use crate::analysis::limits::{Judged, Verdict};
use crate::base::Nanos;
use crate::base::sanitize::sanitize_to;

/// Characters of one text.
const TEXT_MAX: usize = 4_096;

/// One test case for each limit; a limit that could not be judged is an error, not a failure.
pub fn to_xml(judged: &[Judged], subject: &str, took: Nanos) -> String {
    let n = |verdict| judged.iter().filter(|it| it.verdict == verdict).count();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"bufwatch check\" tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{:.3}\">\n",
        judged.len(),
        n(Verdict::Breached),
        n(Verdict::Unknown),
        took.as_secs_f64()
    );
    for it in judged {
        let (name, class, text) = (escaped(it.name), escaped(subject), escaped(&it.text));
        let case = format!("    <testcase name=\"{name}\" classname=\"{class}\" time=\"0\"");
        let inside = match it.verdict {
            Verdict::Kept => format!("<system-out>{text}</system-out>"),
            Verdict::Breached => format!("<failure message=\"{text}\" type=\"breach\"/>"),
            Verdict::Unknown => format!("<error message=\"{text}\" type=\"unknown\"/>"),
        };
        xml = format!("{xml}{case}>{inside}</testcase>\n");
    }
    format!("{xml}  </testsuite>\n</testsuites>\n")
}

/// What XML 1.0 allows: no control characters, not even escaped.
fn escaped(text: &str) -> String {
    let safe = sanitize_to(text, TEXT_MAX).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}");
    safe.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

pub fn to_value(judged: &[Judged], not_covered: Option<&str>, command_code: Option<u8>) -> Value {
    let limits = judged.iter();
    json!({
        "schema": "bufwatch.check/1",
        "is_breached": judged.iter().any(|it| it.verdict == Verdict::Breached),
        "command_exit_code": command_code,
        "not_covered": not_covered,
        "limits": limits.map(|it| json!({
            "name": it.name,
            "verdict": it.verdict.name(),
            "text": it.text,
        })).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_leave_their_attribute() {
        let text = "\"/><x a='&\u{1b}]]>".to_owned();
        let judged = [Judged { name: "max-rss", verdict: Verdict::Breached, text }];
        let xml = to_xml(&judged, "a\"<b>", Nanos::from_secs(2));
        assert!(xml.contains("message=\"&quot;/&gt;&lt;x a='&amp;\u{fffd}]]&gt;\""), "{xml}");
        assert!(xml.contains("classname=\"a&quot;&lt;b&gt;\""), "{xml}");
        assert!(xml.contains("tests=\"1\" failures=\"1\" errors=\"0\" time=\"2.000\""), "{xml}");
    }
}
