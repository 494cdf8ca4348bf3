//! Blocks with a mapping of their own (`sysmalloc_mmap`): found by their headers, also in mappings that the kernel made of several. What was
//! aligned specially (`memalign`) does not begin with its mapping and is not found. Regions of the main arena are told apart by `regions`.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::ops::Range;

use crate::base::{Avma, ReadMemory, ReadPart};
use crate::event::residency::Obstacle;
use crate::malloc::PAGE;
use crate::malloc::chunk::{HEADER_BYTES, Header};
use crate::malloc::heads::Heads;
use crate::malloc::regions::Regions;

/// Pages looked at that turned out to be no begin of a block; 0.2 µs each.
const PAGES_MAX: usize = 1 << 15;

/// Headers read at once where the last page was none.
const BATCH_MAX: usize = 256;

/// Blocks remembered.
const BLOCKS_MAX: usize = 1 << 18;

/// What is in mappings of which nothing else is known.
pub(super) struct Search<'a, 'b> {
    /// Live stores, ascending: their blocks are known without being read.
    stores: &'a [Range<u64>],
    /// Where the main arena has regions: they are passed over, whatever is in them.
    regions: Option<&'a mut Regions<'b>>,
    n_pages: usize,
    pub(super) found: Vec<Range<u64>>,
}

impl<'a, 'b> Search<'a, 'b> {
    pub(super) const fn new(
        stores: &'a [Range<u64>],
        regions: Option<&'a mut Regions<'b>>,
    ) -> Self {
        Self { stores, regions, n_pages: 0, found: Vec::new() }
    }

    /// Looks through a mapping, which begins and ends with a page.
    pub(super) fn look_through<M: ReadMemory>(
        &mut self,
        mapping: &Range<u64>,
        heads: &mut Heads<'_, M>,
    ) -> Result<(), Obstacle> {
        let mut at = mapping.start;
        let mut batch = 1;
        while let Some((page, run_end)) = heads.pages.next_resident(at)
            && page < mapping.end
        {
            at = page;
            if let Some(end) = self.end_of_store(at) {
                let region = self.region_with_store(at, mapping.end, heads)?;
                at = region.unwrap_or_else(|| end.max(at.saturating_add(PAGE)));
                batch = 1;
                continue;
            }
            let n_left = run_end.min(mapping.end).saturating_sub(at).div_ceil(PAGE);
            let n = usize::try_from(n_left).unwrap_or(batch).clamp(1, batch);
            if let Some(end) = self.first_of(at, n, mapping.end, heads)? {
                at = end;
                batch = 1;
            } else {
                self.n_pages = self.n_pages.saturating_add(n);
                if self.n_pages > PAGES_MAX {
                    return Err(Obstacle::TooLarge);
                }
                at = self.skip(at, n);
                batch = batch.saturating_mul(4).min(BATCH_MAX);
            }
        }
        Ok(())
    }

    /// The end of the first block or region that begins with one of `n` pages.
    fn first_of<M: ReadMemory>(
        &mut self,
        at: u64,
        n: usize,
        mapping_end: u64,
        heads: &mut Heads<'_, M>,
    ) -> Result<Option<u64>, Obstacle> {
        let headers = read_headers(at, n, heads)?;
        for (header, n) in headers.into_iter().zip(0_u64..) {
            let start = at.saturating_add(n.saturating_mul(PAGE));
            // A store begins in one of these pages, or reaches into it: its block is skipped, not found.
            let Some(header) = header.filter(|_| self.end_of_store(start).is_none()) else {
                continue;
            };
            let end = header.mapping_bytes().and_then(|bytes| start.checked_add(bytes));
            if let Some(end) = end.filter(|end| *end <= mapping_end) {
                if self.found.len() >= BLOCKS_MAX {
                    return Err(Obstacle::TooLarge);
                }
                self.found.push(start..end);
                return Ok(Some(end));
            }
            if let Some(regions) = &mut self.regions
                && let Some(end) = regions.end_of_region(heads, &(start..mapping_end), header)?
            {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    /// The end of the region whose first chunk is a store.
    fn region_with_store<M: ReadMemory>(
        &mut self,
        at: u64,
        mapping_end: u64,
        heads: &mut Heads<'_, M>,
    ) -> Result<Option<u64>, Obstacle> {
        let first_byte = at.saturating_add(HEADER_BYTES);
        let is_first = self.stores.binary_search_by_key(&first_byte, |store| store.start).is_ok();
        let Some(regions) = self.regions.as_mut().filter(|_| is_first) else { return Ok(None) };
        let header = read_headers(at, 1, heads)?.into_iter().next().flatten();
        let range = at..mapping_end;
        header.map_or(Ok(None), |header| regions.end_of_region(heads, &range, header))
    }

    /// Behind `n` pages that are no begin of a block, but not behind the begin of a store.
    fn skip(&self, at: u64, n: usize) -> u64 {
        let end = at.saturating_add((n as u64).saturating_mul(PAGE));
        let next = self.stores.partition_point(|store| store.start < at);
        let first = self.stores.get(next).map_or(u64::MAX, |store| store.start & !(PAGE - 1));
        end.min(first.max(at.saturating_add(PAGE)))
    }

    /// Where the block ends that belongs to the store which the page at `at` begins with, or is in.
    fn end_of_store(&self, at: u64) -> Option<u64> {
        let first_byte = at.checked_add(HEADER_BYTES)?;
        let after = self.stores.partition_point(|store| store.start <= first_byte);
        let store = self.stores.get(after.checked_sub(1)?)?;
        (first_byte < store.end).then_some(())?;
        // `sysmalloc_mmap`: a word more than an ordinary chunk, in whole pages.
        let len = store.end.checked_sub(store.start)?;
        let chunk = len.checked_add(8)?.checked_next_multiple_of(16)?;
        let bytes = chunk.checked_add(8)?.checked_next_multiple_of(PAGE)?;
        (store.start & !(PAGE - 1)).checked_add(bytes)
    }
}

/// Headers of `n` pages; none where nothing can be read.
fn read_headers<M: ReadMemory>(
    start: u64,
    n: usize,
    heads: &mut Heads<'_, M>,
) -> Result<Vec<Option<Header>>, Obstacle> {
    heads.budget.take_bytes(HEADER_BYTES.saturating_mul(n as u64))?;
    let mut bytes = vec![[0_u8; HEADER_BYTES as usize]; n];
    let mut parts: Vec<ReadPart<'_>> = bytes
        .iter_mut()
        .zip(0_u64..)
        .map(|(out, n)| ReadPart::new(Avma(start.saturating_add(n.saturating_mul(PAGE))), out))
        .collect();
    heads.memory.read_parts(&mut parts);
    let header = |part: &ReadPart<'_>| Header::parse(part.out).filter(|_| part.is_read);
    Ok(parts.iter().map(header).collect())
}
