//! What detectors look at: the newest census, and what the census before it and tracing say about how long its parents have been as they
//! are. Accuses nobody.

use crate::analysis::Snapshot;
use crate::analysis::snapshot::{JoinedCensus, TracedStore};
use crate::base::{Avma, Bytes, FastMap, Nanos};
use crate::event::GcKind;
use crate::event::census::Parent;

/// What is in flight in a server is done by then: Node gives up on a silent client after 5 s (`server.keepAliveTimeout`).
const IN_FLIGHT_MAX: Nanos = Nanos::from_secs(5);

/// Major collections: the first one may have begun marking before the last reference was dropped, the second one frees it.
pub(super) const SETTLED_MAJORS: u32 = 2;

/// How long a parent has been alive, as far as it was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tenure {
    /// Made a moment ago, and no major collection has run since: it may be garbage in another moment.
    Young,
    /// Nobody looked before; or it survived a collection, but is younger than what may be in flight.
    Unknown,
    /// It is older than what is in flight.
    Seen,
    /// It has survived two major collections, and is older than what is in flight.
    Settled,
}

/// A census with what is known about its parents' past.
#[derive(Debug)]
pub(super) struct Look<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) now: &'a JoinedCensus,
    pub(super) before: Option<&'a JoinedCensus>,
    /// Parents of the census before, and of this one.
    places_before: FastMap<(Avma, Bytes), usize>,
    places: FastMap<(Avma, Bytes), usize>,
    /// Major collections between the attach and this census, and between the two censuses.
    n_majors_since_attach: u32,
    n_majors_between: u32,
}

impl<'a> Look<'a> {
    /// `None`: there was no census.
    pub(super) fn new(snapshot: &'a Snapshot) -> Option<Self> {
        let now = snapshot.census.last.as_deref()?;
        let before = snapshot.census.previous.as_deref();
        let places = |joined: &JoinedCensus| {
            let parents = joined.census.parents.iter().enumerate();
            parents.map(|(index, parent)| ((parent.address, parent.size), index)).collect()
        };
        // Only two censuses are compared.
        let places_before: FastMap<_, _> = before.map(places).unwrap_or_default();
        let places = before.map(|_| places(now)).unwrap_or_default();
        let began = Nanos(snapshot.taken_at.0.saturating_sub(snapshot.elapsed.0));
        let n_majors = |from: Nanos| {
            let (from, to) = (from.since(began), now.taken_at.since(began));
            let within =
                |(at, kind): &&(Nanos, GcKind)| *kind == GcKind::Major && *at > from && *at <= to;
            // Collections are per isolate, and the list does not say whose.
            if now.census.isolates.len() > 1 {
                return 0;
            }
            u32::try_from(snapshot.history.gcs.iter().filter(within).count()).unwrap_or(u32::MAX)
        };
        Some(Self {
            snapshot,
            now,
            before,
            places_before,
            places,
            n_majors_since_attach: n_majors(began),
            n_majors_between: before.map_or(0, |before| n_majors(before.taken_at)),
        })
    }

    /// All parents with their numbers.
    pub(super) fn parents(&self) -> impl Iterator<Item = (usize, &'a Parent)> {
        self.now.census.parents.iter().enumerate()
    }

    pub(super) fn parent(&self, index: usize) -> Option<&'a Parent> {
        self.now.census.parents.get(index)
    }

    pub(super) fn traced(&self, index: usize) -> Option<&'a TracedStore> {
        self.now.traced(index)
    }

    /// The same parent in the census before.
    pub(super) fn earlier(&self, parent: &Parent) -> Option<&'a Parent> {
        let index = *self.places_before.get(&(parent.address, parent.size))?;
        self.before?.census.parents.get(index)
    }

    /// A parent of the census before in this one.
    pub(super) fn later(&self, earlier: &Parent) -> Option<&'a Parent> {
        self.parent(*self.places.get(&(earlier.address, earlier.size))?)
    }

    pub(super) fn between(&self) -> Option<Nanos> {
        Some(self.now.taken_at.since(self.before?.taken_at))
    }

    /// How long a parent has been there; with a census before, whether `was_so` of it then, too.
    pub(super) fn tenure(&self, index: usize, was_so: impl Fn(&Parent) -> bool) -> Tenure {
        if let Some(traced) = self.traced(index) {
            // A busy server may collect several times while a request is in flight.
            let is_in_flight = traced.age < IN_FLIGHT_MAX;
            return match traced.n_major_survived {
                // Where collections are not seen, it may be that none has run.
                None | Some(0) if is_in_flight => Tenure::Young,
                _ if is_in_flight => Tenure::Unknown,
                Some(n) if n >= SETTLED_MAJORS => Tenure::Settled,
                _ => Tenure::Seen,
            };
        }
        let Some(parent) = self.parent(index) else { return Tenure::Unknown };
        let since_attach = self.survived_untraced(parent);
        let since_before = match self.earlier(parent).filter(|earlier| was_so(earlier)) {
            Some(_) => self.tenure_between(),
            None => Tenure::Unknown,
        };
        since_attach.max(since_before)
    }

    /// What is known of a parent that was there in the census before.
    pub(super) fn tenure_between(&self) -> Tenure {
        if self.between() < Some(IN_FLIGHT_MAX) {
            Tenure::Unknown
        } else if self.n_majors_between >= SETTLED_MAJORS {
            Tenure::Settled
        } else {
            Tenure::Seen
        }
    }

    /// A store that tracing would have seen and has not is older than the attach.
    fn survived_untraced(&self, parent: &Parent) -> Tenure {
        let is_tracked = parent.size >= self.snapshot.target.min_size
            && !parent.is_resizable
            && self.snapshot.health.n_lost == 0
            && self.snapshot.health.coverage.is_none();
        match self.n_majors_since_attach {
            n if is_tracked && n >= SETTLED_MAJORS => Tenure::Settled,
            1 if is_tracked => Tenure::Seen,
            _ => Tenure::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::made_up::{Scene, parent};
    use crate::event::census::Isolate;

    fn tenure(scene: &Scene) -> Tenure {
        let snapshot = scene.snapshot();
        Look::new(&snapshot).unwrap().tenure(0, |parent| parent.covered.0 < 100)
    }

    fn pinned() -> Parent {
        parent(1_000_000).view("Buffer", 0, 16).held_by(&["global H"]).done()
    }

    #[test]
    fn collections_say_how_long_a_traced_store_has_been_there() {
        let scene = |n_majors| Scene::new().parent(pinned()).traced("read app.js:1", n_majors);
        assert_eq!(tenure(&scene(0)), Tenure::Seen);
        assert_eq!(tenure(&scene(1)), Tenure::Seen);
        assert_eq!(tenure(&scene(7)), Tenure::Settled);
        assert_eq!(tenure(&scene(0).aged(1)), Tenure::Young);
        assert_eq!(tenure(&scene(7).aged(1)), Tenure::Unknown);
    }

    #[test]
    fn where_collections_are_not_seen_age_alone_says_it() {
        let of = |seconds| {
            let mut scene = Scene::new().parent(pinned()).traced("", 0).aged(seconds);
            scene.collections_are_not_seen();
            tenure(&scene)
        };
        assert_eq!(of(1), Tenure::Young);
        assert_eq!(of(60), Tenure::Seen);
    }

    #[test]
    fn a_look_without_a_past_knows_nothing() {
        assert_eq!(tenure(&Scene::new().parent(pinned())), Tenure::Unknown);
    }

    #[test]
    fn what_is_older_than_the_attach_has_survived_what_ran_since() {
        let scene = || Scene::new().parent(pinned()).majors(&[1, 2]);
        assert_eq!(tenure(&scene()), Tenure::Settled);
        assert_eq!(tenure(&Scene::new().parent(pinned()).majors(&[1])), Tenure::Seen);
        // Later than the census.
        assert_eq!(tenure(&Scene::new().parent(pinned()).majors(&[1_000])), Tenure::Unknown);
        let mut lost = scene().snapshot();
        lost.health.n_lost = 1;
        let look = Look::new(&lost).unwrap();
        assert_eq!(look.tenure(0, |_| true), Tenure::Unknown);
        let workers = scene().isolates(vec![Isolate::default(); 2]);
        assert_eq!(tenure(&workers), Tenure::Unknown, "whose collections these were is not known");
    }

    #[test]
    fn what_was_so_in_the_census_before_is_not_in_flight() {
        let scene = |seconds, before| Scene::new().parent(pinned()).before(seconds, vec![before]);
        assert_eq!(tenure(&scene(30, pinned())), Tenure::Seen);
        assert_eq!(tenure(&scene(1, pinned())), Tenure::Unknown);
        let whole = parent(1_000_000).view("Buffer", 0, 1_000_000).held_by(&["global H"]).done();
        assert_eq!(tenure(&scene(30, whole)), Tenure::Unknown);
        let other = parent(2_000_000).view("Buffer", 0, 16).done();
        assert_eq!(tenure(&scene(30, other)), Tenure::Unknown);
    }
}
