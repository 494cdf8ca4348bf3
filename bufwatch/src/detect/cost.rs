//! What replacing views by copies gives back: all bytes of the parent, less what the copies take. A lower bound, since a copy is taken to
//! cost as much as the dearest one that was measured.

use crate::base::Bytes;
use crate::event::census::Parent;

/// V8 keeps the bytes of a typed array up to this length in its own heap (`--typed-array-max-size-in-heap`).
const ON_HEAP_MAX: u64 = 64;

/// What such a copy takes beyond its bytes: growth of RSS from 100,000 to 600,000 `Uint8Array.prototype.slice.call(view)` less that of as
/// many views. Measured: below 100 (Node 18, 20, 22), 248 (24), 151 (26).
const COPY_ON_HEAP: u64 = 256;

/// A copy with a backing store of its own: the same measurement with 100 bytes. 145 (Node 18), 146 (20), 249 (22), 445 (24), 312 (26).
const COPY: u64 = 448;

/// What copies of all views of a parent take, each a copy of its own even if views overlap.
pub(super) fn copies_of(n_views: u64, views_bytes: Bytes) -> Bytes {
    let mean = views_bytes.0.checked_div(n_views).unwrap_or(0);
    let each = if mean <= ON_HEAP_MAX { COPY_ON_HEAP } else { COPY };
    views_bytes + Bytes(n_views.saturating_mul(each))
}

/// What copying all its views gives back of a parent.
pub(super) fn gives_back(parent: &Parent) -> Bytes {
    parent.size.saturating_sub(copies_of(parent.n_views, parent.views_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::made_up::parent;

    #[test]
    fn copies_cost_what_they_hold_and_something_each() {
        let one = parent(10_000_000).view("Buffer", 0, 16).done();
        assert_eq!(gives_back(&one), Bytes(10_000_000 - 16 - COPY_ON_HEAP));
        let large = parent(10_000_000).view("Buffer", 0, 1_000).view("Buffer", 500, 1_000).done();
        assert_eq!(gives_back(&large), Bytes(10_000_000 - 2 * (1_000 + COPY)), "each is copied");
        let whole = parent(1_000).view("Buffer", 0, 1_000).done();
        assert_eq!(gives_back(&whole), Bytes(0));
    }
}
