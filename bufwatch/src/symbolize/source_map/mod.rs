//! Source maps of the scripts of one process: from a place in a generated script to the place it was made
//! from. Maps are found, read and kept here; which frame is where is not known here.
//!
//! A place is given only if the map fits the code that runs. A map inside the script's source in memory always
//! does. One in a file fits if nothing changed on disk since the program began, the script (if its comment was
//! read from disk) and the map: V8 read the script after that, so it is the one on disk. The later of mtime and
//! ctime counts, since npm sets the mtime of what it installs to 1985. Start times have 10 ms; a file of the
//! same tick is taken for changed. What this cannot see: a wall clock that was set back or forth since, and a
//! folder of old files moved into the place of another.

mod decode;
mod place;

use std::fmt;
use std::hash::BuildHasher as _;
use std::path::Path;
use std::sync::Arc;

use crate::base::{FastMap, Nanos, ProcessKey, sanitize};
use crate::event::OriginalPlace;
use crate::sys::clock;
use crate::sys::procfs;
use crate::sys::root::{ProcessRoot, RootFile};

use self::decode::{Decoded, Refusal};
use self::place::{Comment, MapPlace};

/// Largest map read.
const MAP_BYTES_MAX: usize = 64 << 20;
/// What is read of the end of a script to find the comment; an inline map makes it longer.
const TAIL_BYTES: usize = 64 << 10;
/// The comment of the largest map in base 64.
const COMMENT_BYTES_MAX: usize = MAP_BYTES_MAX / 3 * 4 + TAIL_BYTES;
/// What is read of maps and for them in all: a hostile target could have a thousand of the largest, and each costs
/// a second.
const READ_BYTES_MAX: u64 = 2 << 30;
/// Scripts remembered, most of them as having no map.
const SCRIPTS_MAX: usize = 4096;
/// Memory of all maps together.
const MAPS_BYTES_MAX: usize = 256 << 20;

/// The maps of one process, each read when a frame first needs it.
pub struct SourceMaps {
    /// None: switched off, or the process could not be asked.
    target: Option<Target>,
    scripts: FastMap<ScriptKey, Entry>,
    /// Grows with each question.
    n_asked: u64,
    bytes: usize,
    /// What may still be read.
    budget: u64,
    n_over_limit: u64,
}

#[derive(Clone, Copy, Debug)]
struct Target {
    key: ProcessKey,
    /// By the wall clock.
    started_at: Nanos,
}

/// A script by name and end of its source: of two versions loaded by one name each has its map.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ScriptKey {
    name: Box<str>,
    tail_hash: Option<u64>,
}

struct Entry {
    /// `n_asked` when it was last needed.
    used: u64,
    map: Option<FittingMap>,
}

struct FittingMap {
    decoded: Decoded,
    /// Of `decoded`, as they are shown.
    sources: Vec<Option<Arc<str>>>,
    bytes: usize,
}

impl fmt::Debug for SourceMaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceMaps")
            .field("target", &self.target)
            .field("n_scripts", &self.scripts.len())
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl SourceMaps {
    /// For a process that runs; all maps are off if it cannot be asked when it began.
    pub fn new(pid: u32) -> Self {
        let target = || {
            let key = procfs::process_key(pid).ok()?;
            let started_at = clock::wall_time_of_ticks(procfs::program_start_ticks(pid)?)?;
            Some(Target { key, started_at })
        };
        Self { target: target(), ..Self::off() }
    }

    /// Knows no place.
    pub fn off() -> Self {
        Self {
            target: None,
            scripts: FastMap::default(),
            n_asked: 0,
            bytes: 0,
            budget: READ_BYTES_MAX,
            n_over_limit: 0,
        }
    }

    /// Maps that were not used because they are larger than the limits.
    pub const fn n_over_limit(&self) -> u64 {
        self.n_over_limit
    }

    /// The place that a place of `script` (a path or `file:` URL) was made from; lines and columns count from
    /// one, columns in UTF-16 units. `source_tail` is the end of the script's source in memory, the whole last
    /// lines at best: only there a map that a loader put into the source (ts-node, tsx) can be found.
    pub fn original(
        &mut self,
        script: &str,
        source_tail: Option<&str>,
        line: u32,
        column: u32,
    ) -> Option<Arc<OriginalPlace>> {
        let target = self.target?;
        if script.starts_with("node:") {
            return None;
        }
        let (line, column) = (line.checked_sub(1)?, column.checked_sub(1)?);
        self.n_asked = self.n_asked.saturating_add(1);
        let tail_hash = source_tail.map(|tail| self.scripts.hasher().hash_one(tail));
        let key = ScriptKey { name: script.into(), tail_hash };
        if !self.scripts.contains_key(&key) {
            let found = load(target, script, source_tail, &mut self.budget);
            let map = found.unwrap_or_else(|refusal| {
                self.n_over_limit += u64::from(refusal == Refusal::OverLimit);
                None
            });
            self.insert(key, map);
            return self.original(script, source_tail, line + 1, column + 1);
        }
        let entry = self.scripts.get_mut(&key)?;
        entry.used = self.n_asked;
        entry.map.as_ref()?.find(line, column).map(Arc::new)
    }

    fn insert(&mut self, key: ScriptKey, map: Option<FittingMap>) {
        let bytes = map.as_ref().map_or(0, |map| map.bytes);
        self.bytes += bytes;
        // Room for maps is made by dropping maps; scripts without one take a few bytes.
        while self.bytes > MAPS_BYTES_MAX && self.drop_oldest(true) {}
        while self.scripts.len() >= SCRIPTS_MAX && self.drop_oldest(false) {}
        self.scripts.insert(key, Entry { used: self.n_asked, map });
    }

    /// Forgets what was not needed for longest; false if there is nothing to forget.
    fn drop_oldest(&mut self, only_maps: bool) -> bool {
        let candidates = self.scripts.iter().filter(|(_, it)| !only_maps || it.map.is_some());
        let Some(oldest) = candidates.map(|(_, entry)| entry.used).min() else { return false };
        let mut freed = 0;
        self.scripts.retain(|_, entry| {
            if entry.used == oldest {
                freed += entry.map.as_ref().map_or(0, |map| map.bytes);
            }
            entry.used != oldest
        });
        self.bytes = self.bytes.saturating_sub(freed);
        true
    }
}

impl FittingMap {
    fn new(json: &[u8], folder: Option<&str>) -> Result<Self, Refusal> {
        let mut decoded = Decoded::from_json(json)?;
        let shown = |source: &str| Arc::from(sanitize(&place::readable(source, folder)));
        let sources: Vec<Option<Arc<str>>> = std::mem::take(&mut decoded.sources)
            .iter()
            .map(|source| source.as_deref().map(shown))
            .collect();
        let source_bytes: usize =
            sources.iter().map(|it| it.as_ref().map_or(16, |it| it.len() + 32)).sum();
        let bytes = decoded.bytes() + source_bytes;
        Ok(Self { decoded, sources, bytes })
    }

    fn find(&self, line: u32, column: u32) -> Option<OriginalPlace> {
        let original = self.decoded.find(line, column)?;
        Some(OriginalPlace {
            source: Arc::clone(self.sources.get(original.source)?.as_ref()?),
            line: original.line.checked_add(1)?,
            column: original.column.checked_add(1)?,
            name: original.name.map(|name| sanitize(name).into()),
        })
    }
}

/// Finds and reads the map of a script. `Ok(None)`: it has none, or none that fits.
fn load(
    target: Target,
    script: &str,
    source_tail: Option<&str>,
    budget: &mut u64,
) -> Result<Option<FittingMap>, Refusal> {
    let path = place::script_path(script);
    let url = match source_tail.map(Comment::find) {
        Some(Comment::Url(url)) => Some(url.to_owned()),
        Some(Comment::None) => None,
        // The text in memory may have been cut, or not been there.
        Some(Comment::Cut) | None => {
            path.as_deref().and_then(|path| comment_on_disk(target, path, source_tail, budget))
        }
    };
    let path = path.as_deref().and_then(Path::to_str);
    let Some(place) = url.and_then(|url| MapPlace::from_url(&url, path)) else { return Ok(None) };
    match place {
        MapPlace::Inline(json) => {
            spend(budget, json.len() as u64)?;
            FittingMap::new(&json, path.map(place::folder)).map(Some)
        }
        MapPlace::File(map_path) => {
            let Some(file) = open(target, &map_path) else { return Ok(None) };
            spend(budget, file.bytes)?;
            let Some(json) = read_unchanged(target, &file, 0, MAP_BYTES_MAX) else {
                return Ok(None);
            };
            FittingMap::new(&json, map_path.to_str().map(place::folder)).map(Some)
        }
    }
}

/// Takes the size of a map from what may still be read.
fn spend(budget: &mut u64, bytes: u64) -> Result<(), Refusal> {
    let rest = budget.checked_sub(bytes).filter(|_| bytes <= MAP_BYTES_MAX as u64);
    *budget = rest.ok_or(Refusal::OverLimit)?;
    Ok(())
}

/// The address in the comment of a script file that is still the one that was loaded. A loader may have given
/// other code to V8 by the same name: what is known of that must be what the file ends with.
fn comment_on_disk(
    target: Target,
    script: &Path,
    source_tail: Option<&str>,
    budget: &mut u64,
) -> Option<String> {
    let file = open(target, script)?;
    let mut len = TAIL_BYTES;
    loop {
        let offset = file.bytes.saturating_sub(len as u64);
        let tail = read_unchanged(target, &file, offset, len)?;
        let tail = String::from_utf8_lossy(&tail);
        let in_memory = source_tail.unwrap_or_default();
        if !tail.ends_with(in_memory) && !in_memory.ends_with(&*tail) {
            return None;
        }
        match Comment::find(&tail) {
            Comment::Url(url) => return Some(url.to_owned()),
            Comment::Cut if offset > 0 && len < COMMENT_BYTES_MAX => {
                len = COMMENT_BYTES_MAX;
                *budget = budget.checked_sub(file.bytes.min(len as u64))?;
            }
            Comment::Cut | Comment::None => return None,
        }
    }
}

fn open(target: Target, path: &Path) -> Option<RootFile> {
    ProcessRoot::open(target.key).ok()?.open_linked_file(path).ok()
}

/// A part of a file; none if it was changed since the program began, which is asked after it was read.
fn read_unchanged(target: Target, file: &RootFile, offset: u64, len: usize) -> Option<Vec<u8>> {
    let bytes = file.read(offset, len).ok()?;
    (file.changed_at().ok()? < target.started_at).then_some(bytes)
}

#[cfg(test)]
mod tests;
