//! What processes are called in metrics: by what they run, and by a number among those that run the same. Names and numbers are used again,
//! so that processes that come and go make no new series.

use crate::base::{FastMap, FastSet, sanitize};

/// Longest name; more is cut off.
const NAME_CHARS_MAX: usize = 64;

/// Names that are ever told apart; what comes then is called `other`.
const NAMES_MAX: usize = 200;

/// Options of Node that take the next argument.
const OPTIONS_WITH_VALUE: [&str; 8] = [
    "-r",
    "--require",
    "--import",
    "--loader",
    "--experimental-loader",
    "-C",
    "--conditions",
    "--env-file",
];

/// Scripts whose folder says more than their name.
const PLAIN_NAMES: [&str; 8] = ["index", "main", "server", "app", "start", "www", "cli", "worker"];

/// One process among those of its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub service: String,
    /// The smallest number that was free.
    pub slot: usize,
}

/// Who has which place.
#[derive(Debug, Default)]
pub struct Places {
    names: FastSet<String>,
    taken: FastMap<String, Vec<bool>>,
}

impl Places {
    /// The name as it is told: one too many is `other`.
    pub fn name(&mut self, name: String) -> String {
        if self.names.contains(&name) {
            return name;
        }
        if self.names.len() >= NAMES_MAX {
            return "other".to_owned();
        }
        self.names.insert(name.clone());
        name
    }

    pub fn n_of(&self, service: &str) -> usize {
        self.taken.get(service).map_or(0, |slots| slots.iter().filter(|slot| **slot).count())
    }

    pub fn take(&mut self, service: String) -> Place {
        let slots = self.taken.entry(service.clone()).or_default();
        let slot = slots.iter().position(|is_taken| !is_taken).unwrap_or(slots.len());
        if slot == slots.len() {
            slots.push(false);
        }
        if let Some(entry) = slots.get_mut(slot) {
            *entry = true;
        }
        Place { service, slot }
    }

    pub fn give_back(&mut self, place: &Place) {
        if let Some(slot) =
            self.taken.get_mut(&place.service).and_then(|slots| slots.get_mut(place.slot))
        {
            *slot = false;
        }
    }
}

/// The name of what a command line runs: of the script, with its folder if that says more; of the title that a process gave itself.
pub fn name_of(command: &str) -> String {
    let mut words = command.split(' ').filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default();
    let is_node = file_name(first).starts_with("node");
    let script = if is_node { script_in(words) } else { None };
    let name = script.map_or_else(|| file_name(first).to_owned(), name_of_script);
    clean(&name)
}

fn script_in<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    while let Some(word) = words.next() {
        if OPTIONS_WITH_VALUE.contains(&word) {
            words.next();
        } else if !word.starts_with('-') {
            return Some(word);
        } else if matches!(word, "-e" | "-p" | "--eval" | "--print") {
            return None;
        }
    }
    None
}

fn name_of_script(path: &str) -> String {
    let file = file_name(path);
    let stem = file.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map_or(file, |it| it.0);
    let folder = path.rsplit_once('/').map(|(folder, _)| file_name(folder));
    match folder
        .filter(|folder| !folder.is_empty() && *folder != "." && PLAIN_NAMES.contains(&stem))
    {
        Some(folder) => format!("{folder}/{stem}"),
        None => stem.to_owned(),
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// As it goes into a label and into the name of a file, but for the slash.
fn clean(name: &str) -> String {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "._-/@:".contains(c);
    let name = sanitize(name);
    let chars = name.chars().take(NAME_CHARS_MAX).map(|c| if is_fine(c) { c } else { '_' });
    let name: String = chars.collect();
    if name.is_empty() { "node".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_runs() {
        for (command, name) in [
            ("node", "node"),
            ("node server.js", "server"),
            (
                "/usr/bin/node --expose-gc -r dotenv/config /srv/api/server.mjs --port 1",
                "api/server",
            ),
            ("node ./index.js", "index"),
            ("/opt/node22 /srv/billing.v2.js", "billing.v2"),
            ("node -e setInterval(()=>{},1)", "node"),
            ("next-server (v14.1)", "next-server"),
            ("", "node"),
        ] {
            assert_eq!(name_of(command), name, "{command}");
        }
        assert_eq!(name_of("node /a/\u{1b}[31m\"x\\.js").matches(['"', '\\', '\u{1b}']).count(), 0);
        assert!(name_of(&format!("node /{}.js", "x".repeat(500))).len() <= NAME_CHARS_MAX);
    }

    #[test]
    fn places_are_used_again() {
        let mut places = Places::default();
        let first = places.take("api".to_owned());
        let second = places.take("api".to_owned());
        assert_eq!((first.slot, second.slot), (0, 1));
        places.give_back(&first);
        assert_eq!(places.n_of("api"), 1);
        assert_eq!(places.take("api".to_owned()).slot, 0);
        assert_eq!(places.take("api".to_owned()).slot, 2);
    }

    #[test]
    fn names_do_not_grow_without_end() {
        let mut places = Places::default();
        for n in 0..NAMES_MAX {
            assert_eq!(places.name(format!("s{n}")), format!("s{n}"));
        }
        assert_eq!(places.name("one more".to_owned()), "other");
        assert_eq!(places.name("s7".to_owned()), "s7");
    }
}
