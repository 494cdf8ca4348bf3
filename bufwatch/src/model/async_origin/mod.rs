//! How async resources were created, and from there the way from a store that a callback made back to the line of
//! the application that began it. Where a step of the way is not certain there is no way.

mod turn;

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::base::{AsyncOriginId, FastMap, StackId};
use crate::event::{AsyncOriginSeen, Frame};
use crate::model::limits::{ASYNC_ORIGINS_MAX, ASYNC_STACKS_MAX};
use crate::model::origin::Origin;

pub(crate) use turn::Turn;

/// Longest way back; as many as the kernel side lets an origin go back to (`bufwatch-ebpf::async_origin`).
const STEPS_MAX: usize = 8;

/// The stacks that created what a store came of. The first created the resource whose callback made the store, the
/// next the one whose callback created that, and so on to a line of the application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsyncStack {
    pub stacks: Vec<Arc<[Frame]>>,
    /// The innermost frame of the application, packages included: an index into the last stack.
    pub user_frame: usize,
    /// The innermost frame of the application outside of packages; often the same.
    pub app_frame: Option<usize>,
}

impl AsyncStack {
    /// All frames, innermost first.
    pub fn frames(&self) -> impl Iterator<Item = &Frame> {
        self.stacks.iter().flat_map(|stack| stack.iter())
    }

    /// An index into the last stack as one into all frames.
    pub fn index_of(&self, in_last: usize) -> usize {
        let n_before = self.stacks.iter().rev().skip(1).map(|stack| stack.len()).sum::<usize>();
        n_before + in_last
    }

    /// The line that began it.
    pub fn user_frame(&self) -> Option<&Frame> {
        self.stacks.last()?.get(self.user_frame)
    }
}

/// A stack that created async resources.
#[derive(Debug)]
struct Creation {
    frames: Arc<[Frame]>,
    turn: Turn,
}

#[derive(Debug)]
struct Link {
    stack: StackId,
    parent: AsyncOriginId,
}

/// Every origin seen.
#[derive(Debug, Default)]
pub struct AsyncOrigins {
    creations: FastMap<StackId, Creation>,
    links: FastMap<AsyncOriginId, Link>,
    /// Stacks and origins that a limit kept out.
    pub n_beyond_limit: u64,
}

impl AsyncOrigins {
    pub fn stack_resolved(&mut self, stack: StackId, frames: &Arc<[Frame]>) {
        if self.creations.len() >= ASYNC_STACKS_MAX && !self.creations.contains_key(&stack) {
            self.n_beyond_limit += 1;
            return;
        }
        let creation = Creation { frames: Arc::clone(frames), turn: Turn::of(frames) };
        self.creations.insert(stack, creation);
    }

    pub fn seen(&mut self, seen: &AsyncOriginSeen) {
        if self.links.len() >= ASYNC_ORIGINS_MAX && !self.links.contains_key(&seen.id) {
            self.n_beyond_limit += 1;
            return;
        }
        self.links.insert(seen.id, Link { stack: seen.stack, parent: seen.parent });
    }

    /// The way back from what ran in a turn of a resource; `None` unless it leads to a line of the application.
    pub(crate) fn trace(&self, turn: Turn, origin: AsyncOriginId) -> Option<AsyncStack> {
        let mut stacks = Vec::new();
        let (mut turn, mut at) = (turn, origin);
        for _ in 0..STEPS_MAX {
            let link = self.links.get(&at)?;
            let creation = self.creations.get(&link.stack)?;
            if !turn.belongs_to(&creation.frames) {
                return None;
            }
            stacks.push(Arc::clone(&creation.frames));
            let found = Origin::of(&creation.frames);
            if let Some(user_frame) = found.user_frame {
                return Some(AsyncStack { stacks, user_frame, app_frame: found.app_frame });
            }
            (turn, at) = (creation.turn, link.parent);
        }
        None
    }
}

#[cfg(test)]
mod tests;
