//! The snapshot of a target of which nothing is known yet.

use std::sync::Arc;

use crate::analysis::query::StoreQuery;
use crate::analysis::snapshot::{
    CensusLog, GcTotals, Health, History, Memory, Snapshot, StoreTable, StoreTotals, Target,
};
use crate::base::{Nanos, Series};

impl Snapshot {
    /// Attaching, everything unknown, nothing counted.
    pub fn blank() -> Self {
        // No value is ever pushed into these.
        let empty = || Series::new(1, 2);
        Self {
            census: CensusLog::default(),
            findings: Arc::from([]),
            taken_at: Nanos::default(),
            elapsed: Nanos::default(),
            target: Target::default(),
            memory: Memory::default(),
            stores: StoreTotals::default(),
            gc: Some(GcTotals::default()),
            history: Arc::new(History {
                rss: empty(),
                array_buffers: empty(),
                v8_heap: empty(),
                live_bytes: empty(),
                created_bytes_per_s: empty(),
                destroyed_bytes_per_s: empty(),
                gcs: Vec::new(),
            }),
            sites: Arc::from([]),
            n_sites_total: 0,
            groups: Arc::from([]),
            n_groups_total: 0,
            table: StoreTable { query: StoreQuery::default(), rows: Arc::from([]), n_matched: 0 },
            rss_steps: Arc::from([]),
            recent: crate::analysis::snapshot::Recent::default(),
            freed: Arc::from([]),
            detail: None,
            health: Health::default(),
        }
    }
}
