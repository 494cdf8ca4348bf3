//! One ELF image: its segments, where its symbol tables are, build id and interpreter; translation between
//! stated addresses and file offsets. Which image matters and why is not known here.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use object::elf;

use crate::base::{Bias, FileOffset, Svma};
use crate::elf::records::{E, FileHeader, ProgramHeader, SectionHeader, record, records};
use crate::elf::{ElfError, ReadAt, read_vec};

/// Program headers read; real images have about a dozen.
const SEGMENTS_MAX: usize = 256;
/// Section headers read; node has 45, images built with a section per function may have thousands.
const SECTIONS_MAX: usize = 65_536;
/// Longest interpreter path (`PATH_MAX`).
const INTERPRETER_BYTES_MAX: usize = 4096;
/// Largest note segment searched for a build id.
const NOTES_BYTES_MAX: usize = 1 << 20;
/// Segments are mapped in whole pages.
const PAGE_MASK: u64 = !0xfff;
/// Longest build id; SHA-1 has 20 bytes, linkers accept any hex string.
const BUILD_ID_BYTES_MAX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Loaded at its stated addresses.
    PositionDependent,
    /// Position-independent executable or shared library.
    PositionIndependent,
}

/// A loadable part of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub svma: Svma,
    pub file_offset: FileOffset,
    /// Bytes taken from the file; the rest up to the size in memory is zero.
    pub file_bytes: u64,
    pub memory_bytes: u64,
    pub is_executable: bool,
}

/// GNU build id, as lower-case hex digits.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct BuildId(pub String);

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Where a symbol table and its names are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SymbolTable {
    pub(super) symbols: Range<u64>,
    pub(super) names: Range<u64>,
}

/// An opened image. Keeps the headers' facts and the file; the contents are read on demand.
#[derive(Clone)]
pub struct Image {
    pub(super) source: Arc<dyn ReadAt>,
    pub kind: FileKind,
    /// `EM_…` of the file header.
    pub machine: u16,
    pub segments: Vec<Segment>,
    /// Path of the dynamic linker; none for a static executable or a library.
    pub interpreter: Option<String>,
    pub build_id: Option<BuildId>,
    pub(super) symtab: Option<SymbolTable>,
    pub(super) dynsym: Option<SymbolTable>,
    /// Sections of the file that say what the loader has to fill in.
    pub(super) relocations: Vec<Range<u64>>,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image")
            .field("kind", &self.kind)
            .field("machine", &self.machine)
            .field("build_id", &self.build_id)
            .field("n_segments", &self.segments.len())
            .finish_non_exhaustive()
    }
}

impl Image {
    /// Reads the headers: a few kilobytes.
    pub fn open(source: Arc<dyn ReadAt>) -> Result<Self, ElfError> {
        let header_bytes = read_vec(&*source, 0, size_of::<FileHeader>() as u64, 64, "file header")
            .map_err(|error| match error {
                ElfError::Damaged(_) => ElfError::NotElf,
                other => other,
            })?;
        let header: &FileHeader = record(&header_bytes).ok_or(ElfError::NotElf)?;
        if header.e_ident.magic != elf::ELFMAG {
            return Err(ElfError::NotElf);
        }
        if header.e_ident.class.0 != elf::ELFCLASS64.0 {
            return Err(ElfError::Class32);
        }
        if header.e_ident.data.0 != elf::ELFDATA2LSB.0 {
            return Err(ElfError::BigEndian);
        }
        let mut image = Self {
            kind: if header.e_type.get(E).0 == elf::ET_EXEC.0 {
                FileKind::PositionDependent
            } else {
                FileKind::PositionIndependent
            },
            machine: header.e_machine.get(E).0,
            segments: Vec::new(),
            interpreter: None,
            build_id: None,
            symtab: None,
            dynsym: None,
            relocations: Vec::new(),
            source,
        };
        image.read_program_headers(header)?;
        image.read_section_headers(header)?;
        Ok(image)
    }

    fn read_program_headers(&mut self, header: &FileHeader) -> Result<(), ElfError> {
        let n = usize::from(header.e_phnum.get(E)).min(SEGMENTS_MAX);
        let len = n.saturating_mul(size_of::<ProgramHeader>());
        let bytes =
            read_vec(&*self.source, header.e_phoff.get(E), len as u64, len, "program headers")?;
        for program_header in records::<ProgramHeader>(&bytes) {
            let offset = program_header.p_offset.get(E);
            let file_bytes = program_header.p_filesz.get(E);
            match program_header.p_type.get(E) {
                elf::PT_LOAD => self.segments.push(Segment {
                    svma: Svma(program_header.p_vaddr.get(E)),
                    file_offset: FileOffset(offset),
                    file_bytes,
                    memory_bytes: program_header.p_memsz.get(E),
                    is_executable: program_header.p_flags.get(E).0 & elf::PF_X.0 != 0,
                }),
                elf::PT_INTERP => {
                    let path = read_vec(
                        &*self.source,
                        offset,
                        file_bytes,
                        INTERPRETER_BYTES_MAX,
                        "interpreter",
                    )?;
                    let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
                    self.interpreter = Some(String::from_utf8_lossy(path).into_owned());
                }
                elf::PT_NOTE if self.build_id.is_none() => {
                    // A damaged note costs the build id, not the image.
                    if let Ok(notes) =
                        read_vec(&*self.source, offset, file_bytes, NOTES_BYTES_MAX, "notes")
                    {
                        self.build_id = find_build_id(&notes);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn read_section_headers(&mut self, header: &FileHeader) -> Result<(), ElfError> {
        let n = usize::from(header.e_shnum.get(E)).min(SECTIONS_MAX);
        let len = n.saturating_mul(size_of::<SectionHeader>());
        // A fully stripped file has none; that is a fact, not damage.
        let Ok(bytes) =
            read_vec(&*self.source, header.e_shoff.get(E), len as u64, len, "section headers")
        else {
            return Ok(());
        };
        let file_range = |section: &SectionHeader| {
            let start = section.sh_offset.get(E);
            let end = start.checked_add(section.sh_size.get(E))?;
            (end <= self.source.size()).then_some(start..end)
        };
        let sections: Vec<&SectionHeader> = records(&bytes).collect();
        for section in &sections {
            let kind = section.sh_type.get(E);
            if kind == elf::SHT_RELA {
                self.relocations.extend(file_range(section));
            }
            if kind != elf::SHT_SYMTAB && kind != elf::SHT_DYNSYM {
                continue;
            }
            let names = sections.get(section.sh_link.get(E) as usize).copied().and_then(file_range);
            let table = file_range(section).zip(names).ok_or(ElfError::Damaged("symbol table"))?;
            let table = Some(SymbolTable { symbols: table.0, names: table.1 });
            if kind == elf::SHT_SYMTAB {
                self.symtab = table;
            } else {
                self.dynsym = table;
            }
        }
        Ok(())
    }

    /// Has a full symbol table, not only the exported names.
    pub const fn has_symtab(&self) -> bool {
        self.symtab.is_some()
    }

    /// Size of the file in bytes.
    pub fn file_bytes(&self) -> u64 {
        self.source.size()
    }

    /// Where the byte at `svma` is in the file; none for zero-initialised or unmapped addresses.
    pub fn file_offset_of(&self, svma: Svma) -> Option<FileOffset> {
        self.segments.iter().find_map(|segment| {
            let distance = svma.0.checked_sub(segment.svma.0)?;
            (distance < segment.file_bytes).then_some(())?;
            segment.file_offset.checked_add(distance)
        })
    }

    /// The stated address of a file offset; of an executable segment where segments share a page.
    pub fn svma_of(&self, offset: FileOffset) -> Option<Svma> {
        let find = |wants_code: bool| {
            self.segments.iter().filter(|segment| segment.is_executable == wants_code).find_map(
                |segment| {
                    let distance = offset.0.checked_sub(segment.file_offset.0)?;
                    (distance < segment.file_bytes).then_some(())?;
                    segment.svma.checked_add(distance)
                },
            )
        };
        find(true).or_else(|| find(false))
    }

    /// Lies in code.
    pub fn is_executable(&self, svma: Svma) -> bool {
        self.segments.iter().any(|segment| {
            segment.is_executable
                && svma
                    .0
                    .checked_sub(segment.svma.0)
                    .is_some_and(|distance| distance < segment.memory_bytes)
        })
    }

    /// From the first to the last byte of executable segments.
    pub fn text(&self) -> Option<Range<Svma>> {
        let code = || self.segments.iter().filter(|segment| segment.is_executable);
        let start = code().map(|segment| segment.svma).min()?;
        let end =
            code().filter_map(|segment| segment.svma.checked_add(segment.memory_bytes)).max()?;
        Some(start..end)
    }

    /// AVMA − SVMA, if the mapping that starts at `start` shows the file from `offset` on and is one that the
    /// loader made (V8 maps its builtins a second time, elsewhere).
    pub fn bias_of_mapping(&self, start: u64, offset: u64) -> Option<Bias> {
        if self.kind == FileKind::PositionDependent {
            return Some(Bias(0));
        }
        self.segments.iter().find_map(|segment| {
            (segment.file_offset.0 & PAGE_MASK == offset).then_some(())?;
            Some(Bias(start.wrapping_sub(segment.svma.0 & PAGE_MASK)))
        })
    }

    /// Fills `out` with what the file has at `svma`.
    pub fn read_at(&self, svma: Svma, out: &mut [u8]) -> Result<(), ElfError> {
        let offset = self.file_offset_of(svma).ok_or(ElfError::Damaged("address"))?;
        Ok(self.source.read_exact_at(offset.0, out)?)
    }

    /// Up to `len` bytes at `svma`, fewer at the end of the segment.
    pub fn read_up_to(&self, svma: Svma, len: usize) -> Result<Vec<u8>, ElfError> {
        let available = self
            .segments
            .iter()
            .find_map(|segment| {
                let distance = svma.0.checked_sub(segment.svma.0)?;
                segment.file_bytes.checked_sub(distance).filter(|rest| *rest > 0)
            })
            .ok_or(ElfError::Damaged("address"))?;
        let mut bytes = vec![0; len.min(usize::try_from(available).unwrap_or(usize::MAX))];
        self.read_at(svma, &mut bytes)?;
        Ok(bytes)
    }

    /// The constant that a data symbol points at.
    pub fn read_u32(&self, svma: Svma) -> Result<u32, ElfError> {
        let mut bytes = [0; 4];
        self.read_at(svma, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }
}

/// Walks ELF notes: three words (name size, description size, type), then both padded to four bytes.
fn find_build_id(notes: &[u8]) -> Option<BuildId> {
    let mut rest = notes;
    loop {
        let (header, body) = rest.split_at_checked(12)?;
        let word = |at: usize| {
            let bytes = header.get(at..)?.first_chunk::<4>()?;
            Some(u32::from_le_bytes(*bytes) as usize)
        };
        let (name_len, description_len, kind) = (word(0)?, word(4)?, word(8)?);
        let (name, body) = body.split_at_checked(name_len.checked_next_multiple_of(4)?)?;
        let description = body.get(..description_len)?;
        if kind == elf::NT_GNU_BUILD_ID.0 as usize
            && name.starts_with(b"GNU\0")
            && (1..=BUILD_ID_BYTES_MAX).contains(&description_len)
        {
            use fmt::Write as _;
            let mut hex = String::new();
            for byte in description {
                // Writing to a String cannot fail.
                write!(hex, "{byte:02x}").ok()?;
            }
            return Some(BuildId(hex));
        }
        rest = body.get(description_len.checked_next_multiple_of(4)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_id_is_found_behind_another_note() {
        let mut notes = Vec::new();
        for (kind, description) in [(1_u32, &[9_u8; 5][..]), (3, &[0xab, 0xcd])] {
            notes.extend(4_u32.to_le_bytes());
            notes.extend((description.len() as u32).to_le_bytes());
            notes.extend(kind.to_le_bytes());
            notes.extend(b"GNU\0");
            notes.extend(description);
            notes.resize(notes.len().next_multiple_of(4), 0);
        }
        assert_eq!(find_build_id(&notes), Some(BuildId("abcd".to_owned())));
        assert_eq!(find_build_id(&notes[..30]), None);
    }

    #[test]
    fn what_is_not_elf_says_so() {
        for bytes in [Vec::new(), b"#!/bin/sh\n".to_vec(), vec![0; 4096]] {
            assert!(matches!(Image::open(Arc::new(bytes)), Err(ElfError::NotElf)));
        }
    }
}
