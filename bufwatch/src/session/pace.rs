//! How often a session looks, where nothing tells it to: often for somebody who looks at one process, rarely where a whole host is watched.

use crate::base::Nanos;

/// Times between looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// At the ring buffer; a new stack wakes up, and so does a buffer that fills.
    pub poll: Nanos,
    /// So many records of a CPU wake up; zero: they never do.
    pub wake_up_records: u16,
    /// At the kernel's counters.
    pub counters: Nanos,
    /// At RSS and the counters of V8's allocators.
    pub sample: Nanos,
    /// At least, at mappings and threads.
    pub mappings: Nanos,
    /// At pages of new and partly resident stores.
    pub scan: Nanos,
    /// At least, at all pages of the process.
    pub full_scan: Nanos,
    /// Between two snapshots.
    pub snapshot: Nanos,
    /// Of a recording: what is older is in the file, also when bufwatch is killed.
    pub flush: Nanos,
}

impl Pace {
    /// Somebody looks at one process.
    pub const CLOSE: Self = Self {
        // 8 MiB hold 50 ms of the densest churn; less often is cheaper.
        poll: Nanos::from_millis(20),
        wake_up_records: 0,
        counters: Nanos::from_millis(250),
        sample: Nanos::from_millis(250),
        mappings: Nanos::from_secs(5),
        scan: Nanos::SECOND,
        full_scan: Nanos::SECOND,
        // Four a second read as motion; more cost more than they show.
        snapshot: Nanos::from_millis(250),
        flush: Nanos::from_millis(500),
    };

    /// One of many processes of a host: what an idle one costs is a share of a thousandth of a core.
    pub const FLEET: Self = Self {
        poll: Nanos::from_secs(1),
        // About 20 KB, of a buffer of 256 KiB or more.
        wake_up_records: 256,
        counters: Nanos::from_secs(2),
        sample: Nanos::from_secs(2),
        mappings: Nanos::from_mins(1),
        scan: Nanos::from_secs(10),
        full_scan: Nanos::from_mins(1),
        snapshot: Nanos::from_secs(2),
        flush: Nanos::from_secs(10),
    };
}
