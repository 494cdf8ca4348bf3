//! What a mapping is for, as a whole: by its file, its name, and who put it there. Parts of it may be known better.

use crate::event::residency::RssPart;
use crate::sys::procfs::MapEntry;

/// What the pages of a mapping are for if nothing better is known of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MappingUse {
    Part(RssPart),
    /// `[vvar]` and its like: the kernel's own, not counted in RSS.
    Kernel,
    /// Pages of hugetlbfs: not counted in RSS either.
    HugeTlb,
}

/// `is_v8`: pages of V8 were found in it.
pub(super) fn use_of(entry: &MapEntry, is_v8: bool, stack_pointers: &[u64]) -> MappingUse {
    let has_stack = || stack_pointers.iter().any(|sp| (entry.start..entry.end).contains(sp));
    let part = match entry.path.as_str() {
        "[vvar]" | "[vvar_vclock]" | "[vsyscall]" => return MappingUse::Kernel,
        "[vdso]" => RssPart::Binaries,
        "[heap]" => RssPart::AllocatorOther,
        "[stack]" => RssPart::Stacks,
        path if path.starts_with("/anon_hugepage") => return MappingUse::HugeTlb,
        _ if entry.inode != 0 && entry.is_shared => RssPart::Shared,
        _ if entry.inode != 0 && is_binary(entry) => RssPart::Binaries,
        _ if entry.inode != 0 => RssPart::Files,
        _ if entry.is_shared => RssPart::Shared,
        // Nobody else makes code at run time.
        _ if entry.is_executable => RssPart::V8Code,
        _ if is_v8 => RssPart::V8Other,
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
        let told = |entry: MapEntry| use_of(&entry, false, &[0x5800]);
        let part = MappingUse::Part;
        assert_eq!(told(entry(0, 1, "[vvar]", 0)), MappingUse::Kernel);
        assert_eq!(told(entry(0, 1, "[vdso]", 0)), part(RssPart::Binaries));
        assert_eq!(told(entry(0, 1, "/anon_hugepage (deleted)", 9)), MappingUse::HugeTlb);
        assert_eq!(told(entry(0, 1, "[heap]", 0)), part(RssPart::AllocatorOther));
        assert_eq!(told(entry(0, 1, "/usr/lib/libc.so.6", 7)), part(RssPart::Binaries));
        assert_eq!(told(entry(0, 1, "/srv/data.bin", 7)), part(RssPart::Files));
        assert_eq!(told(entry(0x2000, 0x3000, "", 0)), part(RssPart::Other));
        assert_eq!(told(entry(0x5000, 0x6000, "", 0)), part(RssPart::Stacks));
        let shared = MapEntry { is_shared: true, ..entry(0, 1, "/dev/shm/x", 3) };
        assert_eq!(told(shared), part(RssPart::Shared));
        let of_v8 = entry(0x1800, 0x1900, "", 0);
        assert_eq!(use_of(&of_v8, true, &[]), part(RssPart::V8Other));
        assert_eq!(
            use_of(&MapEntry { is_executable: true, ..of_v8 }, false, &[]),
            part(RssPart::V8Code)
        );
    }
}
