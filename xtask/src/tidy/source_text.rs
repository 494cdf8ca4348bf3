//! Separates the code of a Rust file from its comments, line by line, with the contents of strings
//! left out of both. It knows just enough of the language for that: no parsing.

/// A file with as many lines in each part as in the whole.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// The text without comments; strings and characters are empty.
    pub(super) code: String,
    /// The text of the comments alone.
    pub(super) comments: String,
}

/// Where the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Code,
    LineComment,
    /// How deep; block comments nest.
    BlockComment(usize),
    Text,
    /// How many `#` end it.
    RawText(usize),
}

pub(super) fn split(text: &str) -> Source {
    let mut source = Source::default();
    let mut state = State::Code;
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if character == '\n' {
            source.code.push('\n');
            source.comments.push('\n');
            if state == State::LineComment {
                state = State::Code;
            }
            rest = rest.get(1..).unwrap_or("");
            continue;
        }
        let (next, taken) = match state {
            State::Code => in_code(rest, &mut source.code),
            State::LineComment => {
                source.comments.push(character);
                (state, character.len_utf8())
            }
            State::BlockComment(depth) => in_block_comment(rest, depth, &mut source.comments),
            State::Text => in_text(rest),
            State::RawText(n_hashes) => in_raw_text(rest, n_hashes),
        };
        state = next;
        rest = rest.get(taken..).unwrap_or("");
    }
    source
}

/// Takes one step in code; returns the next state and how many bytes were used up.
fn in_code(rest: &str, code: &mut String) -> (State, usize) {
    if rest.starts_with("//") {
        return (State::LineComment, 2);
    }
    if rest.starts_with("/*") {
        return (State::BlockComment(1), 2);
    }
    if rest.starts_with('"') {
        code.push_str("\"\"");
        return (State::Text, 1);
    }
    let in_word =
        code.chars().next_back().is_some_and(|last| last.is_alphanumeric() || last == '_');
    if !in_word && let Some((n_hashes, len)) = raw_text_start(rest) {
        code.push_str("\"\"");
        return (State::RawText(n_hashes), len);
    }
    if let Some(len) = char_literal(rest) {
        code.push_str("' '");
        return (State::Code, len);
    }
    let character = rest.chars().next().unwrap_or(' ');
    code.push(character);
    (State::Code, character.len_utf8())
}

fn in_block_comment(rest: &str, depth: usize, comments: &mut String) -> (State, usize) {
    if rest.starts_with("*/") {
        let next = if depth == 1 { State::Code } else { State::BlockComment(depth - 1) };
        return (next, 2);
    }
    if rest.starts_with("/*") {
        return (State::BlockComment(depth + 1), 2);
    }
    let character = rest.chars().next().unwrap_or(' ');
    comments.push(character);
    (State::BlockComment(depth), character.len_utf8())
}

fn in_text(rest: &str) -> (State, usize) {
    let mut characters = rest.chars();
    match characters.next() {
        Some('"') => (State::Code, 1),
        // A line that ends in a backslash is still counted as a line by the caller.
        Some('\\') => match characters.next() {
            Some(escaped) if escaped != '\n' => (State::Text, 1 + escaped.len_utf8()),
            _ => (State::Text, 1),
        },
        Some(character) => (State::Text, character.len_utf8()),
        None => (State::Text, 1),
    }
}

fn in_raw_text(rest: &str, n_hashes: usize) -> (State, usize) {
    let character = rest.chars().next().unwrap_or(' ');
    if let Some(after) = rest.strip_prefix('"')
        && after.bytes().take_while(|byte| *byte == b'#').count() >= n_hashes
    {
        return (State::Code, 1 + n_hashes);
    }
    (State::RawText(n_hashes), character.len_utf8())
}

/// The number of `#` and the length of `r"`, `r#"`, `br"` and so on.
fn raw_text_start(rest: &str) -> Option<(usize, usize)> {
    let prefix = ["r", "br", "cr"].into_iter().find(|prefix| {
        rest.strip_prefix(prefix).is_some_and(|after| after.starts_with(['"', '#']))
    })?;
    let after = rest.strip_prefix(prefix)?;
    let n_hashes = after.bytes().take_while(|byte| *byte == b'#').count();
    // `r#name` is an identifier.
    (after.as_bytes().get(n_hashes) == Some(&b'"'))
        .then_some((n_hashes, prefix.len() + n_hashes + 1))
}

/// The length of a character literal; a lifetime has none.
fn char_literal(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    if let Some(escape) = inside.strip_prefix('\\') {
        let skipped = escape.chars().next()?.len_utf8();
        return escape.get(skipped..)?.find('\'').map(|end| 2 + skipped + end + 1);
    }
    let character = inside.chars().next()?;
    inside.get(character.len_utf8()..)?.starts_with('\'').then_some(1 + character.len_utf8() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, code: &str, comments: &str) {
        let source = split(text);
        assert_eq!(source.code, code);
        assert_eq!(source.comments, comments);
    }

    #[test]
    fn comments_leave_the_code() {
        check("a // b\nc /* d /* e */ f */ g", "a \nc  g", " b\n d  e  f ");
    }

    #[test]
    fn strings_are_emptied() {
        check(r#"f("a // \" b", 'x', '\'', '"');"#, r#"f("", ' ', ' ', ' ');"#, "");
        check(r##"f(r#"a " // b"#, br"c\");"##, r#"f("", "");"#, "");
    }

    #[test]
    fn lifetimes_and_raw_identifiers_stay() {
        check("fn f<'a>(r#in: &'a str) {}", "fn f<'a>(r#in: &'a str) {}", "");
    }

    #[test]
    fn lines_are_kept_across_strings() {
        let source = split("let a = \"x\ny\\\nz\";\nb");
        assert_eq!(source.code.lines().count(), 4);
        assert!(source.code.ends_with("\nb"));
    }

    #[test]
    fn broken_text_ends() {
        for text in ["\"", "'", "'\\", "r#\"", "/*", "\"\\", "b'", "é'é"] {
            split(text);
        }
    }
}
