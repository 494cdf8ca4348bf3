//! Strings and symbols of a copied heap as text. Foreign text: it leaves this file sanitized.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::sanitize;
use crate::v8::census::mark::HeapView;
use crate::v8::census::sizes::FIRST_NON_STRING;
use crate::v8::object::{Heap, Tagged};

/// `Symbol` (src/objects/name.tq): flags behind the hash, then the description.
const SYMBOL_FLAGS: u64 = 12;
const SYMBOL_DESCRIPTION: u64 = 16;

/// Longest key shown, in characters.
const KEY_CHARS_MAX: usize = 40;

/// The text of a string.
pub(super) fn string(view: HeapView<'_>, word: u64) -> Option<String> {
    let object = view.object(word)?;
    (view.kind(object)? < FIRST_NON_STRING).then_some(())?;
    let text = Heap::new(view.heap, view.layout).name(Tagged(word))?;
    Some(sanitize(&text))
}

/// The name of a variable or of a global: a string, or the description of a symbol.
pub(super) fn name(view: HeapView<'_>, word: u64) -> Option<String> {
    string(view, word).or_else(|| symbol(view, word).map(|(description, _)| description))
}

/// Description, and whether it is a private name.
fn symbol(view: HeapView<'_>, word: u64) -> Option<(String, bool)> {
    let object = view.object(word)?;
    // `SYMBOL_TYPE` follows the strings.
    (view.kind(object)? == FIRST_NON_STRING).then_some(())?;
    let flags = view.heap.word_at(object, SYMBOL_FLAGS)? & 0xffff_ffff;
    let description = view.heap.word_at(object, SYMBOL_DESCRIPTION)?;
    Some((
        string(view, description).unwrap_or_default(),
        flags & view.layout.symbol_private_mask != 0,
    ))
}

/// How a property is written behind its object: `.name`, `.#private`, `["any text"]`, `[Symbol(tag)]`.
pub(super) fn access(view: HeapView<'_>, key: u64) -> Option<String> {
    if let Some(text) = string(view, key) {
        return Some(access_of(&text));
    }
    let (description, is_private) = symbol(view, key)?;
    // V8's own symbols have none.
    if is_private && description.is_empty() {
        return None;
    }
    Some(if is_private { format!(".{description}") } else { format!("[Symbol({description})]") })
}

fn access_of(text: &str) -> String {
    let is_start = |it: char| it.is_alphabetic() || it == '_' || it == '$';
    let is_name = text.starts_with(is_start)
        && text.chars().all(|it| is_start(it) || it.is_numeric())
        && text.chars().count() <= KEY_CHARS_MAX;
    if is_name { format!(".{text}") } else { format!("[{}]", quoted(text)) }
}

/// In quotation marks; of a long text the start.
pub(super) fn quoted(text: &str) -> String {
    if text.chars().count() > KEY_CHARS_MAX {
        let start: String = text.chars().take(KEY_CHARS_MAX).collect();
        format!("\"{start}…\"")
    } else {
        format!("\"{text}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_written_as_in_a_program() {
        assert_eq!(access_of("cache"), ".cache");
        assert_eq!(access_of("$_1"), ".$_1");
        assert_eq!(access_of("1a"), "[\"1a\"]");
        assert_eq!(access_of("key 17"), "[\"key 17\"]");
        assert_eq!(access_of(""), "[\"\"]");
        assert_eq!(quoted(&"é".repeat(41)).chars().count(), 43);
    }
}
