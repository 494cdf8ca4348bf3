//! Who claims which addresses: resident runs are divided among the parts of RSS, each byte once. What a claim rests on is not known here.

use crate::event::residency::RssPart;

/// A range of addresses that is known to be for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Claim {
    pub(super) start: u64,
    /// Exclusive.
    pub(super) end: u64,
    pub(super) part: RssPart,
}

/// Claims without overlaps, ascending.
#[derive(Debug, Default)]
pub(super) struct Claims {
    all: Vec<Claim>,
    /// The first that a later run can still touch.
    first: usize,
}

impl Claims {
    /// Where two lists claim the same bytes, those of the first have them; within a list, the claim that begins first.
    pub(super) fn new(mut first: Vec<Claim>, mut second: Vec<Claim>) -> Self {
        first.sort_unstable_by_key(|claim| (claim.start, claim.end));
        second.sort_unstable_by_key(|claim| (claim.start, claim.end));
        let first = without_overlaps(first);
        let mut all: Vec<Claim> = Vec::with_capacity(first.len() + second.len());
        let mut others = without_overlaps(second).into_iter().peekable();
        // What is left of the second list between the claims of the first.
        let mut floor = 0;
        for claim in first {
            while let Some(other) = others.peek_mut()
                && other.start < claim.start
            {
                let start = other.start.max(floor);
                let end = other.end.min(claim.start);
                if start < end {
                    all.push(Claim { start, end, part: other.part });
                }
                if other.end <= claim.end {
                    others.next();
                } else {
                    other.start = claim.end;
                    break;
                }
            }
            while others.peek().is_some_and(|other| other.end <= claim.end) {
                others.next();
            }
            floor = claim.end;
            all.push(claim);
        }
        for other in others {
            let start = other.start.max(floor);
            if start < other.end {
                all.push(Claim { start, ..other });
            }
        }
        Self { all, first: 0 }
    }

    /// The pieces that are left, ascending.
    pub(super) fn into_all(self) -> Vec<Claim> {
        self.all
    }

    /// Hands the claimed pieces of a range and what is left of it (`None`) to `visit`, with their bytes. Ranges come in ascending order.
    pub(super) fn divide(
        &mut self,
        start: u64,
        end: u64,
        mut visit: impl FnMut(Option<RssPart>, u64),
    ) {
        while self.all.get(self.first).is_some_and(|claim| claim.end <= start) {
            self.first += 1;
        }
        let mut at = start;
        let claims = self.all.iter().skip(self.first);
        for claim in claims.take_while(|claim| claim.start < end) {
            let (from, to) = (claim.start.max(at), claim.end.min(end));
            if from > at {
                visit(None, from - at);
            }
            if from < to {
                visit(Some(claim.part), to - from);
                at = to;
            }
        }
        if at < end {
            visit(None, end - at);
        }
    }
}

fn without_overlaps(claims: Vec<Claim>) -> Vec<Claim> {
    let mut all: Vec<Claim> = Vec::with_capacity(claims.len());
    for claim in claims {
        let floor = all.last().map_or(0, |last| last.end);
        let start = claim.start.max(floor);
        if start < claim.end {
            all.push(Claim { start, ..claim });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: RssPart = RssPart::StoresMapped;
    const V8: RssPart = RssPart::V8Old;

    fn claims(list: &[(u64, u64)], part: RssPart) -> Vec<Claim> {
        list.iter().map(|(start, end)| Claim { start: *start, end: *end, part }).collect()
    }

    #[test]
    fn stores_have_their_bytes_and_the_others_what_is_between() {
        let mut claims =
            Claims::new(claims(&[(10, 20), (30, 40)], STORE), claims(&[(0, 35), (50, 60)], V8));
        let mut seen = Vec::new();
        claims.divide(5, 55, |part, bytes| seen.push((part, bytes)));
        let (store, v8) = (Some(STORE), Some(V8));
        assert_eq!(seen, [(v8, 5), (store, 10), (v8, 10), (store, 10), (None, 10), (v8, 5)]);
    }

    proptest::proptest! {
        #[test]
        fn each_byte_is_claimed_once_and_stores_come_first(
            first in proptest::collection::vec((0_u64..200, 0_u64..50), 0..20),
            second in proptest::collection::vec((0_u64..200, 0_u64..50), 0..20),
            runs in proptest::collection::vec((0_u64..20, 1_u64..40), 0..12),
        ) {
            let to_ranges = |list: &[(u64, u64)]| list.iter().map(|(at, len)| (*at, at + len)).collect::<Vec<_>>();
            let (first, second) = (to_ranges(&first), to_ranges(&second));
            let mut all = Claims::new(claims(&first, STORE), claims(&second, V8));
            let mut at = 0;
            for (gap, len) in runs {
                let (start, end) = (at + gap, at + gap + len);
                at = end;
                let mut seen = [0_u64; 3];
                all.divide(start, end, |part, bytes| {
                    seen[match part { Some(STORE) => 0, Some(_) => 1, None => 2 }] += bytes;
                });
                let is_in = |list: &[(u64, u64)], at: u64| list.iter().any(|(a, b)| (*a..*b).contains(&at));
                let n = |is: &dyn Fn(u64) -> bool| (start..end).filter(|at| is(*at)).count() as u64;
                let wanted = [
                    n(&|at| is_in(&first, at)),
                    n(&|at| !is_in(&first, at) && is_in(&second, at)),
                    n(&|at| !is_in(&first, at) && !is_in(&second, at)),
                ];
                proptest::prop_assert_eq!(seen, wanted);
            }
        }
    }
}
