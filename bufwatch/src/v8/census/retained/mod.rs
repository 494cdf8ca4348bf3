//! Retained sizes: how much would be unreachable if an object, or a few objects together, were gone. For one object this is what
//! DevTools computes with a dominator tree; here only what is asked for is computed, so that it fits beside a large heap.
//!
//! The way: marking has left a tree of shortest paths behind. What dies with an object is below it in this tree (`region`); of that, what
//! the rest of the heap refers to stays alive (`outside`); what is left is answered question by question (`answer`).
//!
//! References are those of marking. Weak ones retain nothing; the value of a weak map is retained by its key and by the map, as it dies
//! with either. DevTools counts it for the key only.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod answer;
mod by_region;
mod crossing;
mod grow;
mod limits;
mod outside;
mod owner;
mod page_filter;
mod pending;
mod region;
mod store;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test that overflows fails")]
mod tests;

use std::sync::Arc;

use crate::base::FastSet;
use crate::event::census::{HolderGroup, Parent, Retained};
use crate::v8::census::buffer::BufferFacts;
use crate::v8::census::mark::{HeapView, Marks};
use crate::v8::census::name::Names;
use crate::v8::census::parent::{Groups, groups};
use crate::v8::census::retained::answer::Answers;
use crate::v8::census::retained::limits::{Budget, Exceeded};
use crate::v8::census::retained::region::Regions;
use crate::v8::census::retained::store::Stores;

/// Puts parents into groups and fills in the retained sizes of both, of groups first: they are what somebody looks at. With the reason if
/// some are not known.
pub(super) fn fill(
    view: HeapView<'_>,
    marks: Marks,
    buffers: &[BufferFacts],
    parents: Vec<(Parent, Groups)>,
) -> (Vec<Parent>, Vec<HolderGroup>, Option<String>) {
    let mut names = Names::new(view);
    let mut owners: Vec<Vec<u32>> = Vec::new();
    let mut holders = Vec::new();
    for (mut group, some) in groups(&parents) {
        let owner = owner::of(view, &marks, &some);
        group.holder = owner.map(|owner| Arc::from(owner::name(view, &mut names, owner)));
        owners.push(owner.iter().map(|owner| *owner as u32).collect());
        holders.push(group);
    }
    let of_parents = parents.iter().map(|(_, groups)| groups.held_by.as_slice());
    let questions: Vec<&[u32]> = owners.iter().map(Vec::as_slice).chain(of_parents).collect();
    let budget = Budget::new(view.heap.n_words(), marks.n_marked);
    let Outcome { answers, gap } = ask(view, marks, budget, buffers, &questions);
    let mut answers = answers.into_iter();
    for group in &mut holders {
        group.retained = answers.next().flatten();
    }
    let parents = parents.into_iter().map(|(mut parent, _)| {
        parent.retained = answers.next().flatten();
        parent
    });
    (parents.collect(), holders, gap)
}

/// As long as the questions; and why some are not answered.
#[derive(Debug, Default)]
struct Outcome {
    answers: Vec<Option<Retained>>,
    gap: Option<String>,
}

/// Answers questions in their order, each about objects by index, until a limit is reached.
fn ask(
    view: HeapView<'_>,
    marks: Marks,
    budget: Budget,
    buffers: &[BufferFacts],
    questions: &[&[u32]],
) -> Outcome {
    let mut answers = Vec::with_capacity(questions.len());
    let result = answer_all(view, marks, budget, buffers, questions, &mut answers);
    answers.resize(questions.len(), None);
    let gap = result.err().map(|exceeded| {
        let n_open = answers.iter().filter(|answer| answer.is_none()).count();
        format!("{n_open} of {} retained sizes are not known: {exceeded}", questions.len())
    });
    Outcome { answers, gap }
}

fn answer_all(
    view: HeapView<'_>,
    marks: Marks,
    budget: Budget,
    buffers: &[BufferFacts],
    questions: &[&[u32]],
    answers: &mut Vec<Option<Retained>>,
) -> Result<(), Exceeded> {
    let mut regions = Regions::new(view, marks.into_tree(view), budget)?;
    let of_several = asked_more_than_once(questions);
    // One that asks for too many is left out, those behind it are not.
    let mut left_out = None;
    let mut are_asked = Vec::with_capacity(questions.len());
    for objects in questions {
        let added = regions.add_heads(objects, |it| of_several.contains(&it));
        are_asked.push(added.is_ok());
        left_out = added.err().or(left_out);
    }
    regions.grow();
    regions.take_out_the_rest()?;
    let stores = Stores::new(buffers, &regions);
    let mut known = Answers::new(regions, stores)?;
    for (objects, is_asked) in questions.iter().zip(are_asked) {
        answers.push(if is_asked { known.answer(objects)? } else { None });
    }
    left_out.map_or(Ok(()), Err)
}

fn asked_more_than_once(questions: &[&[u32]]) -> FastSet<u32> {
    let mut all: Vec<u32> = questions.iter().flat_map(|objects| objects.iter().copied()).collect();
    all.sort_unstable();
    all.array_windows().filter(|[a, b]| a == b).map(|[a, _]| *a).collect()
}
