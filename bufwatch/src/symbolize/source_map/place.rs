//! How scripts, maps and sources name each other: the comment at the end of a script, `data:` and `file:`
//! addresses, relative paths. Only names; nothing is opened here, and addresses of networks lead nowhere.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Longest path (`PATH_MAX`).
const PATH_BYTES_MAX: usize = 4096;

/// Encoders differ in whether they fill up the last group.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What the end of a script says about its map.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Comment<'a> {
    Url(&'a str),
    None,
    /// The last line begins before this text does.
    Cut,
}

impl<'a> Comment<'a> {
    /// Looks at the comment lines that end the script. In strings and in scripts that others were appended to,
    /// the same words mean something else.
    pub(super) fn find(tail: &'a str) -> Self {
        let mut lines = tail.rsplit(['\n', '\r', '\u{2028}', '\u{2029}']).peekable();
        while let Some(line) = lines.next() {
            let line = line.trim();
            let body = line.strip_prefix("//#").or_else(|| line.strip_prefix("//@"));
            let url = body.and_then(|it| it.trim_start().strip_prefix("sourceMappingURL="));
            if let Some(url) = url {
                let is_plain = !url.is_empty()
                    && !url.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`'));
                return if is_plain { Self::Url(url) } else { Self::None };
            }
            if !line.is_empty() && !line.starts_with("//") {
                return if lines.peek().is_some() { Self::None } else { Self::Cut };
            }
        }
        Self::Cut
    }
}

/// Where a map is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum MapPlace {
    /// In the comment itself.
    Inline(Vec<u8>),
    /// Absolute.
    File(PathBuf),
}

impl MapPlace {
    /// `script` is the script's path, which relative ones begin at.
    pub(super) fn from_url(url: &str, script: Option<&str>) -> Option<Self> {
        if let Some(data) = strip_scheme(url, "data:") {
            return decode_data(data).map(Self::Inline);
        }
        let path = if has_scheme(url) {
            file_url_path(url)?
        } else if url.starts_with("//") {
            return None;
        } else {
            let path = percent_decode(without_query(url));
            if path.starts_with(b"/") {
                path
            } else {
                let mut whole = folder(script?).as_bytes().to_vec();
                whole.push(b'/');
                whole.extend(path);
                whole
            }
        };
        to_path(path).map(Self::File)
    }
}

/// Path of a script that V8 knows by path or `file:` URL; none for code that is in no file.
pub(super) fn script_path(script: &str) -> Option<PathBuf> {
    if script.starts_with('/') {
        return to_path(script.as_bytes().to_vec());
    }
    to_path(file_url_path(script)?)
}

/// A source as people look for it: a path where it is a file, from the folder of the map on, else as it is.
pub(super) fn readable(source: &str, map_folder: Option<&str>) -> String {
    if let Some(path) = file_url_path(source) {
        return String::from_utf8_lossy(&path).into_owned();
    }
    if has_scheme(source) {
        return source.to_owned();
    }
    let source = String::from_utf8_lossy(&percent_decode(source)).into_owned();
    match map_folder {
        Some(folder) if !source.starts_with('/') => normalized(&format!("{folder}/{source}")),
        _ => normalized(&source),
    }
}

/// Everything before the last slash.
pub(super) fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// `scheme:` in front; a path that begins like that would be taken for an address by everybody.
pub(super) fn has_scheme(url: &str) -> bool {
    url.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    })
}

fn strip_scheme<'a>(url: &'a str, scheme: &str) -> Option<&'a str> {
    let (head, rest) = url.split_at_checked(scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// `file:///path` → path, without query and fragment (ES modules are told apart by them).
fn file_url_path(url: &str) -> Option<Vec<u8>> {
    let rest = strip_scheme(url, "file:")?;
    let path = match rest.strip_prefix("//") {
        Some(rest) => {
            let (host, _) = rest.split_once('/')?;
            (host.is_empty() || host == "localhost").then_some(())?;
            rest.get(host.len()..)?
        }
        None => rest,
    };
    path.starts_with('/').then(|| percent_decode(without_query(path)))
}

fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

/// `[mediatype][;base64],data`; only JSON in UTF-8.
fn decode_data(data: &str) -> Option<Vec<u8>> {
    let (head, body) = data.split_once(',')?;
    let mut parts = head.split(';').map(|part| part.trim().to_ascii_lowercase());
    matches!(parts.next()?.as_str(), "application/json" | "text/json").then_some(())?;
    let mut is_base64 = false;
    for part in parts {
        match part.strip_prefix("charset=") {
            Some(charset) => matches!(charset, "utf-8" | "utf8" | "us-ascii").then_some(())?,
            None if part == "base64" => is_base64 = true,
            None => {}
        }
    }
    let bytes = percent_decode(body);
    if is_base64 { BASE64.decode(bytes).ok() } else { Some(bytes) }
}

/// `%41` → `A`; a lone `%` stays.
fn percent_decode(text: &str) -> Vec<u8> {
    let hex = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let pair = (*first == b'%').then(|| hex(after.first()).zip(hex(after.get(1)))).flatten();
        if let Some((high, low)) = pair {
            bytes.push((high << 4 | low) as u8);
            rest = after.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    bytes
}

fn to_path(bytes: Vec<u8>) -> Option<PathBuf> {
    let is_path =
        bytes.starts_with(b"/") && bytes.len() < PATH_BYTES_MAX && !bytes.contains(&b'\0');
    is_path.then(|| OsString::from_vec(bytes).into())
}

/// Without `.`, `..` and empty components, by name only.
fn normalized(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut components: Vec<&str> = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." if components.last().is_some_and(|last| *last != "..") => {
                components.pop();
            }
            ".." if is_absolute => {}
            _ => components.push(component),
        }
    }
    let start = if is_absolute { "/" } else { "" };
    format!("{start}{}", components.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_comment_ends_the_script() {
        let cases = [
            ("a();\n//# sourceMappingURL=a.js.map", Comment::Url("a.js.map")),
            ("a();\r\n//@ sourceMappingURL=a.js.map \r\n\n", Comment::Url("a.js.map")),
            ("a\n//# sourceMappingURL=b\n//# sourceURL=c\n", Comment::Url("b")),
            ("//# sourceMappingURL=b\n//# sourceMappingURL=c\n", Comment::Url("c")),
            ("x\n//# sourceMappingURL=b\nmore()\n", Comment::None),
            ("x\n\"//# sourceMappingURL=b\"\n", Comment::None),
            ("x\n//# sourceMappingURL='b'\n", Comment::None),
            ("x\n//# sourceMappingURL=\n", Comment::None),
            ("x\ny", Comment::None),
            ("eyJ2ZXJzaW9uIjoz", Comment::Cut),
            ("", Comment::Cut),
        ];
        for (tail, comment) in cases {
            assert_eq!(Comment::find(tail), comment, "{tail}");
        }
    }

    #[test]
    fn maps_are_in_files_or_in_the_comment() {
        let file = |path: &str| Some(MapPlace::File(path.into()));
        let inline = |text: &str| Some(MapPlace::Inline(text.into()));
        let cases = [
            ("a.js.map", file("/app/a.js.map")),
            ("../m/a%20b.map?v=1", file("/app/../m/a b.map")),
            ("/m/a.map", file("/m/a.map")),
            ("file:///m/%C3%BC.map", file("/m/ü.map")),
            ("FILE:/m/a.map", file("/m/a.map")),
            ("file://server/a.map", None),
            ("http://h/a.map", None),
            ("//h/a.map", None),
            ("a%00.map", None),
            ("data:application/json;base64,e30=", inline("{}")),
            ("data:application/json;charset=utf-8;base64,e30", inline("{}")),
            ("data:application/json;charset=utf8,%7b%7D", inline("{}")),
            ("data:application/json,{}", inline("{}")),
            ("data:application/json;charset=utf-16,{}", None),
            ("data:text/plain,{}", None),
            ("data:application/json;base64,###", None),
            ("data:nothing", None),
        ];
        for (url, place) in cases {
            assert_eq!(MapPlace::from_url(url, Some("/app/a.js")), place, "{url}");
        }
        assert_eq!(MapPlace::from_url("a.js.map", None), None);
        assert_eq!(MapPlace::from_url(&format!("/{}", "a".repeat(5000)), None), None);
    }

    #[test]
    fn scripts_are_files_by_path_or_url() {
        let cases = [
            ("/app/a.js", Some("/app/a.js")),
            ("/app/a%20b?.js", Some("/app/a%20b?.js")),
            ("file:///app/a%20b.mjs?t=1", Some("/app/a b.mjs")),
            ("node:fs", None),
            ("evalmachine.<anonymous>", None),
            ("webpack-internal:///./src/a.js", None),
            ("a.js", None),
            ("", None),
        ];
        for (script, path) in cases {
            assert_eq!(script_path(script), path.map(Into::into), "{script}");
        }
    }

    #[test]
    fn sources_are_readable() {
        let cases = [
            ("../src/x.ts", Some("/app/dist"), "/app/src/x.ts"),
            ("../../../../x.ts", Some("/app/dist"), "/x.ts"),
            ("./a/./b//c.ts", Some("/app"), "/app/a/b/c.ts"),
            ("my%20file.ts", Some("/app"), "/app/my file.ts"),
            ("/src/x.ts", Some("/app"), "/src/x.ts"),
            ("../x.ts", None, "../x.ts"),
            ("a/../../x.ts", None, "../x.ts"),
            ("webpack://app/./src/x.ts", Some("/app"), "webpack://app/./src/x.ts"),
            ("file:///src/%C3%BC.ts", Some("/app"), "/src/ü.ts"),
            ("100%", Some("/app"), "/app/100%"),
        ];
        for (source, folder, shown) in cases {
            assert_eq!(readable(source, folder), shown, "{source}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_name_is_survived(name in ".{0,60}", url in "(data:|file:|//# sourceMappingURL=)?[%a-f0-9:/?#.;,=ü\n]{0,40}") {
            let _comment = Comment::find(&url);
            let _comment = Comment::find(&name);
            let _place = MapPlace::from_url(&url, Some(&name));
            let _path = script_path(&url);
            let _shown = readable(&url, Some(&name));
        }
    }
}
