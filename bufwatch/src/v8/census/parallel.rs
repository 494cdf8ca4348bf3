//! Work that is done in pieces by several threads, with results in the order of the pieces: what comes out does not depend on how many
//! threads there are. Knows nothing of what is done.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::panic::resume_unwind;
use std::sync::Mutex;
use std::thread;

/// Does the work for each piece, by at most `n_threads`, of which the caller's is one.
pub(super) fn in_parallel<P: Send, T: Send>(
    pieces: Vec<P>,
    n_threads: usize,
    work: impl Fn(P) -> T + Sync,
) -> Vec<T> {
    let n_others = n_threads.min(pieces.len()).saturating_sub(1);
    let queue = Mutex::new(pieces.into_iter().enumerate());
    let drain = || {
        let mut done = Vec::new();
        // Nothing panics while it holds the lock.
        while let Some((number, piece)) = queue.lock().ok().and_then(|mut queue| queue.next()) {
            done.push((number, work(piece)));
        }
        done
    };
    let mut done = thread::scope(|scope| {
        let start = |_| {
            let thread = thread::Builder::new().name("bw-census".to_owned());
            // Without it the others do more.
            thread.spawn_scoped(scope, drain).ok()
        };
        let others: Vec<_> = (0..n_others).filter_map(start).collect();
        let mut done = drain();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn results_come_in_the_order_of_the_pieces(
            pieces in proptest::collection::vec(0_u32..99, 0..40),
            n_threads in 0_usize..6,
        ) {
            let expected: Vec<u32> = pieces.iter().map(|it| it ^ 1).collect();
            prop_assert_eq!(in_parallel(pieces, n_threads, |it| it ^ 1), expected);
        }
    }
}
