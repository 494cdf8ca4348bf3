//! How V8 words the names in a perf map (`Logger` and `CodeKindToMarker` in V8's src/logging/log.cc; seen with
//! Node 18, 22 and 26): `JS:*hot /app/a.js:2:13`. A name of another form is shown as it is.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;
use std::sync::Arc;

use crate::event::FrameKind;

/// Code of the application or Node.
const SCRIPT_TAGS: [&str; 5] = ["JS", "LazyCompile", "Function", "Script", "Eval"];
/// Code that V8 generates for itself.
const BUILTIN_TAGS: [&str; 5] = ["Builtin", "BytecodeHandler", "Handler", "Stub", "Callback"];
/// Optimised twice, once, not, not compiled. The quote: specialised for a context; the letter: entered in a loop.
const MARKERS: [&str; 10] = ["*'", "+'", "o*'", "o+'", "o*", "o+", "*", "+", "^", "~"];

/// A function by the map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerfSymbol {
    pub kind: FrameKind,
    pub function: Arc<str>,
    /// Path, `file://` URL or `node:` name.
    pub script: Option<Arc<str>>,
    /// Where the function begins, not what runs; one-based.
    pub line: Option<u32>,
    pub column: Option<u32>,
}

impl fmt::Display for PerfSymbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.function)?;
        let Some(script) = &self.script else { return Ok(()) };
        write!(f, " {script}")?;
        for number in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{number}")?;
        }
        Ok(())
    }
}

impl PerfSymbol {
    pub(super) fn parse(text: &str) -> Self {
        let as_is = |kind, function: &str| Self {
            kind,
            function: function.into(),
            script: None,
            line: None,
            column: None,
        };
        if let Some(rest) = text.strip_prefix("RegExp").filter(|rest| rest.starts_with([':', '.']))
        {
            return as_is(FrameKind::Builtin, &regular_expression(rest));
        }
        match text.split_once(':') {
            Some((tag, rest)) if BUILTIN_TAGS.contains(&tag) => as_is(FrameKind::Builtin, rest),
            Some((tag, rest)) if SCRIPT_TAGS.contains(&tag) => Self::parse_script(rest),
            _ => as_is(FrameKind::Native, text),
        }
    }

    fn parse_script(text: &str) -> Self {
        let marker = MARKERS.iter().find_map(|marker| text.strip_prefix(marker));
        let (function, place) = split_place(marker.unwrap_or(text));
        let (script, line, column) = place.map_or((None, None, None), parse_place);
        let is_node = script.is_some_and(|script| script.starts_with("node:"));
        Self {
            kind: if is_node { FrameKind::Node } else { FrameKind::Js },
            function: if function.is_empty() { "(anonymous)" } else { function }.into(),
            script: script.map(Into::into),
            line,
            column,
        }
    }
}

/// Names (`get x`) and paths may contain blanks: what is known to begin a script decides, else the last blank.
fn split_place(text: &str) -> (&str, Option<&str>) {
    let starts = [" /", " file://", " node:"];
    let first = starts.iter().filter_map(|start| text.find(start)).min();
    match first.or_else(|| text.rfind(' ')).and_then(|at| text.split_at_checked(at)) {
        Some((function, place)) => (function, place.strip_prefix(' ').filter(|it| !it.is_empty())),
        None => (text, None),
    }
}

/// `script:line:column`; older V8 leaves the column out.
fn parse_place(place: &str) -> (Option<&str>, Option<u32>, Option<u32>) {
    let split = |text: &'_ str| {
        let (before, number) = text.rsplit_once(':')?;
        Some((before.len(), number.parse::<u32>().ok()?))
    };
    let Some((end, last)) = split(place) else { return (Some(place), None, None) };
    let before = place.get(..end).unwrap_or_default();
    match split(before) {
        Some((end, line)) => (place.get(..end), Some(line), Some(last)),
        None => (Some(before), Some(last), None),
    }
}

/// `src: 'ab+c' flags: 'g'` → `/ab+c/g`.
fn regular_expression(text: &str) -> String {
    let text = text.trim_start_matches([':', '.', '<', '>', ' ']);
    let parts = text.strip_prefix("src: '").and_then(|it| it.strip_suffix('\''));
    match parts.and_then(|parts| parts.rsplit_once("' flags: '")) {
        Some((source, flags)) => format!("RegExp /{source}/{flags}"),
        None => format!("RegExp {text}").trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_five_v8_versions() {
        use FrameKind::{Builtin, Js, Native, Node};
        let cases = [
            ("LazyCompile:*hot file:///tmp/hot.mjs:2", Js, "hot", "file:///tmp/hot.mjs:2"),
            ("JS:*hot /app/a.js:12:34", Js, "hot", "/app/a.js:12:34"),
            ("JS:o+hot /app/a.js:2:13", Js, "hot", "/app/a.js:2:13"),
            ("JS:*'hot /app/a.js:2:13", Js, "hot", "/app/a.js:2:13"),
            ("JS:+'#p /app/a.js:4:38", Js, "#p", "/app/a.js:4:38"),
            ("JS:^get x /my app/a b.js:4:16", Js, "get x", "/my app/a b.js:4:16"),
            ("JS:~o /app/a.js:1:1", Js, "o", "/app/a.js:1:1"),
            ("JS:o* file:///tmp/hot.mjs:1:1", Js, "(anonymous)", "file:///tmp/hot.mjs:1:1"),
            ("Script:~ /app/a.js:1:1", Js, "(anonymous)", "/app/a.js:1:1"),
            ("Function:~foo", Js, "foo", ""),
            ("JS:~ev evalmachine.<anonymous>:1:13", Js, "ev", "evalmachine.<anonymous>:1:13"),
            ("Eval:~ node:vm:1:1", Node, "(anonymous)", "node:vm:1:1"),
            ("JS:^get node:internal/util:9:2", Node, "get", "node:internal/util:9:2"),
            ("Builtin:ArrayMap", Builtin, "ArrayMap", ""),
            ("BytecodeHandler:StaModuleVariable.Wide", Builtin, "StaModuleVariable.Wide", ""),
            ("Stub:CEntryStub", Builtin, "CEntryStub", ""),
            ("RegExp.< src: 'ab+c' flags: 'g'", Builtin, "RegExp /ab+c/g", ""),
            ("RegExp:src: 'a' flags: ' flags: ''", Builtin, "RegExp /a' flags: /", ""),
            ("RegExp:ab", Builtin, "RegExp ab", ""),
            ("my::jit function", Native, "my::jit function", ""),
            ("JS:", Js, "(anonymous)", ""),
        ];
        for (text, kind, function, place) in cases {
            let symbol = PerfSymbol::parse(text);
            assert_eq!((symbol.kind, &*symbol.function), (kind, function), "{text}");
            let shown = format!("{function} {place}");
            assert_eq!(symbol.to_string(), shown.trim_end(), "{text}");
        }
        let old = PerfSymbol::parse("LazyCompile:*hot /app/a.js:2");
        assert_eq!(
            (old.script.as_deref(), old.line, old.column),
            (Some("/app/a.js"), Some(2), None)
        );
    }
}
