//! What a mapping is for, as a whole: by its file, its name, and who put it there. Parts of it may be known better.

use std::ops::Range;

use crate::event::residency::RssPart;
use crate::source::residency::claim::Claim;
use crate::sys::procfs::MapEntry;
use crate::v8::page::Page;

/// What V8 has, as of the last time that somebody asked.
#[derive(Clone, Debug, Default)]
pub struct V8Memory {
    /// Mappings that V8 keeps from being copied on fork, ascending: all that it has (kernel-facts.md §0).
    pub mappings: Vec<Range<u64>>,
    /// Pages of its heaps, ascending.
    pub pages: Vec<Page>,
}

impl V8Memory {
    pub(super) fn claims(&self) -> Vec<Claim> {
        let claim = |page: &Page| {
            let part = if page.is_executable {
                RssPart::V8Code
            } else if page.is_young() {
                RssPart::V8Young
            } else if page.is_large() {
                RssPart::V8Large
            } else {
                RssPart::V8Old
            };
            Claim { start: page.start, end: page.start.saturating_add(page.size), part }
        };
        self.pages.iter().map(claim).collect()
    }

    pub(super) fn has(&self, entry: &MapEntry) -> bool {
        let after = self.mappings.partition_point(|range| range.start < entry.end);
        after.checked_sub(1).and_then(|at| self.mappings.get(at)).is_some_and(|range| {
            // The kernel splits and merges mappings.
            range.start < entry.end && entry.start < range.end
        })
    }
}

/// What the pages of a mapping are for if nothing better is known of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MappingUse {
    Part(RssPart),
    /// `[vdso]` and its like: not counted in RSS.
    Kernel,
}

impl MappingUse {
    pub(super) const fn part(self) -> RssPart {
        match self {
            Self::Part(part) => part,
            Self::Kernel => RssPart::Other,
        }
    }
}

pub(super) fn use_of(entry: &MapEntry, v8: &V8Memory, stack_pointers: &[u64]) -> MappingUse {
    let has_stack = || stack_pointers.iter().any(|sp| (entry.start..entry.end).contains(sp));
    let part = match entry.path.as_str() {
        "[vdso]" | "[vvar]" | "[vvar_vclock]" | "[vsyscall]" => return MappingUse::Kernel,
        "[heap]" => RssPart::AllocatorOther,
        "[stack]" => RssPart::Stacks,
        _ if entry.inode != 0 && entry.is_shared => RssPart::Shared,
        _ if entry.inode != 0 && is_binary(entry) => RssPart::Binaries,
        _ if entry.inode != 0 => RssPart::Files,
        _ if entry.is_shared => RssPart::Shared,
        _ if v8.has(entry) && entry.is_executable => RssPart::V8Code,
        _ if v8.has(entry) => RssPart::V8Other,
        _ if has_stack() => RssPart::Stacks,
        // Memory that the loader adds behind a library for its zeroed variables.
        _ => RssPart::Other,
    };
    MappingUse::Part(part)
}

/// Programs and libraries: by their names, since their data is not executable.
fn is_binary(entry: &MapEntry) -> bool {
    let name = entry.file_name();
    let is_library = |part: &str| part == "so" || part == "node";
    name.split('.').skip(1).any(is_library)
        || entry.is_executable
        || name == "node"
        || name == "nodejs"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(start: u64, end: u64, path: &str, inode: u64) -> MapEntry {
        MapEntry { start, end, path: path.to_owned(), inode, ..MapEntry::default() }
    }

    #[test]
    fn mappings_are_told_by_name_file_and_owner() {
        let v8 =
            V8Memory { mappings: Vec::from([0x1000..0x2000, 0x9000..0xa000]), pages: Vec::new() };
        let told = |entry: MapEntry| use_of(&entry, &v8, &[0x5800]);
        let part = MappingUse::Part;
        assert_eq!(told(entry(0, 1, "[vdso]", 0)), MappingUse::Kernel);
        assert_eq!(told(entry(0, 1, "[heap]", 0)), part(RssPart::AllocatorOther));
        assert_eq!(told(entry(0, 1, "/usr/lib/libc.so.6", 7)), part(RssPart::Binaries));
        assert_eq!(told(entry(0, 1, "/srv/data.bin", 7)), part(RssPart::Files));
        assert_eq!(told(entry(0x1800, 0x1900, "", 0)), part(RssPart::V8Other));
        assert_eq!(told(entry(0x2000, 0x3000, "", 0)), part(RssPart::Other));
        assert_eq!(told(entry(0x5000, 0x6000, "", 0)), part(RssPart::Stacks));
        let shared = MapEntry { is_shared: true, ..entry(0, 1, "/dev/shm/x", 3) };
        assert_eq!(told(shared), part(RssPart::Shared));
    }
}
