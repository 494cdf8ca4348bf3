//! Facts by the number of their region: a sorted list. Knows nothing of what the facts are.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

#[derive(Debug)]
pub(super) struct ByRegion<T> {
    rows: Vec<(u32, T)>,
}

impl<T: Ord> ByRegion<T> {
    pub(super) fn new(mut rows: Vec<(u32, T)>) -> Self {
        rows.sort_unstable();
        rows.dedup();
        Self { rows }
    }

    pub(super) fn of(&self, region: u32) -> impl Iterator<Item = &T> {
        let start = self.rows.partition_point(|(of, _)| *of < region);
        let rows = self.rows.get(start..).unwrap_or_default();
        rows.iter().take_while(move |(of, _)| *of == region).map(|(_, fact)| fact)
    }
}
