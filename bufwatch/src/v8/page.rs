//! Headers of V8's memory chunks ("pages"): how to recognise one, and what it says of the memory behind it. Reads no objects.
//!
//! Layouts were measured on V8 10.2 to 14.6 (v8-heap-census.md §1). Flags besides the two of the young generation move between
//! versions and are not used; a page's kind follows from the mapping it is in, and from its size.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::ops::Range;

use crate::base::{Avma, FastSet, ReadMemory, ReadPart};
use crate::v8::object::word_in;

/// V8's page alignment (`kPageSizeBits` = 18, src/common/globals.h) in all supported versions.
pub const PAGE_ALIGNMENT: u64 = 256 << 10;

/// Bytes of a page header, or of its metadata, that are looked at.
pub const HEADER_BYTES: usize = 128;

/// Page headers looked at in one search: 64 GB of anonymous memory.
pub const CANDIDATES_MAX: usize = 1 << 18;

/// Bit of the flags in all supported versions (src/heap/memory-chunk*.h): the half of new space that is empty between collections.
const FROM_PAGE: u64 = 1 << 3;
/// The half that is in use.
const TO_PAGE: u64 = 1 << 4;

/// How a page header is laid out (v8-heap-census.md §1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum PageLayout {
    /// V8 9 to 11: size at 0, flags at 8, `Heap*` at 16, area at 24 and 32, allocated at 40, owner at 64.
    Plain,
    /// V8 12: flags at 0, own address at 8, size at 16, `Heap*` at 24, area at 32 and 40, allocated at 48, owner at 72.
    SelfPointer,
    /// From V8 13: flags at 0, metadata apart, behind a pointer at 8; there allocated is at 24, size at 48, area at 72 and 56, `Heap*`
    /// at 64, owner at 80.
    Metadata,
}

/// A readable mapping without a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MemoryRange {
    pub start: u64,
    /// Exclusive.
    pub end: u64,
    pub is_writable: bool,
    pub is_executable: bool,
}

/// A page whose header makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    pub start: u64,
    /// Of the whole chunk, header included, as far as it is mapped.
    pub size: u64,
    /// The same as V8 counts it, whether it is mapped or not.
    pub committed: u64,
    /// Bytes of its objects, unused linear areas included; of young pages all.
    pub allocated: u64,
    /// First byte of the objects.
    pub area_start: u64,
    /// Exclusive.
    pub area_end: u64,
    /// `Heap*`: which isolate it belongs to. `None` for memory that isolates share, which is read-only.
    pub heap: Option<Avma>,
    /// `Space*`.
    pub owner: u64,
    pub flags: u64,
    pub is_writable: bool,
    pub is_executable: bool,
}

impl Page {
    /// Garbage between two collections.
    pub const fn is_from_space(&self) -> bool {
        self.flags & FROM_PAGE != 0 && self.flags & TO_PAGE == 0
    }

    pub const fn is_young(&self) -> bool {
        self.flags & (FROM_PAGE | TO_PAGE) != 0
    }

    /// Nothing in it refers to anything outside of read-only memory.
    pub const fn is_read_only(&self) -> bool {
        self.heap.is_none() || !self.is_writable
    }

    /// It may hold an object larger than ordinary pages do.
    pub const fn is_large(&self) -> bool {
        self.size > PAGE_ALIGNMENT
    }
}

impl PageLayout {
    /// Where the rest of the header is, if it is not in the page.
    const fn is_split(self) -> bool {
        matches!(self, Self::Metadata)
    }

    /// Where the rest of the header is, if it is not in the page and the first part makes sense.
    pub(super) fn metadata(self, header: &[u8]) -> Option<Avma> {
        let at = word_in(header, 8).filter(|at| self.is_split() && is_pointer(*at))?;
        (word_in(header, 0)? < 1 << 32).then_some(Avma(at))
    }

    /// What a header says, checked. `header` is the page's first bytes, and with [`PageLayout::Metadata`] those of its metadata.
    pub fn parse(self, page: u64, header: &[u8], metadata: &[u8]) -> Option<Page> {
        let word = |at| word_in(header, at);
        let apart = |at| word_in(metadata, at);
        let (flags, size, area_start, area_end, heap, owner) = match self {
            Self::Plain => (word(8)?, word(0)?, word(24)?, word(32)?, word(16)?, word(64)?),
            Self::SelfPointer => {
                (word(8)? == page).then_some(())?;
                (word(0)?, word(16)?, word(32)?, word(40)?, word(24)?, word(72)?)
            }
            Self::Metadata => {
                (word(0)?, apart(48)?, apart(72)?, apart(56)?, apart(64)?, apart(80)?)
            }
        };
        let allocated = match self {
            Self::Plain => word(40)?,
            Self::SelfPointer => word(48)?,
            Self::Metadata => apart(24)?,
        };
        let start_offset = area_start.checked_sub(page)?;
        let end_offset = area_end.checked_sub(page)?;
        let is_page = (1..0x8000).contains(&start_offset)
            && end_offset > start_offset
            && end_offset <= size
            && (0x1000..1 << 36).contains(&size)
            && area_start.is_multiple_of(8)
            && flags < 1 << 32
            && (heap == 0 || is_pointer(heap));
        is_page.then_some(Page {
            start: page,
            size,
            committed: size,
            allocated: allocated.min(size),
            area_start,
            area_end,
            heap: (heap != 0).then_some(Avma(heap)),
            owner,
            flags,
            is_writable: false,
            is_executable: false,
        })
    }
}

/// The pages that begin at these places, ascending, each place with the mapping that it is in. `ranges`: all mappings that may have parts of pages,
/// ascending.
pub fn find_pages_at(
    memory: &impl ReadMemory,
    layout: PageLayout,
    candidates: &[(u64, MemoryRange)],
    ranges: &[MemoryRange],
) -> Vec<Page> {
    let headers = read_blocks(memory, candidates.iter().map(|(start, _)| *start));
    let metadata = if layout.is_split() {
        let pointer = |header: &Option<[u8; HEADER_BYTES]>| layout.metadata(header.as_ref()?);
        // Address 0 is never readable.
        read_blocks(memory, headers.iter().map(|header| pointer(header).map_or(0, |at| at.0)))
    } else {
        vec![None; headers.len()]
    };
    let mut pages: Vec<Page> = Vec::new();
    let mut covered_to = 0;
    for (((start, range), header), metadata) in candidates.iter().zip(&headers).zip(&metadata) {
        if *start < covered_to {
            continue;
        }
        let Some(header) = header else { continue };
        let metadata = metadata.as_ref().map_or(&[][..], |it| it.as_slice());
        let Some(page) = layout.parse(*start, header, metadata) else { continue };
        // Up to V8 12 code is in a mapping of its own, behind the header and a guard.
        let area = range_of(ranges, page.area_start).unwrap_or(range);
        // Foreign bytes that look like a header hide at most the rest of their mapping.
        covered_to = start.saturating_add(page.size).min(area.end);
        // The end of a page may be unmapped, to give memory back.
        let size = page.size.min(area.end.saturating_sub(*start));
        let area_end = page.area_end.min(start.saturating_add(size)) & !7;
        pages.push(Page {
            size: size & !7,
            area_end,
            is_writable: range.is_writable,
            is_executable: area.is_executable,
            ..page
        });
    }
    pages.sort_unstable_by_key(|page| page.start);
    pages
}

/// In `Space` of all supported versions: the `Heap` that it belongs to (src/heap/base-space.h; measured on V8 10.2 to 14.6).
pub(super) const SPACE_HEAP: u64 = 8;

/// False for what a header of old says: a page that is pooled may have had an owner that is no more.
pub fn is_space_of(memory: &impl ReadMemory, owner: u64, heap: Avma) -> bool {
    owner.checked_add(SPACE_HEAP).is_some_and(|at| memory.read_u64(Avma(at)) == Ok(heap.0))
}

/// Without pages of a heap that owns no space: bytes of others that look like a header.
pub fn of_known_heaps(memory: &impl ReadMemory, mut pages: Vec<Page>) -> Vec<Page> {
    let mut asked: FastSet<(u64, Avma)> = FastSet::default();
    let mut known: FastSet<Avma> = FastSet::default();
    for page in &pages {
        let Some(heap) = page.heap else { continue };
        if !known.contains(&heap)
            && asked.insert((page.owner, heap))
            && is_space_of(memory, page.owner, heap)
        {
            known.insert(heap);
        }
    }
    pages.retain(|page| page.heap.is_none_or(|heap| known.contains(&heap)));
    pages
}

/// Of mappings, which ascend, the one that an address is in.
pub fn range_of(ranges: &[MemoryRange], address: u64) -> Option<&MemoryRange> {
    let behind = ranges.partition_point(|range| range.start <= address);
    ranges.get(behind.checked_sub(1)?).filter(|range| address < range.end)
}

/// Reads blocks of header size; `None` where nothing can be read.
fn read_blocks(
    memory: &impl ReadMemory,
    addresses: impl Iterator<Item = u64>,
) -> Vec<Option<[u8; HEADER_BYTES]>> {
    let addresses: Vec<u64> = addresses.collect();
    let mut blocks = vec![[0_u8; HEADER_BYTES]; addresses.len()];
    let mut parts: Vec<ReadPart<'_>> = addresses
        .iter()
        .zip(blocks.iter_mut())
        .filter(|(address, _)| **address != 0)
        .map(|(address, block)| ReadPart::new(Avma(*address), block.as_mut_slice()))
        .collect();
    memory.read_parts(&mut parts);
    let mut are_read = parts.iter().map(|part| part.is_read).collect::<Vec<_>>().into_iter();
    let was_read = addresses.iter().map(|it| *it != 0 && are_read.next().unwrap_or(false));
    let was_read: Vec<bool> = was_read.collect();
    blocks.into_iter().zip(was_read).map(|(block, is_read)| is_read.then_some(block)).collect()
}

/// Where pages can begin.
pub fn starts_in(range: &Range<u64>) -> impl Iterator<Item = u64> + use<> {
    let first = range.start.checked_next_multiple_of(PAGE_ALIGNMENT).unwrap_or(u64::MAX);
    // A page has at least its header and an object.
    let end = range.end.saturating_sub(0x1000);
    (first..end).step_by(PAGE_ALIGNMENT as usize)
}

/// An aligned user-space address.
pub const fn is_pointer(word: u64) -> bool {
    word.is_multiple_of(8) && word > 0xffff && word < 1 << 47
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::MemoryError;

    const START: u64 = 0x524_0000;

    /// Headers of two pages of V8 10: one of code, whose area is in a mapping of its own, and a usual one behind it.
    struct Headers;

    impl ReadMemory for Headers {
        fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
            let area = match address.0 {
                START => START + 0x3000..START + 0x3_f000,
                0x528_0000 => 0x528_1118..0x52c_0000,
                _ => return Err(MemoryError::Unmapped(address)),
            };
            let words = [0x4_0000, 0, 0x1320_9338, area.start, area.end, 0, 0, 0, 0x132c_6760];
            let bytes: Vec<u8> = words.iter().flat_map(|word: &u64| word.to_le_bytes()).collect();
            let n = out.len().min(bytes.len());
            out[..n].copy_from_slice(&bytes[..n]);
            Ok(())
        }
    }

    #[test]
    fn code_behind_a_guard_belongs_to_its_page() {
        let range = |start, end, is_executable: bool| MemoryRange {
            start,
            end,
            is_writable: !is_executable,
            is_executable,
        };
        let ranges = [
            range(START, START + 0x2000, false),
            range(START + 0x3000, START + 0x3_2000, true),
            range(0x528_0000, 0x52c_0000, false),
        ];
        let places: Vec<(u64, MemoryRange)> = ranges
            .iter()
            .flat_map(|range| starts_in(&(range.start..range.end)).map(|at| (at, *range)))
            .collect();
        let pages = find_pages_at(&Headers, PageLayout::Plain, &places, &ranges);
        let [code, usual] = pages.as_slice() else { panic!("{pages:?}") };
        assert_eq!((code.start, code.size), (START, 0x3_2000));
        assert_eq!((code.area_start, code.area_end), (START + 0x3000, START + 0x3_2000));
        assert!(code.is_executable && !code.is_read_only());
        assert_eq!((usual.start, usual.size), (0x528_0000, 0x4_0000));
        assert!(!usual.is_executable);
    }

    /// One space, which belongs to a heap.
    struct Space;

    impl ReadMemory for Space {
        fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
            if address != Avma(0x7008) {
                return Err(MemoryError::Unmapped(address));
            }
            out.copy_from_slice(&0x5000_0000_u64.to_le_bytes());
            Ok(())
        }
    }

    #[test]
    fn a_heap_without_a_space_is_none() {
        let page = |start, owner, heap| {
            let page = PageLayout::Plain.parse(
                start,
                &[0x4_0000, 0, heap, start + 0x100, start + 0x4_0000, 0, 0, 0, owner]
                    .iter()
                    .flat_map(|word: &u64| word.to_le_bytes())
                    .collect::<Vec<u8>>(),
                &[],
            );
            page.unwrap()
        };
        let pages = vec![
            page(START, 0x7000, 0x5000_0000),
            // Pooled: its owner is no more.
            page(START + 0x4_0000, 0x9000, 0x5000_0000),
            page(START + 0x8_0000, 0x7000, 0x6000_0000),
            // Read-only.
            page(START + 0xc_0000, 0, 0),
        ];
        let starts: Vec<u64> =
            of_known_heaps(&Space, pages).iter().map(|it| it.start - START).collect();
        assert_eq!(starts, [0, 0x4_0000, 0xc_0000]);
    }
}
