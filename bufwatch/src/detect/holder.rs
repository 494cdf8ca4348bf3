//! Who holds a parent, in a form that parents of the same holder have in common: paths without keys. How a path is found is
//! `v8::census::path`'s business.

use std::borrow::Cow;

use crate::base::text::width;
use crate::event::census::{Holder, Parent, RootKind};

/// What differs between things that one container holds, as the census spells it.
pub(super) const ANY_KEY: &str = "[…]";

/// Holders of code that runs now, or is about to: what they hold is free in a moment.
const fn is_lasting(root: RootKind) -> bool {
    match root {
        RootKind::Isolate
        | RootKind::GlobalHandle
        | RootKind::TracedHandle
        | RootKind::EternalHandle => true,
        RootKind::HandleScope | RootKind::Microtask | RootKind::Stack => false,
    }
}

/// The holder that a parent is told by: of those that will still be there when the running code has returned, the one with the most
/// views, one of the application if there is any. `None`: there is none, or the census did not tell.
pub(super) fn main_of(parent: &Parent) -> Option<&Holder> {
    let lasting = || parent.holders.iter().filter(|holder| is_lasting(holder.root));
    lasting().find(|holder| holder.is_by_application).or_else(|| lasting().next())
}

/// Node's own modules and V8 hold it, and no code of the application is on the way.
pub(super) fn is_of_node(parent: &Parent) -> bool {
    !parent.holders.iter().any(|holder| holder.is_by_application)
}

/// The view is a local variable of an async function that waits: it may be over in a moment. Of a module it is not, which is told apart by
/// name, and before Node 22 by standing in the first line (`v8::census::path`).
pub(super) fn is_of_waiting(holder: &Holder) -> bool {
    let [.., owner, local] = holder.path.as_slice() else { return false };
    let is_module = owner.starts_with("(anonymous)") && owner.ends_with(":1, waiting");
    local.starts_with('[') && owner.ends_with(", waiting") && !is_module
}

/// Keys that the census tells in words; other words in brackets are slots of V8's objects: `[then]`, `[local variable]`.
const KEYS_IN_WORDS: [&str; 3] = ["weak key", "a key", "member"];

/// A path without keys. There may be 100,000 of them, so what need not be copied is not.
pub(super) fn pattern(path: &[String]) -> Vec<Cow<'_, str>> {
    path.iter().map(|step| step_pattern(step)).collect()
}

/// `["key 17"] (Session)` without its key; `… 12 more …` without its number.
fn step_pattern(step: &str) -> Cow<'_, str> {
    if step.starts_with('…') {
        return Cow::Borrowed("…");
    }
    if !step.starts_with('[') {
        return Cow::Borrowed(step);
    }
    // A key that is a string may contain anything.
    let end = if step.starts_with("[\"") { step.rfind("\"]").map(|at| at + 1) } else { None };
    let end = end.or_else(|| step.find(']'));
    let is_slot = |inner: &str| {
        !KEYS_IN_WORDS.contains(&inner) && inner.chars().all(|c| c.is_ascii_lowercase() || c == ' ')
    };
    if end.and_then(|at| step.get(1..at)).is_some_and(|inner| !inner.is_empty() && is_slot(inner)) {
        return Cow::Borrowed(step);
    }
    match end.and_then(|at| step.get(at + 1..)) {
        None | Some("") => Cow::Borrowed(ANY_KEY),
        Some(class) => Cow::Owned(format!("{ANY_KEY}{class}")),
    }
}

/// The class of a step: `Map` of `.cache (Map)`, and of `Map`, which stands by itself behind a global.
pub(super) fn class_of(step: &str) -> Option<&str> {
    match step.strip_suffix(')') {
        Some(start) => start.rsplit_once(" (").map(|(_, class)| class),
        None => (!step.contains(' ') && !step.starts_with(['.', '['])).then_some(step),
    }
}

/// The name in a step, without the class.
pub(super) fn name_of(step: &str) -> &str {
    step.split_once(" (").map_or(step, |(name, _)| name)
}

/// The path as people read it; of a long one the steps at the end, which are next to the view.
pub(super) fn text_of<S: AsRef<str>>(path: &[S]) -> String {
    /// Leaves a line of 160 columns half for the rest of what is said.
    const COLUMNS: usize = 80;
    /// What holds, and whose it is: a variable, and its function with the line.
    const STEPS_MIN: usize = 2;
    let mut n_columns = 0;
    let fits = |step: &&S| {
        n_columns += width(step.as_ref()) + 1;
        n_columns <= COLUMNS
    };
    let n_steps = path.iter().rev().take_while(fits).count().max(STEPS_MIN);
    let n_left_out = path.len().saturating_sub(n_steps);
    let steps: Vec<&str> = path.iter().skip(n_left_out).map(AsRef::as_ref).collect();
    let text = steps.join(" ");
    if n_left_out > 0 { format!("… {text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::made_up::parent;

    #[test]
    fn keys_are_left_out_and_nothing_else() {
        let check = |step: &str, pattern: &str| assert_eq!(step_pattern(step), pattern, "{step}");
        check("global H", "global H");
        check(".cache (Map)", ".cache (Map)");
        check("[17]", "[…]");
        check("[\"key 17\"] (Session)", "[…] (Session)");
        check("[\"a] (b)\"] (Session)", "[…] (Session)");
        check("[weak key]", "[…]");
        check("[member] (Session)", "[…] (Session)");
        check("[local variable]", "[local variable]");
        check("[then] (Promise)", "[then] (Promise)");
        check("[Symbol(tag)]", "[…]");
        check("[]", "[…]");
        check("[…] (Session)", "[…] (Session)");
        check("[", "[…]");
        check("… 12 more …", "…");
    }

    #[test]
    fn steps_have_a_name_and_a_class() {
        assert_eq!((name_of(".cache (Map)"), class_of(".cache (Map)")), (".cache", Some("Map")));
        assert_eq!((name_of("variable pool"), class_of("variable pool")), ("variable pool", None));
        assert_eq!((name_of("Array"), class_of("Array")), ("Array", Some("Array")));
        assert_eq!(class_of("[…]"), None);
    }

    #[test]
    fn who_holds_only_for_a_moment_is_not_the_holder() {
        let running = parent(1).rooted(RootKind::Stack, &["a JavaScript function that runs now"]);
        assert_eq!(main_of(&running.clone().done()), None);
        let both = running.held_by(&["global H"]).done();
        assert_eq!(main_of(&both).unwrap().path, ["global H"]);
    }

    #[test]
    fn a_holder_of_the_application_says_more_than_one_of_node() {
        let both = parent(1).by_node(&["crc32()", "variable table"]).held_by(&["global H"]).done();
        assert_eq!(main_of(&both).unwrap().path, ["global H"]);
        assert!(!is_of_node(&both));
        let node = parent(1).by_node(&["crc32()", "variable table"]).done();
        assert_eq!(main_of(&node).unwrap().path, ["crc32()", "variable table"]);
        assert!(is_of_node(&node));
    }

    #[test]
    fn locals_of_functions_that_wait_are_told_from_those_of_modules() {
        let is_waiting = |owner: &str, step: &str| {
            let parent = parent(1).held_by(&["Promise", "[then]", owner, step]).done();
            is_of_waiting(main_of(&parent).unwrap())
        };
        assert!(is_waiting("load() /app.js:15, waiting", "[local variable]"));
        assert!(is_waiting("(anonymous)() /app.js:15, waiting", "[…]"));
        assert!(!is_waiting("(anonymous)() /app.mjs:1, waiting", "[local variable]"));
        assert!(!is_waiting("module /app.mjs", "[local variable]"));
        assert!(!is_waiting("load() /app.js:15, waiting", ".id"));
        assert!(!is_waiting("variable cache (Map)", "[\"a\"]"));
    }

    #[test]
    fn of_a_long_path_the_end_is_told() {
        let path: Vec<String> = (0..40).map(|n| format!(".step{n}")).collect();
        let text = text_of(&path);
        assert!(text.starts_with("… .step") && text.ends_with(" .step38 .step39"), "{text}");
        assert_eq!(text_of(&path[37..]), ".step37 .step38 .step39");
        let long = ["global app".to_owned(), "x".repeat(200), "variable view".to_owned()];
        assert_eq!(text_of(&long), format!("… {} variable view", "x".repeat(200)));
        assert_eq!(text_of::<String>(&[]), "");
    }
}
