//! Which mappings of a process may hold code that V8 generated, so that the search for a piece of code knows where to end.

use std::ops::Range;

use crate::base::{Avma, Nanos};
use crate::sys::{clock, procfs};

/// /proc/PID/maps is read again for an address in no known mapping, since V8 makes pages executable all the time; but so that no more
/// than one part in this many of the time goes into it.
const PAUSE_PER_READING: u64 = 8;

/// Executable memory without a file behind it.
#[derive(Debug, Default)]
pub(super) struct GeneratedCode {
    pid: u32,
    ranges: Vec<Range<u64>>,
    /// Not before.
    read_again_at: Nanos,
}

impl GeneratedCode {
    pub(super) fn new(pid: u32) -> Self {
        Self { pid, ..Self::default() }
    }

    /// Start of the mapping that `address` is in.
    pub(super) fn mapping_start(&mut self, address: Avma) -> Option<Avma> {
        if let Some(start) = self.find(address) {
            return Some(start);
        }
        let now = clock::now();
        if now < self.read_again_at {
            return None;
        }
        self.ranges = read(self.pid);
        let after = clock::now();
        self.read_again_at = Nanos(after.0 + after.since(now).0 * PAUSE_PER_READING);
        self.find(address)
    }

    fn find(&self, address: Avma) -> Option<Avma> {
        let after = self.ranges.partition_point(|range| range.start <= address.0);
        let range = self.ranges.get(after.checked_sub(1)?)?;
        range.contains(&address.0).then_some(Avma(range.start))
    }
}

/// Adjacent ones become one: a piece of code may lie across two.
fn read(pid: u32) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for entry in procfs::maps(pid).unwrap_or_default() {
        if !entry.is_executable || entry.inode != 0 {
            continue;
        }
        match ranges.last_mut() {
            Some(last) if last.end == entry.start => last.end = entry.end,
            _ => ranges.push(entry.start..entry.end),
        }
    }
    ranges
}
