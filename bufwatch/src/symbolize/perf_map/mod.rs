//! The map of generated code that a process writes for perf (`node --perf-basic-prof`): `/tmp/perf-PID.map`
//! of its own /tmp. For code that nothing else resolves: it tells where functions begin, not what runs in them
//! now. How V8 words a name is told in `name`.
//!
//! As perf does, only a file of the process's user is believed. One that was last written before the process
//! began is another's: in containers pids come again, and /tmp may outlive them.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod name;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

pub use name::PerfSymbol;

use crate::base::{Avma, sanitize};
use crate::sys::clock;
use crate::sys::procfs;
use crate::sys::root::{ProcessRoot, RootFile};

/// Code objects kept; the file of a large application has some 100,000.
const SYMBOLS_MAX: usize = 1_000_000;
/// Bytes of the file read in all.
const FILE_BYTES_MAX: u64 = 512 << 20;
/// Bytes read at a time; no line is longer.
const CHUNK_BYTES: usize = 256 << 10;
/// Longest name read.
const NAME_BYTES_MAX: usize = 1024;

/// An open map; the names stay in the file.
#[derive(Debug)]
pub struct PerfMap {
    file: RootFile,
    /// What was read of it: whole lines.
    n_read: u64,
    /// By first address.
    symbols: BTreeMap<u64, Symbol>,
    is_over_limit: bool,
}

#[derive(Clone, Copy, Debug)]
struct Symbol {
    /// Exclusive.
    end: u64,
    /// Where in the file its name is.
    name_offset: u64,
    name_len: u16,
}

impl PerfMap {
    /// Opens the map of a process; none if it writes none (so far).
    pub fn open(pid: u32) -> Option<Self> {
        let key = procfs::process_key(pid).ok()?;
        let status = procfs::status(pid).ok()?;
        // The process names the file by its pid as it knows it.
        let inner_pid = status.inner_pid().unwrap_or(pid);
        let path = PathBuf::from(format!("/tmp/perf-{inner_pid}.map"));
        let file = ProcessRoot::open(key).ok()?.open_file(&path).ok()?;
        let is_its_own = Some(file.uid) == status.uid;
        let is_of_now = file.modified_at().ok()? >= clock::wall_time_of_ticks(key.start_ticks)?;
        (is_its_own && is_of_now).then(|| Self::new(file))
    }

    fn new(file: RootFile) -> Self {
        Self { file, n_read: 0, symbols: BTreeMap::new(), is_over_limit: false }
    }

    /// Name of the code at an address, with its script if it has one. Reads what was written since.
    pub fn name(&mut self, address: Avma) -> Option<Arc<str>> {
        self.find(address).map(|symbol| symbol.to_string().into())
    }

    /// The code at an address. Reads what was written since.
    pub fn find(&mut self, address: Avma) -> Option<PerfSymbol> {
        self.catch_up();
        let (_, symbol) = self.symbols.range(..=address.0).next_back()?;
        if symbol.end <= address.0 {
            return None;
        }
        let name = self.file.read(symbol.name_offset, usize::from(symbol.name_len)).ok()?;
        Some(PerfSymbol::parse(&sanitize(&String::from_utf8_lossy(&name))))
    }

    /// True if the file has more than is kept: what was written last is not known.
    pub const fn is_over_limit(&self) -> bool {
        self.is_over_limit
    }

    fn catch_up(&mut self) {
        let Ok(size) = self.file.size_now() else { return };
        if size < self.n_read {
            // Begun anew.
            self.n_read = 0;
            self.symbols.clear();
            self.is_over_limit = false;
        }
        while self.n_read < size && !self.is_over_limit {
            let Ok(chunk) = self.file.read(self.n_read, CHUNK_BYTES) else { return };
            let n_whole = match chunk.iter().rposition(|byte| *byte == b'\n') {
                Some(at) => at.saturating_add(1),
                // Being written, or absurd: the parts of such a line are lines of no form.
                None if chunk.len() < CHUNK_BYTES => return,
                None => chunk.len(),
            };
            self.add_lines(chunk.get(..n_whole).unwrap_or_default());
            self.n_read = self.n_read.saturating_add(n_whole as u64);
            self.is_over_limit |= self.n_read >= FILE_BYTES_MAX;
        }
    }

    fn add_lines(&mut self, lines: &[u8]) {
        let mut offset = self.n_read;
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            if let Some((start, symbol)) = parse_line(line, offset) {
                self.add(start, symbol);
            }
            offset = offset.saturating_add(line.len() as u64);
        }
    }

    /// Code that was where new code is now is gone, all of it.
    fn add(&mut self, start: u64, symbol: Symbol) {
        while let Some((old_start, old)) = self.symbols.range(..symbol.end).next_back() {
            if old.end <= start {
                break;
            }
            let old_start = *old_start;
            self.symbols.remove(&old_start);
        }
        if self.symbols.len() < SYMBOLS_MAX {
            self.symbols.insert(start, symbol);
        } else {
            self.is_over_limit = true;
        }
    }
}

/// `START SIZE NAME`, numbers in hexadecimal digits (perf's `jit-interface.txt`).
fn parse_line(line: &[u8], offset: u64) -> Option<(u64, Symbol)> {
    let mut fields = line.strip_suffix(b"\n")?.splitn(3, |byte| *byte == b' ');
    let mut number = || {
        let digits = str::from_utf8(fields.next()?).ok()?;
        u64::from_str_radix(digits.strip_prefix("0x").unwrap_or(digits), 16).ok()
    };
    let (start, size) = (number()?, number()?);
    let name = fields.next()?;
    let before_name = line.len().checked_sub(name.len())?.checked_sub(1)?;
    let symbol = Symbol {
        end: start.checked_add(size)?,
        name_offset: offset.checked_add(before_name as u64)?,
        name_len: name.len().min(NAME_BYTES_MAX) as u16,
    };
    (size > 0 && !name.is_empty()).then_some((start, symbol))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    /// A map in a file of its own, read as that of a process would be.
    fn map_of(text: &str) -> (tempfile::NamedTempFile, PerfMap) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let key = procfs::process_key(std::process::id()).unwrap();
        let opened = ProcessRoot::open(key).unwrap().open_file(file.path()).unwrap();
        (file, PerfMap::new(opened))
    }

    fn name(map: &mut PerfMap, address: u64) -> Option<String> {
        map.name(Avma(address)).map(|name| name.to_string())
    }

    #[test]
    fn later_lines_win_and_growth_is_seen() {
        let (file, mut map) = map_of("1000 100 JS:~old\n2000 10 Builtin:A\n1080 100 JS:*ne");
        assert_eq!(name(&mut map, 0x10ff).as_deref(), Some("old"));
        assert_eq!(name(&mut map, 0x1100), None);
        assert_eq!(name(&mut map, 0xfff), None);
        let mut append = OpenOptions::new().append(true).open(file.path()).unwrap();
        append.write_all(b"w /app/a.js:3:1\n2000 8 Builtin:B\n").unwrap();
        assert_eq!(name(&mut map, 0x10ff).as_deref(), Some("new /app/a.js:3:1"));
        // The first function is not there any more, not even where it was not overwritten.
        assert_eq!(name(&mut map, 0x1000), None);
        assert_eq!(name(&mut map, 0x2007).as_deref(), Some("B"));
        assert_eq!(name(&mut map, 0x2008), None);
        fs::write(file.path(), "9000 10 Stub:C\n").unwrap();
        assert_eq!(name(&mut map, 0x9000).as_deref(), Some("C"));
        assert_eq!(name(&mut map, 0x2007), None);
        assert!(!map.is_over_limit());
    }

    #[test]
    fn hostile_lines_are_left_out() {
        let long = format!("5000 10 {}\n", "x".repeat(3 * CHUNK_BYTES));
        let lines = [
            "\n",
            "x\n",
            "1000\n",
            "1000 10\n",
            "1000 10 \n",
            "1000 0 a\n",
            "ffffffffffffffff 2 a\n",
            "-1 2 a\n",
            "1000 zz a\n",
            "11111111111111111 1 a\n",
            &long,
            "3000 10 JS:~a\u{1b}[2J\n",
            "0x4000 0x10 Function:b\n",
        ];
        let (_file, mut map) = map_of(&lines.concat());
        assert_eq!(name(&mut map, 0x3000).as_deref(), Some("a\u{fffd}[2J"));
        assert_eq!(name(&mut map, 0x4001).as_deref(), Some("b"));
        assert_eq!(map.symbols.len(), 2);
    }

    #[test]
    fn only_its_own_file_of_now() {
        let pid = std::process::id();
        let path = PathBuf::from(format!("/tmp/perf-{pid}.map"));
        assert!(PerfMap::open(pid).is_none());
        fs::write(&path, "1000 10 a\n").unwrap();
        let of_now = PerfMap::open(pid);
        // What an earlier process of this number left.
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        let old = PerfMap::open(pid);
        fs::remove_file(&path).unwrap();
        assert_eq!(name(&mut of_now.unwrap(), 0x1000).as_deref(), Some("a"));
        assert!(old.is_none());
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "([0-9a-f]{1,4} [0-9a-f]{1,3} [A-Z:*~a-z /.0-9]{0,20}\n|[ -~\n]{0,9}){0,12}", at in 0_u64..0x1_0000) {
            let (_file, mut map) = map_of(&text);
            let _name = map.name(Avma(at));
            let mut last_end = 0;
            for (start, symbol) in &map.symbols {
                prop_assert!(*start >= last_end && symbol.end > *start);
                last_end = symbol.end;
            }
        }
    }
}
