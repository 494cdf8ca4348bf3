//! Whose `malloc` a process calls: asks the loader's answer in Node's own import table, so that a preloaded library is seen whatever it is
//! called. What that allocator has is not looked at here.

use crate::base::{Avma, ReadMemory as _};
use crate::event::residency::Allocator;
use crate::node::identity::NodeIdentity;
use crate::sys::memory::ProcessMemory;
use crate::sys::procfs::{self, MapEntry};

/// `None` if Node does not import `malloc`, or the loader has not found it yet.
pub fn allocator_of(identity: &NodeIdentity) -> Option<Allocator> {
    let slot = identity.node.image.find_import("malloc").ok()??;
    let memory = ProcessMemory::new(identity.key.pid);
    let malloc = memory.read_u64(identity.node.bias.to_avma(slot)).ok()?;
    find(Avma(malloc), &procfs::maps(identity.key.pid).ok()?)
}

fn find(malloc: Avma, maps: &[MapEntry]) -> Option<Allocator> {
    let has = |entry: &&MapEntry| (entry.start..entry.end).contains(&malloc.0);
    let entry = maps.iter().find(has).filter(|entry| entry.is_executable)?;
    Some(by_file(entry.file_name()))
}

/// By the names that the projects give their libraries.
fn by_file(name: &str) -> Allocator {
    let known = [
        ("jemalloc", Allocator::Jemalloc),
        ("mimalloc", Allocator::Mimalloc),
        ("tcmalloc", Allocator::Tcmalloc),
    ];
    let named = known.into_iter().find(|(part, _)| name.contains(part));
    match named {
        Some((_, allocator)) => allocator,
        None if name == "libc.so.6" || name.starts_with("libc-2.") => Allocator::Glibc,
        None => Allocator::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::Image;
    use crate::sys::file::ImageFile;

    #[test]
    fn libraries_are_known_by_their_names() {
        let known = |name| by_file(name).name();
        assert_eq!(known("libc.so.6"), "glibc");
        assert_eq!(known("libc-2.31.so"), "glibc");
        assert_eq!(known("libjemalloc.so.2"), "jemalloc");
        assert_eq!(known("libmimalloc-secure.so.2.1"), "mimalloc");
        assert_eq!(known("libtcmalloc_minimal.so.4"), "tcmalloc");
        assert_eq!(known("libc_malloc_debug.so.0"), "other");
        assert_eq!(known("node"), "other");
    }

    #[test]
    fn the_loader_says_where_malloc_of_this_program_is() {
        let pid = std::process::id();
        let maps = procfs::maps(pid).unwrap();
        let image = Image::open(std::sync::Arc::new(ImageFile::open_exe(pid).unwrap())).unwrap();
        let exe = procfs::exe_path(pid).unwrap();
        let first = maps.iter().find(|entry| exe.as_os_str() == entry.path.as_str()).unwrap();
        let bias = image.bias_of_mapping(first.start, first.offset).unwrap();
        let slot = image.find_import("malloc").unwrap().unwrap();
        let malloc = ProcessMemory::new(pid).read_u64(bias.to_avma(slot)).unwrap();
        assert_eq!(find(Avma(malloc), &maps), Some(Allocator::Glibc));
        // No code is there.
        assert_eq!(find(Avma(0), &maps), None);
        assert_eq!(image.find_import("no_such_function").unwrap(), None);
    }
}
