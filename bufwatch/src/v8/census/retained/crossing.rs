//! References from one region into another. Of the largest region, which may be nearly the whole heap, only objects are looked into that
//! have a word that leads to another one.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::v8::census::references::Visitor;
use crate::v8::census::retained::limits::{Budget, Exceeded};
use crate::v8::census::retained::page_filter::PageFilter;
use crate::v8::census::retained::region::{Place, Regions, Span};

/// A reference into a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Crossing {
    pub(super) target: u32,
    /// Region of the object that refers.
    pub(super) from: u32,
}

/// By the region that they lead into. Values of weak maps are not among them: they need two objects to be alive.
pub(super) fn crossings(
    regions: &Regions<'_>,
    budget: &mut Budget,
) -> Result<Vec<(u32, Crossing)>, Exceeded> {
    let mut crossings = Crossings {
        regions,
        object: 0,
        from: 0,
        found: Vec::new(),
        budget: *budget,
        result: Ok(()),
    };
    if regions.list.len() < 2 {
        return Ok(crossings.found);
    }
    let numbers = 0_u32..;
    let largest = regions.list.iter().zip(numbers).max_by_key(|(region, _)| region.bytes);
    let largest = largest.map_or(0, |(_, number)| number);
    let pages = pages_of_others(regions, largest);
    let heap = regions.view.heap;
    for page in regions.pages() {
        let is_code = page.page.is_executable;
        for Span { start, end, rank } in regions.objects_in(page.area()) {
            let Place::Region(from) = Place::of(regions.entry(rank)) else { continue };
            let leads_away = |word: &u64| {
                word & 7 == 1
                    && pages.may_have(*word)
                    && regions.target(*word).is_some_and(|it| it.is_in_another(from))
            };
            if from != largest || is_code || heap.slice(start..end).iter().any(leads_away) {
                crossings.budget.spend(1)?;
                crossings.object = start as u32;
                crossings.from = from;
                regions.view.visit(start, &mut crossings);
            }
        }
    }
    *budget = crossings.budget;
    crossings.result.map(|()| crossings.found)
}

fn pages_of_others(regions: &Regions<'_>, largest: u32) -> PageFilter {
    let mut pages = PageFilter::default();
    for page in regions.pages() {
        for Span { start, rank, .. } in regions.objects_in(page.area()) {
            if let Place::Region(number) = Place::of(regions.entry(rank))
                && number != largest
            {
                pages.insert(page.address(start));
            }
        }
    }
    pages
}

struct Crossings<'r, 'a> {
    regions: &'r Regions<'a>,
    /// That refers, and its region.
    object: u32,
    from: u32,
    found: Vec<(u32, Crossing)>,
    budget: Budget,
    result: Result<(), Exceeded>,
}

impl Visitor for Crossings<'_, '_> {
    #[inline]
    fn strong(&mut self, word: u64) {
        let target = self.regions.target(word).filter(|it| it.is_in_another(self.from));
        let Some(target) = target else { return };
        let Place::Region(region) = target.place() else { return };
        // A head's region is only asked about together with the region that it was reached from, or else without its heads.
        let is_reached_from_here =
            self.regions.region(region).is_some_and(|it| it.reached_from == self.object);
        if target.is_head() && is_reached_from_here {
            return;
        }
        let row = (region, Crossing { target: target.index as u32, from: self.from });
        if self.found.last() == Some(&row) || self.result.is_err() {
            return;
        }
        self.result = self.budget.room_for_crossing(self.found.len());
        self.found.push(row);
    }

    fn ephemeron(&mut self, _key: usize, _value: u64) {}
}
