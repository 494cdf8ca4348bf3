//! Takes the censuses over from a recording, with what tracing knew when they were taken.

use std::sync::Arc;

use crate::base::FastMap;
use crate::event::recorded::{RecalledCensuses, RecordedCensus, RecordedTraced};
use crate::model::census::{
    CensusFailure, CensusLog, JoinedCensus, Orphan, TracedSite, TracedStore, site_in,
};
use crate::model::site::{SiteId, Sites};

pub(in crate::model) fn log(
    recalled: &RecalledCensuses,
    sites: &Sites,
    by_number: &FastMap<u32, SiteId>,
    has_stacks: bool,
) -> CensusLog {
    let joined = |census: &RecordedCensus| Arc::new(join(census, sites, by_number, has_stacks));
    CensusLog {
        last: recalled.last.as_ref().map(joined),
        previous: recalled.previous.as_ref().map(joined),
        failure: recalled.failure.as_ref().map(|failure| CensusFailure {
            at: failure.at,
            message: Arc::clone(&failure.message),
            hint: Arc::clone(&failure.hint),
        }),
        is_underway: false,
        n_taken: recalled.n_taken,
        longest_stop: recalled.longest_stop,
        total_stop: recalled.total_stop,
    }
}

fn join(
    recorded: &RecordedCensus,
    sites: &Sites,
    by_number: &FastMap<u32, SiteId>,
    has_stacks: bool,
) -> JoinedCensus {
    let mut known: FastMap<SiteId, Arc<TracedSite>> = FastMap::default();
    let mut traced = |store: &RecordedTraced| {
        let site = has_stacks.then(|| {
            let id = by_number.get(&store.site).copied().unwrap_or(SiteId::WITHOUT_STACK);
            Arc::clone(known.entry(id).or_insert_with(|| Arc::new(site_in(sites, id))))
        });
        TracedStore {
            key: store.key,
            number: store.number,
            age: store.age,
            n_major_survived: store.n_major_survived,
            site,
        }
    };
    let orphans = recorded.orphans.iter();
    JoinedCensus {
        taken_at: recorded.at,
        census: Arc::clone(&recorded.census),
        traced: recorded.traced.iter().map(|store| store.as_ref().map(&mut traced)).collect(),
        orphans: orphans
            .map(|(size, store)| Orphan { size: *size, store: traced(store) })
            .collect(),
    }
}
