//! Where the loader writes the addresses of functions that an image takes from others. What they are is in the process, not in the file.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::ops::Range;

use object::elf;

use crate::base::Svma;
use crate::elf::image::SymbolTable;
use crate::elf::records::{E, RawSymbol, Relocation, records};
use crate::elf::symbols::{NameWindow, for_each_symbol, is_defined};
use crate::elf::{ElfError, Image, ReadAt, read_vec};

/// Bytes of one relocation section that are read; node has 16 MB.
const SECTION_BYTES_MAX: u64 = 256 << 20;

/// Bytes read at a time, whole relocations.
const BYTES_PER_READ: u64 = 8_192 * size_of::<Relocation>() as u64;

impl Image {
    /// A slot that holds the address of the function of that name, once the loader has filled it (at the start, for programs that are
    /// linked with `-z now`).
    pub fn find_import(&self, name: &str) -> Result<Option<Svma>, ElfError> {
        let Some(table) = &self.dynsym else { return Ok(None) };
        let Some(symbol) = find_undefined(&*self.source, table, name)? else { return Ok(None) };
        let mut sections: Vec<&Range<u64>> = self.relocations.iter().collect();
        // Jump slots, of which there are few, are in a section of their own.
        sections.sort_unstable_by_key(|range| range.end.saturating_sub(range.start));
        for section in sections {
            if let Some(slot) = find_slot(&*self.source, section, symbol)? {
                return Ok(Some(slot));
            }
        }
        Ok(None)
    }
}

fn find_undefined(
    source: &dyn ReadAt,
    table: &SymbolTable,
    name: &str,
) -> Result<Option<u32>, ElfError> {
    let mut by_name: Vec<(u32, u32)> = Vec::new();
    for_each_symbol(source, table, |index, symbol: &RawSymbol| {
        if !is_defined(symbol) && symbol.st_name.get(E) != 0 {
            by_name.push((symbol.st_name.get(E), index));
        }
    })?;
    by_name.sort_unstable();
    let mut names = NameWindow::new(source, table);
    for (name_offset, index) in by_name {
        if names.name_at(name_offset)? == Some(name.as_bytes()) {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

fn find_slot(
    source: &dyn ReadAt,
    section: &Range<u64>,
    symbol: u32,
) -> Result<Option<Svma>, ElfError> {
    let end = section.end.min(section.start.saturating_add(SECTION_BYTES_MAX));
    let mut at = section.start;
    while at < end {
        let len = end.saturating_sub(at).min(BYTES_PER_READ);
        let bytes = read_vec(source, at, len, BYTES_PER_READ as usize, "relocations")?;
        let slot = records::<Relocation>(&bytes).find(|relocation| {
            let info = relocation.r_info.get(E);
            let kind = info as u32;
            let is_slot = kind == elf::R_X86_64_JUMP_SLOT.0 || kind == elf::R_X86_64_GLOB_DAT.0;
            is_slot && info >> 32 == u64::from(symbol)
        });
        if let Some(relocation) = slot {
            return Ok(Some(Svma(relocation.r_offset.get(E))));
        }
        at = at.saturating_add(len);
    }
    Ok(None)
}
