//! Addresses in mapped files → function names, from the files that the process really maps. Tables are read
//! when a frame first needs them, names one by one.

use std::sync::Arc;

use crate::base::{Avma, FastMap, FastSet, FileOffset, sanitize};
use crate::elf::{Image, SymbolIndex};
use crate::symbolize::demangle::short_name;
use crate::symbolize::shared_symbols::SharedSymbols;
use crate::sys::file::ImageFile;
use crate::sys::procfs::{self, MapEntry};

/// Files whose symbols are kept. Node itself, the C library and a few add-ons.
const IMAGES_MAX: usize = 64;

/// Names kept, by address. Call sites in the allocation paths of Node are a few thousand.
const NAMES_MAX: usize = 50_000;

/// Code that V8 generates comes and goes in such pieces (`MemoryChunk`): an unknown address makes the maps be read
/// again once for each.
const UNKNOWN_PIECE_BYTES: u64 = 256 << 10;

/// Pieces remembered as unknown; beyond them nothing unknown is looked for.
const UNKNOWN_MAX: usize = 4_096;

/// Device and inode.
type FileKey = ((u32, u32), u64);

/// Symbols of one process.
#[derive(Debug)]
pub struct NativeSymbols {
    pid: u32,
    maps: Vec<MapEntry>,
    images: FastMap<FileKey, Option<Arc<SymbolIndex>>>,
    shared: SharedSymbols,
    names: FastMap<Avma, Option<Arc<str>>>,
    /// Numbers of pieces of memory that were not mapped as code when the maps were read for them.
    unknown: FastSet<u64>,
}

impl NativeSymbols {
    pub fn new(pid: u32, shared: SharedSymbols) -> Self {
        Self {
            pid,
            shared,
            maps: Vec::new(),
            images: FastMap::default(),
            names: FastMap::default(),
            unknown: FastSet::default(),
        }
    }

    /// Short name of the function at `address`; `None` for generated code and unknown memory.
    pub fn name(&mut self, address: Avma) -> Option<Arc<str>> {
        if let Some(name) = self.names.get(&address) {
            return name.clone();
        }
        let name = self.find(address);
        if self.names.len() < NAMES_MAX {
            self.names.insert(address, name.clone());
        }
        name
    }

    fn find(&mut self, address: Avma) -> Option<Arc<str>> {
        let entry = self.entry(address)?;
        if entry.inode == 0 {
            // `[vdso]` and `[vsyscall]`: the kernel's own code, in no file.
            return entry.path.starts_with("[v").then(|| sanitize(&entry.path).into());
        }
        let in_file = (address.0 - entry.start).checked_add(entry.offset)?;
        let index = self.index(&entry)?;
        let symbol = index.svma_of(FileOffset(in_file)).and_then(|svma| index.nearest(svma));
        Some(match symbol {
            Some((symbol, _)) => short_name(&symbol).into(),
            None => sanitize(&format!("{}+{in_file:#x}", entry.file_name())).into(),
        })
    }

    /// A range was mapped or unmapped: what was known of addresses in it may be another file's now.
    pub fn mappings_changed(&mut self, start: u64, len: u64) {
        let end = start.saturating_add(len);
        let pieces = start / UNKNOWN_PIECE_BYTES..end.div_ceil(UNKNOWN_PIECE_BYTES);
        // Most mappings are small stores, of which there may be a hundred thousand a second.
        if pieces.end - pieces.start < self.unknown.len() as u64 {
            for piece in pieces {
                self.unknown.remove(&piece);
            }
        } else {
            self.unknown.retain(|piece| !pieces.contains(piece));
        }
        let is_hit = |entry: &MapEntry| entry.inode != 0 && entry.start < end && start < entry.end;
        if self.maps.iter().any(is_hit) {
            self.maps.clear();
            self.names.clear();
        }
    }

    fn entry(&mut self, address: Avma) -> Option<MapEntry> {
        if let Some(entry) = self.lookup(address) {
            return Some(entry);
        }
        // Mapped since: read again, but not for every frame of code that V8 generates all the time.
        let piece = address.0 / UNKNOWN_PIECE_BYTES;
        if self.unknown.contains(&piece) || self.unknown.len() >= UNKNOWN_MAX {
            return None;
        }
        self.maps = procfs::maps(self.pid).unwrap_or_default();
        self.maps.retain(|entry| entry.is_executable);
        let entry = self.lookup(address);
        if entry.is_none() {
            self.unknown.insert(piece);
        }
        entry
    }

    fn lookup(&self, address: Avma) -> Option<MapEntry> {
        let after = self.maps.partition_point(|entry| entry.start <= address.0);
        let entry = self.maps.get(after.checked_sub(1)?)?;
        (address.0 < entry.end).then(|| entry.clone())
    }

    fn index(&mut self, entry: &MapEntry) -> Option<&SymbolIndex> {
        let key = (entry.device, entry.inode);
        if !self.images.contains_key(&key) {
            if self.images.len() >= IMAGES_MAX {
                return None;
            }
            let index = ImageFile::open_mapping(self.pid, entry)
                .ok()
                .and_then(|file| Image::open(Arc::new(file)).ok())
                .and_then(|image| self.shared.index(&image));
            self.images.insert(key, index);
        }
        self.images.get(&key)?.as_deref()
    }
}
