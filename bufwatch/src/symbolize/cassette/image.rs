//! Memory of which only some bytes are known. Reads of others fail, as those of unmapped memory do.

use std::ops::Range;

use crate::base::{Avma, FastMap, MemoryError, ReadMemory};

const PAGE_BYTES: usize = 4_096;

/// Known bytes by address.
#[derive(Clone, Debug, Default)]
pub struct Image {
    pages: FastMap<u64, Box<Page>>,
}

#[derive(Clone, Debug)]
struct Page {
    bytes: [u8; PAGE_BYTES],
    is_known: [bool; PAGE_BYTES],
}

/// What of a range lies in one page.
struct Part {
    page: u64,
    in_page: Range<usize>,
    in_range: Range<usize>,
}

impl Image {
    /// Notes bytes, and adds to `news` where they were not known or something else.
    pub(super) fn learn(&mut self, at: Avma, bytes: &[u8], news: &mut Vec<Range<u64>>) {
        for part in parts(at, bytes.len()) {
            let page = self.pages.entry(part.page).or_insert_with(Page::unknown);
            let old = page.bytes.iter_mut().zip(&mut page.is_known);
            let old = old.skip(part.in_page.start).take(part.in_page.len());
            let new = bytes.iter().skip(part.in_range.start);
            for (n, ((old, is_known), new)) in old.zip(new).enumerate() {
                if *is_known && old == new {
                    continue;
                }
                (*old, *is_known) = (*new, true);
                let address = at.0 + (part.in_range.start + n) as u64;
                match news.last_mut() {
                    Some(last) if last.end == address => last.end += 1,
                    _ => news.push(address..address + 1),
                }
            }
        }
    }

    pub fn set(&mut self, at: Avma, bytes: &[u8]) {
        self.learn(at, bytes, &mut Vec::new());
    }

    pub fn forget(&mut self, at: Avma, len: usize) {
        for part in parts(at, len) {
            let page = self.pages.get_mut(&part.page);
            if let Some(known) = page.and_then(|page| page.is_known.get_mut(part.in_page)) {
                known.fill(false);
            }
        }
    }

    pub(super) fn knows_some(&self, at: Avma, len: usize) -> bool {
        parts(at, len).any(|part| {
            let known = self.pages.get(&part.page).and_then(|page| page.is_known.get(part.in_page));
            known.into_iter().flatten().any(|is_known| *is_known)
        })
    }

    /// What is known, in order.
    pub fn ranges(&self) -> Vec<Range<u64>> {
        let mut numbers: Vec<u64> = self.pages.keys().copied().collect();
        numbers.sort_unstable();
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for number in numbers {
            let Some(page) = self.pages.get(&number) else { continue };
            for (n, _) in page.is_known.iter().enumerate().filter(|(_, is_known)| **is_known) {
                let address = number * PAGE_BYTES as u64 + n as u64;
                match ranges.last_mut() {
                    Some(last) if last.end == address => last.end += 1,
                    _ => ranges.push(address..address + 1),
                }
            }
        }
        ranges
    }
}

impl ReadMemory for Image {
    fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
        let unmapped = MemoryError::Unmapped(address);
        address.0.checked_add(out.len() as u64).ok_or(unmapped)?;
        for part in parts(address, out.len()) {
            let page = self.pages.get(&part.page).ok_or(unmapped)?;
            let known = page.is_known.get(part.in_page.clone());
            if !known.is_some_and(|known| known.iter().all(|is_known| *is_known)) {
                return Err(unmapped);
            }
            if let (Some(out), Some(bytes)) =
                (out.get_mut(part.in_range), page.bytes.get(part.in_page))
            {
                out.copy_from_slice(bytes);
            }
        }
        Ok(())
    }
}

impl Page {
    fn unknown() -> Box<Self> {
        Box::new(Self { bytes: [0; PAGE_BYTES], is_known: [false; PAGE_BYTES] })
    }
}

/// The range, page by page; it ends where addresses do.
fn parts(at: Avma, len: usize) -> impl Iterator<Item = Part> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let address = at.0.checked_add(done as u64).filter(|_| done < len)?;
        let start = (address % PAGE_BYTES as u64) as usize;
        let n = (len - done).min(PAGE_BYTES - start);
        let part = Part {
            page: address / PAGE_BYTES as u64,
            in_page: start..start + n,
            in_range: done..done + n,
        };
        done += n;
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_cannot_be_read() {
        let mut image = Image::default();
        let mut news = Vec::new();
        image.learn(Avma(4_090), &[7; 12], &mut news);
        assert_eq!(news, vec![4_090..4_102]);
        let mut out = [0; 12];
        assert_eq!(image.read(Avma(4_090), &mut out), Ok(()));
        assert_eq!(out, [7; 12]);
        assert!(image.read(Avma(4_091), &mut out).is_err());
        assert!(image.read(Avma(u64::MAX - 3), &mut out).is_err());

        news.clear();
        image.learn(Avma(4_094), &[7, 8, 7], &mut news);
        assert_eq!(news, vec![4_095..4_096]);
        assert!(image.knows_some(Avma(4_096), 2));
        image.forget(Avma(4_096), 2);
        assert!(!image.knows_some(Avma(4_096), 2));
        assert!(image.read(Avma(4_095), &mut [0; 2]).is_err());
        assert_eq!(image.ranges(), [4_090..4_096, 4_098..4_102]);
    }
}
