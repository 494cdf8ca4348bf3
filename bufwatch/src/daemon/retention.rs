//! Which files are worth keeping where only what is around findings and requests is: everything is recorded, in small files, and a file that
//! nobody has wanted for a while goes. Pure: the caller removes them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::base::{Nanos, ProcessKey};

/// Files that are followed at once; what comes then is not, and so stays for as long as all files do.
const FOLLOWED_MAX: usize = 20_000;

/// A file of a process.
#[derive(Clone, Copy, Debug)]
struct File {
    key: ProcessKey,
    /// `None` while it is being written.
    until: Option<Nanos>,
    is_kept: bool,
}

/// Files about which nothing is decided yet.
#[derive(Debug, Default)]
pub struct Retention {
    files: BTreeMap<PathBuf, File>,
}

/// Complete files of which it is known now.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decided {
    pub kept: Vec<(ProcessKey, PathBuf)>,
    pub unwanted: Vec<PathBuf>,
}

impl Retention {
    pub fn began(&mut self, path: &Path, key: ProcessKey) {
        if self.files.len() < FOLLOWED_MAX {
            self.files.insert(path.to_owned(), File { key, until: None, is_kept: false });
        }
    }

    pub fn completed(&mut self, path: &Path, now: Nanos) {
        if let Some(file) = self.files.get_mut(path) {
            file.until.get_or_insert(now);
        }
    }

    /// What is seen of this process now is wanted, and what was seen in the time `before`.
    pub fn want(&mut self, key: ProcessKey, now: Nanos, before: Nanos) {
        for file in self.files.values_mut().filter(|file| file.key == key) {
            file.is_kept |= file.until.is_none_or(|until| now.since(until) <= before);
        }
    }

    /// Files that are decided, each once.
    pub fn decide(&mut self, now: Nanos, before: Nanos) -> Decided {
        let mut decided = Decided::default();
        self.files.retain(|path, file| {
            let Some(until) = file.until else { return true };
            if file.is_kept {
                decided.kept.push((file.key, path.clone()));
            } else if now.since(until) > before {
                decided.unwanted.push(path.clone());
            } else {
                return true;
            }
            false
        });
        decided
    }

    /// All that is there stays.
    pub fn forget(&mut self) {
        self.files.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Nanos = Nanos::from_mins(10);
    const KEY: ProcessKey = ProcessKey { pid: 7, start_ticks: 1 };

    /// Files of five minutes each, of which some minutes are wanted; what is kept and what goes, by number.
    fn run(wanted: std::ops::Range<u64>, minutes: u64) -> (Vec<u64>, Vec<u64>) {
        let mut retention = Retention::default();
        let path = |n: u64| PathBuf::from(format!("{n:04}"));
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        let number = |path: &Path| path.to_str().unwrap().parse::<u64>().unwrap();
        retention.began(&path(0), KEY);
        for minute in 1..minutes {
            let now = Nanos::from_mins(minute);
            if minute % 5 == 0 {
                retention.completed(&path(minute / 5 - 1), now);
                retention.began(&path(minute / 5), KEY);
            }
            if wanted.contains(&minute) {
                retention.want(KEY, now, BEFORE);
            }
            let decided = retention.decide(now, BEFORE);
            kept.extend(decided.kept.iter().map(|(_, path)| number(path)));
            gone.extend(decided.unwanted.iter().map(|path| number(path)));
        }
        (kept, gone)
    }

    #[test]
    fn what_nobody_wants_goes() {
        // The last one is being written, and of two before it nothing is decided.
        assert_eq!(run(0..0, 61), (vec![], (0..9).collect()));
    }

    #[test]
    fn what_is_around_a_finding_stays() {
        // Of the ten minutes before 32 all are in files 4 to 6: 20 to 35.
        let (kept, gone) = run(32..42, 100);
        assert_eq!(kept, [4, 5, 6, 7, 8]);
        assert!(gone.iter().all(|n| !kept.contains(n)) && gone.contains(&3) && gone.contains(&9));
    }

    #[test]
    fn a_file_of_another_process_is_another() {
        let mut retention = Retention::default();
        let (mine, other) = (Path::new("mine"), Path::new("other"));
        retention.began(mine, KEY);
        retention.began(other, ProcessKey { pid: 7, start_ticks: 2 });
        retention.want(KEY, Nanos(1), BEFORE);
        retention.completed(mine, Nanos(2));
        retention.completed(other, Nanos(2));
        let decided = retention.decide(BEFORE.after(Nanos(3)), BEFORE);
        assert_eq!(decided.kept, [(KEY, mine.to_owned())]);
        assert_eq!(decided.unwanted, [other.to_owned()]);
        retention.began(mine, KEY);
        retention.forget();
        retention.completed(mine, Nanos(3));
        assert_eq!(retention.decide(Nanos(u64::MAX), BEFORE), Decided::default());
    }
}
