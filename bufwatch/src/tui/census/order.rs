//! In which order holders and parents of a census are listed. Unknown values come last, equal ones keep the census's order.

use std::cmp::Reverse;

use crate::analysis::comparison::HolderChange;
use crate::analysis::snapshot::TracedStore;
use crate::base::Bytes;
use crate::event::census::{HolderGroup, Parent};

/// A column to sort by, and the direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order<S> {
    pub sort: S,
    pub is_ascending: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HolderSort {
    #[default]
    Bytes,
    Wasted,
    Retained,
    Parents,
    Views,
    Change,
}

impl HolderSort {
    pub const ALL: [Self; 6] =
        [Self::Bytes, Self::Wasted, Self::Retained, Self::Parents, Self::Views, Self::Change];

    /// Also the title of the column.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Wasted => "unviewed",
            Self::Retained => "retained",
            Self::Parents => "parents",
            Self::Views => "views",
            Self::Change => "since the last",
        }
    }

    #[must_use]
    pub fn next(self) -> Self {
        next(&Self::ALL, self)
    }

    /// What it is sorted by; what is unknown is less than anything.
    pub(super) fn value(self, group: &HolderGroup, change: Option<HolderChange>) -> Option<i128> {
        Some(match self {
            Self::Bytes => group.bytes.0.into(),
            Self::Wasted => group.bytes.saturating_sub(group.covered).0.into(),
            Self::Retained => group.retained?.total().0.into(),
            Self::Parents => group.n_parents.into(),
            Self::Views => group.n_views.into(),
            Self::Change => match change? {
                HolderChange::New => group.bytes.0.into(),
                HolderChange::By { bytes, .. } => bytes.into(),
                HolderChange::Unknown => return None,
            },
        })
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ParentSort {
    #[default]
    Size,
    Wasted,
    Views,
    Age,
    Gcs,
}

impl ParentSort {
    pub const ALL: [Self; 5] = [Self::Size, Self::Wasted, Self::Views, Self::Age, Self::Gcs];

    /// Also the title of the column.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Wasted => "unviewed",
            Self::Views => "views",
            Self::Age => "age",
            Self::Gcs => "GCs",
        }
    }

    #[must_use]
    pub fn next(self) -> Self {
        next(&Self::ALL, self)
    }

    pub(super) fn value(self, parent: &Parent, traced: Option<&TracedStore>) -> Option<i128> {
        Some(match self {
            Self::Size => parent.size.0.into(),
            Self::Wasted => unviewed(parent).0.into(),
            Self::Views => parent.n_views.into(),
            Self::Age => traced?.age.0.into(),
            Self::Gcs => traced?.n_major_survived?.into(),
        })
    }
}

/// Bytes of a parent that no view shows.
pub fn unviewed(parent: &Parent) -> Bytes {
    parent.size.saturating_sub(parent.covered)
}

fn next<S: Copy + PartialEq + Default>(all: &[S], sort: S) -> S {
    let at = all.iter().position(|it| *it == sort).unwrap_or(0);
    all.get(at + 1).copied().unwrap_or_default()
}

/// Sorts rows by their values, the largest first unless `is_ascending`; what is unknown stays at the end.
pub(super) fn sort(rows: &mut [u32], is_ascending: bool, value: impl Fn(u32) -> Option<i128>) {
    rows.sort_by_cached_key(|row| {
        let value = value(*row);
        let place = value.map(|value| if is_ascending { value } else { -value });
        (Reverse(value.is_some()), place, *row)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_comes_last_in_both_directions() {
        let values = [Some(3), None, Some(9), Some(3), None];
        let order = |is_ascending| {
            let mut rows: Vec<u32> = (0..5).collect();
            sort(&mut rows, is_ascending, |row| values[row as usize]);
            rows
        };
        assert_eq!(order(false), [2, 0, 3, 1, 4]);
        assert_eq!(order(true), [0, 3, 2, 1, 4]);
    }

    #[test]
    fn every_column_is_reached_by_the_key() {
        let mut sort = HolderSort::default();
        for expect in HolderSort::ALL {
            assert_eq!(sort, expect);
            sort = sort.next();
        }
        assert_eq!(sort, HolderSort::Bytes);
        assert_eq!(ParentSort::Gcs.next(), ParentSort::Size);
    }
}
