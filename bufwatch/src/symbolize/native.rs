//! Addresses in mapped files → function names, from the files that the process really maps. Tables are read
//! when a frame first needs them, names one by one.

use std::sync::Arc;

use crate::base::{Avma, FastMap};
use crate::elf::{Image, SymbolIndex};
use crate::symbolize::demangle::short_name;
use crate::sys::file::ImageFile;
use crate::sys::procfs::{self, MapEntry};

/// Files whose symbols are kept. Node itself, the C library and a few add-ons.
const IMAGES_MAX: usize = 64;

/// Names kept, by address. Call sites in the allocation paths of Node are a few thousand.
const NAMES_MAX: usize = 50_000;

/// Device and inode.
type FileKey = ((u32, u32), u64);

/// Symbols of one process.
#[derive(Debug)]
pub struct NativeSymbols {
    pid: u32,
    maps: Vec<MapEntry>,
    images: FastMap<FileKey, Option<SymbolIndex>>,
    names: FastMap<Avma, Option<Arc<str>>>,
    /// The address that last made the maps be read again without success.
    unknown: Option<Avma>,
}

impl NativeSymbols {
    pub fn new(pid: u32) -> Self {
        Self {
            pid,
            maps: Vec::new(),
            images: FastMap::default(),
            names: FastMap::default(),
            unknown: None,
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
            return None;
        }
        let file_name = entry.file_name().to_owned();
        let in_file = (address.0 - entry.start).checked_add(entry.offset)?;
        let index = self.index(&entry)?;
        let svma = index.svma_of(crate::base::FileOffset(in_file))?;
        Some(match index.nearest(svma) {
            Some((symbol, _)) => short_name(&symbol).into(),
            None => crate::base::sanitize(&format!("{file_name}+{in_file:#x}")).into(),
        })
    }

    fn entry(&mut self, address: Avma) -> Option<MapEntry> {
        if let Some(entry) = self.lookup(address) {
            return Some(entry);
        }
        // Mapped since: read again, but not for every frame of code that V8 generates all the time.
        if self.unknown.is_some_and(|unknown| unknown.0.abs_diff(address.0) < 1 << 30) {
            return None;
        }
        self.maps = procfs::maps(self.pid).unwrap_or_default();
        self.maps.retain(|entry| entry.is_executable);
        let entry = self.lookup(address);
        self.unknown = entry.is_none().then_some(address);
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
                .and_then(|image| SymbolIndex::build(&image).ok());
            self.images.insert(key, index);
        }
        self.images.get(&key)?.as_ref()
    }
}
