//! What dies with some heads: all in their regions and the regions below, less what is reached from other regions without them. Works on
//! regions from which everything that is alive anyway has been taken out.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::Bytes;
use crate::event::census::Retained;
use crate::v8::census::bitmap::Bitmap;
use crate::v8::census::references::Visitor;
use crate::v8::census::retained::by_region::ByRegion;
use crate::v8::census::retained::crossing::{Crossing, crossings};
use crate::v8::census::retained::limits::Exceeded;
use crate::v8::census::retained::pending::Pending;
use crate::v8::census::retained::region::{Place, Regions};
use crate::v8::census::retained::store::Stores;

/// Up to so many survivors are forgotten one by one.
const LISTED_SURVIVORS_MAX: usize = 1 << 16;

/// What is known of the regions, to answer any question.
#[derive(Debug)]
pub(super) struct Answers<'a> {
    regions: Regions<'a>,
    below: ByRegion<u32>,
    crossings: ByRegion<Crossing>,
    /// Heads that something outside of all regions refers to.
    entered: ByRegion<u32>,
    /// By the region of the value: numbers of pairs that do not hold anyway.
    pairs: ByRegion<u32>,
    /// By the region of the key: regions of values that were reached by way of a weak map.
    values: ByRegion<u32>,
    stores: Stores,
    /// By region: the last question that it was part of, and the last whose heads were asked about.
    parts: Vec<u32>,
    asked: Vec<u32>,
    question: u32,
    survivors: Survivors,
    pending: Pending,
}

impl<'a> Answers<'a> {
    pub(super) fn new(mut regions: Regions<'a>, stores: Stores) -> Result<Self, Exceeded> {
        let mut budget = regions.budget;
        let crossings = crossings(&regions, &mut budget)?;
        regions.budget = budget;
        let mut pairs = Vec::new();
        let mut values = Vec::new();
        for (number, pair) in regions.pairs.iter().enumerate() {
            let Place::Region(region) = regions.place(pair.value as usize) else { continue };
            pairs.push((region, number as u32));
            if let Place::Region(of_key) = regions.place(pair.key as usize)
                && regions.region(region).is_some_and(|it| it.reached_from == pair.table)
            {
                values.push((of_key, region));
            }
        }
        let below = regions.list.iter().enumerate();
        let below = below.filter_map(|(n, region)| Some((region.above?, n as u32))).collect();
        let n_regions = regions.list.len();
        Ok(Self {
            below: ByRegion::new(below),
            crossings: ByRegion::new(crossings),
            entered: ByRegion::new(std::mem::take(&mut regions.entered)),
            pairs: ByRegion::new(pairs),
            values: ByRegion::new(values),
            stores,
            parts: vec![0; n_regions],
            asked: vec![0; n_regions],
            question: 0,
            survivors: Survivors::new(regions.n_ranks()),
            pending: std::mem::take(&mut regions.pending),
            regions,
        })
    }

    /// What would die if these objects were gone; `None` if none of them can be.
    pub(super) fn answer(&mut self, objects: &[u32]) -> Result<Option<Retained>, Exceeded> {
        self.question = self.question.saturating_add(1);
        let mut waiting = Vec::new();
        for head in objects.iter().filter(|object| self.regions.is_head(**object as usize)) {
            let Place::Region(region) = self.regions.place(*head as usize) else { continue };
            if let Some(asked) = self.asked.get_mut(region as usize)
                && *asked != self.question
            {
                *asked = self.question;
                waiting.push(region);
            }
        }
        if waiting.is_empty() {
            return Ok(None);
        }
        let parts = self.parts_below(waiting)?;
        let bytes: u64 = parts
            .iter()
            .filter_map(|part| Some(self.regions.region(*part)?.bytes))
            .fold(0, u64::saturating_add);
        for part in &parts {
            self.enter_part(*part)?;
        }
        let surviving = self.spread()?;
        let off_heap = self.off_heap(&parts);
        self.survivors.forget();
        Ok(Some(Retained { heap: Bytes(bytes.saturating_sub(surviving)), off_heap }))
    }

    /// These regions and all below, also those of values whose keys are in them.
    fn parts_below(&mut self, mut waiting: Vec<u32>) -> Result<Vec<u32>, Exceeded> {
        let mut parts = Vec::new();
        while let Some(part) = waiting.pop() {
            let Some(last) = self.parts.get_mut(part as usize) else { continue };
            if *last == self.question {
                continue;
            }
            *last = self.question;
            self.regions.budget.spend(1)?;
            parts.push(part);
            waiting.extend(self.below.of(part));
            waiting.extend(self.values.of(part));
        }
        Ok(parts)
    }

    /// What a part is reached by from elsewhere.
    fn enter_part(&mut self, part: u32) -> Result<(), Exceeded> {
        let from_elsewhere = self.crossings.of(part).filter(|it| !self.is_part(it.from));
        let mut targets: Vec<u32> = from_elsewhere.map(|crossing| crossing.target).collect();
        targets.extend(self.entered.of(part));
        for number in self.pairs.of(part) {
            let Some(pair) = self.regions.pairs.get(*number as usize) else { continue };
            if self.is_alive(pair.key as usize) && self.is_alive(pair.table as usize) {
                targets.push(pair.value);
            }
        }
        self.regions.budget.spend(targets.len() as u64)?;
        for target in targets {
            self.survive(target as usize);
        }
        Ok(())
    }

    fn is_part(&self, region: u32) -> bool {
        self.parts.get(region as usize) == Some(&self.question)
    }

    /// Whether an object is one of those that are gone.
    fn is_asked(&self, region: u32, object: usize) -> bool {
        self.asked.get(region as usize) == Some(&self.question) && self.regions.is_head(object)
    }

    /// As far as is known yet.
    fn is_alive(&self, object: usize) -> bool {
        match self.regions.place(object) {
            Place::Nowhere => false,
            Place::Outside => true,
            Place::Region(region) => {
                !self.is_part(region)
                    || self.regions.rank_of(object).is_some_and(|rank| self.survivors.has(rank))
            }
        }
    }

    fn survive(&mut self, object: usize) {
        let Place::Region(region) = self.regions.place(object) else { return };
        if !self.is_part(region) || self.is_asked(region, object) {
            return;
        }
        if let Some(rank) = self.regions.rank_of(object)
            && self.survivors.insert(rank)
        {
            self.pending.push(object);
        }
    }

    /// From what survives to what survives with it; its bytes.
    fn spread(&mut self) -> Result<u64, Exceeded> {
        let mut bytes = 0_u64;
        let view = self.regions.view;
        while let Some(object) = self.pending.pop() {
            self.regions.budget.spend(1)?;
            bytes = bytes.saturating_add(self.regions.bytes_of(object));
            view.visit(object, &mut Surviving { answers: self });
            for n in self.regions.pairs_of(object) {
                let Some(pair) = self.regions.pairs.get(n).copied() else { continue };
                if self.is_alive(pair.table as usize) {
                    self.survive(pair.value as usize);
                }
            }
        }
        Ok(bytes)
    }

    /// Stores whose array buffers all die.
    fn off_heap(&self, parts: &[u32]) -> Bytes {
        let dies = |buffer: usize| {
            self.regions.rank_of(buffer).is_some_and(|rank| !self.survivors.has(rank))
        };
        self.stores.bytes_of(parts, dies)
    }
}

struct Surviving<'r, 'a> {
    answers: &'r mut Answers<'a>,
}

impl Visitor for Surviving<'_, '_> {
    #[inline]
    fn strong(&mut self, word: u64) {
        if let Some(target) = self.answers.regions.target(word) {
            self.answers.survive(target.index);
        }
    }

    fn ephemeron(&mut self, key: usize, value: u64) {
        if self.answers.is_alive(key) {
            self.strong(value);
        }
    }
}

/// Objects that survive, by rank.
#[derive(Debug)]
struct Survivors {
    has: Bitmap,
    list: Vec<u32>,
    n_ranks: usize,
    is_listed: bool,
}

impl Survivors {
    fn new(n_ranks: usize) -> Self {
        Self { has: Bitmap::new(n_ranks), list: Vec::new(), n_ranks, is_listed: true }
    }

    fn has(&self, rank: usize) -> bool {
        self.has.has(rank)
    }

    fn insert(&mut self, rank: usize) -> bool {
        let is_new = self.has.insert(rank);
        if is_new && self.list.len() < LISTED_SURVIVORS_MAX {
            self.list.push(rank as u32);
        } else if is_new {
            self.is_listed = false;
        }
        is_new
    }

    fn forget(&mut self) {
        if self.is_listed {
            for rank in &self.list {
                self.has.remove(*rank as usize);
            }
        } else {
            self.has = Bitmap::new(self.n_ranks);
        }
        self.list.clear();
        self.is_listed = true;
    }
}
