//! Fixed-size ELF64 little-endian records from bytes, through the structures of the `object` crate. Any
//! bytes give a value; whether it makes sense is for the reader.

use object::LittleEndian;
use object::elf::{FileHeader64, ProgramHeader64, Rela64, SectionHeader64, Sym64};
use object::pod::{Pod, from_bytes};

pub(super) type FileHeader = FileHeader64<LittleEndian>;
pub(super) type ProgramHeader = ProgramHeader64<LittleEndian>;
pub(super) type SectionHeader = SectionHeader64<LittleEndian>;
pub(super) type Relocation = Rela64<LittleEndian>;
pub(super) type RawSymbol = Sym64<LittleEndian>;

pub(super) const E: LittleEndian = LittleEndian;

/// The record at the start of `bytes`.
pub(super) fn record<T: Pod>(bytes: &[u8]) -> Option<&T> {
    from_bytes(bytes).ok().map(|(record, _)| record)
}

/// Whole records one after another; a rest is ignored.
pub(super) fn records<T: Pod>(bytes: &[u8]) -> impl Iterator<Item = &T> {
    bytes.chunks_exact(size_of::<T>()).filter_map(record)
}
