//! Makes foreign text safe to print: symbol names, command lines and paths come from another process.

/// Longest text passed through, in characters; longer ones end in `…`.
pub const TEXT_CHARS_MAX: usize = 512;

/// Replaces control and bidirectional-override characters by `�` and cuts at [`TEXT_CHARS_MAX`].
pub fn sanitize(text: &str) -> String {
    sanitize_to(text, TEXT_CHARS_MAX)
}

/// The same with a limit for prose, which is longer than names.
pub fn sanitize_to(text: &str, n_chars_max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(n_chars_max));
    for (n, c) in text.chars().enumerate() {
        if n == n_chars_max {
            out.push('…');
            break;
        }
        out.push(if is_harmless(c) { c } else { '\u{fffd}' });
    }
    out
}

fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_lose_their_escape() {
        assert_eq!(sanitize("a\u{1b}[2Jb\n\u{202e}c"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c");
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(sanitize(&"x".repeat(10_000)).chars().count(), TEXT_CHARS_MAX + 1);
    }
}
