//! Where a frame is, in words: the short form of tables and the full form of detail pages. All of it is
//! foreign text, made safe to print here.

use crate::base::sanitize;
use crate::event::Frame;

/// What stands for a function without a name.
pub const ANONYMOUS: &str = "(anonymous)";

/// The folder of packages: what lies below is code of others.
const PACKAGES: &str = "node_modules/";

/// `onChunk ingest.js:31`, `handle express/lib/router/index.js:~47`, `load orig.ts:12 (bundle.js:1)`.
pub fn short_frame(frame: &Frame) -> String {
    join(function(frame), short_place(frame))
}

/// `onChunk /srv/ingest/ingest.js:31:9`.
pub fn full_frame(frame: &Frame) -> String {
    join(function(frame), full_place(frame))
}

/// Name of the function, never empty.
pub fn function(frame: &Frame) -> String {
    if frame.function.is_empty() { ANONYMOUS.to_owned() } else { sanitize(&frame.function) }
}

/// `ingest.js:31`; `None` for a frame without a script.
pub fn short_place(frame: &Frame) -> Option<String> {
    let script = frame.script.as_ref().map(|script| short_script(script));
    let generated = script.map(|script| with_line(frame, script, frame.line, None));
    let Some(original) = &frame.original else { return generated };
    let source = short_script(&original.source);
    let place = with_line(frame, source, Some(original.line), None);
    Some(generated.map_or_else(|| place.clone(), |generated| format!("{place} ({generated})")))
}

/// `/srv/ingest/ingest.js:31:9`, with a source map `src/ingest.ts:12:3, from /srv/dist/bundle.js:1:2044`.
pub fn full_place(frame: &Frame) -> Option<String> {
    let script = frame.script.as_ref().map(|script| path(script));
    let generated = script.map(|script| with_line(frame, script, frame.line, frame.column));
    let Some(original) = &frame.original else { return generated };
    let (line, column) = (Some(original.line), Some(original.column));
    let place = with_line(frame, path(&original.source), line, column);
    Some(generated.map_or_else(|| place.clone(), |generated| format!("{place}, from {generated}")))
}

/// True for code of a package that the application uses, by its path or by the source it was made from.
pub fn is_of_package(frame: &Frame) -> bool {
    let original = frame.original.as_ref().map(|place| &place.source);
    frame.script.iter().chain(original).any(|script| package_path(script).is_some())
}

fn join(function: String, place: Option<String>) -> String {
    match place {
        Some(place) => format!("{function} {place}"),
        None => function,
    }
}

fn with_line(frame: &Frame, script: String, line: Option<u32>, column: Option<u32>) -> String {
    let sign = if frame.is_approximate { "~" } else { "" };
    match (line, column) {
        // The column of a line that is only about right says nothing.
        (Some(line), Some(column)) if !frame.is_approximate => format!("{script}:{line}:{column}"),
        (Some(line), _) => format!("{script}:{sign}{line}"),
        (None, _) => script,
    }
}

/// The file's name, below a package its path in it; `node:` names and what has no path stay whole.
pub fn short_script(script: &str) -> String {
    let path = path(script);
    if script.starts_with("node:") || script.starts_with("wasm:") {
        return path;
    }
    if let Some((function, place)) = evaluated_at(&path)
        && let Some((place, behind)) = place.rsplit_once(')')
    {
        return format!("{EVALUATED_AT}{function} ({}){behind}", short_script(place));
    }
    if let Some(inside) = package_path(&path) {
        return inside.to_owned();
    }
    path.rsplit('/').find(|part| !part.is_empty()).map_or_else(|| path.clone(), str::to_owned)
}

/// The whole path, of a `file:` URL without the scheme.
pub fn path(script: &str) -> String {
    sanitize(&script.strip_prefix("file://").map_or_else(|| script.to_owned(), unescape))
}

/// What the name of code that was evaluated begins with, as in stack traces of V8: by whom and where follows.
pub const EVALUATED_AT: &str = "eval at ";

fn evaluated_at(script: &str) -> Option<(&str, &str)> {
    script.strip_prefix(EVALUATED_AT)?.split_once(" (")
}

fn package_path(script: &str) -> Option<&str> {
    let (before, inside) = script.rsplit_once(PACKAGES)?;
    (before.is_empty() || before.ends_with('/')).then_some(inside)
}

/// `%20` → a blank; what is no escape or would not be text stays.
fn unescape(url: &str) -> String {
    let mut bytes = Vec::with_capacity(url.len());
    let mut rest = url.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digits = (*first == b'%').then(|| tail.get(..2)).flatten();
        let byte = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| url.to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::OriginalPlace;

    #[test]
    fn scripts_are_short_in_tables_and_whole_in_details() {
        let cases = [
            ("/srv/ingest/ingest.js", "ingest.js", "/srv/ingest/ingest.js"),
            ("file:///srv/my%20app/a.mjs", "a.mjs", "/srv/my app/a.mjs"),
            ("eval at f (/srv/a.js:6:27)", "eval at f (a.js:6:27)", "eval at f (/srv/a.js:6:27)"),
            (
                "eval at f (eval at g (/srv/a.js:6:27):1:2)",
                "eval at f (eval at g (a.js:6:27):1:2)",
                "eval at f (eval at g (/srv/a.js:6:27):1:2)",
            ),
            ("eval at f (", "eval at f (", "eval at f ("),
            ("file:///srv/100%/%zz.mjs", "%zz.mjs", "/srv/100%/%zz.mjs"),
            (
                "/srv/node_modules/a/node_modules/@b/c/lib/d.js",
                "@b/c/lib/d.js",
                "/srv/node_modules/a/node_modules/@b/c/lib/d.js",
            ),
            ("node:internal/fs/promises", "node:internal/fs/promises", "node:internal/fs/promises"),
            ("wasm://wasm/8c1fb2a6", "wasm://wasm/8c1fb2a6", "wasm://wasm/8c1fb2a6"),
            ("/srv/old_node_modules/x.js", "x.js", "/srv/old_node_modules/x.js"),
            ("evil\u{1b}[2J.js", "evil\u{fffd}[2J.js", "evil\u{fffd}[2J.js"),
            ("", "", ""),
        ];
        for (script, short, full) in cases {
            assert_eq!((short_script(script).as_str(), path(script).as_str()), (short, full));
        }
    }

    #[test]
    fn lines_say_how_sure_they_are_and_what_they_were_made_from() {
        let mut frame = Frame {
            function: "load".into(),
            script: Some("/srv/dist/bundle.js".into()),
            line: Some(1),
            column: Some(2_044),
            is_resolved: true,
            ..Frame::default()
        };
        assert_eq!(short_frame(&frame), "load bundle.js:1");
        assert_eq!(full_frame(&frame), "load /srv/dist/bundle.js:1:2044");
        frame.original = Some(Arc::new(OriginalPlace {
            source: "../src/load.ts".into(),
            line: 12,
            column: 3,
            name: None,
        }));
        assert_eq!(short_frame(&frame), "load load.ts:12 (bundle.js:1)");
        assert_eq!(full_frame(&frame), "load ../src/load.ts:12:3, from /srv/dist/bundle.js:1:2044");
        frame.original = None;
        frame.is_approximate = true;
        frame.function = "".into();
        assert_eq!(short_frame(&frame), "(anonymous) bundle.js:~1");
        assert_eq!(full_frame(&frame), "(anonymous) /srv/dist/bundle.js:~1");
    }
}
