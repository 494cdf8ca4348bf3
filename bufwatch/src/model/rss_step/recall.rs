//! Steps of RSS as a recording has them.

use crate::base::FastMap;
use crate::event::recorded::{RecordedCause, RecordedStep};
use crate::model::limits::{RSS_STEPS_MAX, STEP_CAUSES_MAX};
use crate::model::rss_step::{Cause, CauseKind, RssStep, StepLog, StoreFacts, StoresOf};
use crate::model::site::SiteId;

impl StepLog {
    pub(in crate::model) fn recalled(
        steps: &[RecordedStep],
        by_number: &FastMap<u32, SiteId>,
    ) -> Self {
        let first = steps.len().saturating_sub(RSS_STEPS_MAX);
        let last = steps.get(first..).unwrap_or_default();
        Self { steps: last.iter().map(|it| step(it, by_number)).collect(), ..Self::default() }
    }
}

fn step(step: &RecordedStep, by_number: &FastMap<u32, SiteId>) -> RssStep {
    let causes = step.causes.iter().filter_map(|it| cause(it, by_number));
    RssStep {
        from: step.from,
        to: step.to,
        rss_before: step.rss_before,
        rss_after: step.rss_after,
        causes: causes.take(STEP_CAUSES_MAX).collect(),
        unexplained: step.unexplained,
        created: step.created,
        asked: step.asked,
    }
}

fn cause(cause: &RecordedCause, by_number: &FastMap<u32, SiteId>) -> Option<Cause> {
    let largest =
        StoreFacts { number: cause.store, size: cause.store_size, birth: cause.store_birth };
    let site = |number: u32| by_number.get(&number).copied().unwrap_or(SiteId::WITHOUT_STACK);
    Some(Cause {
        kind: CauseKind::from_name(&cause.kind)?,
        site: cause.site.map(site),
        bytes: cause.bytes,
        stores: StoresOf { n: cause.n_stores, largest, ..StoresOf::default() },
    })
}
