//! The one place where xtask reads the clock and waits. Nothing outside asks for the time of day,
//! but for the date that the benchmarks print.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often a condition without its own wake-up is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

#[expect(clippy::disallowed_methods, reason = "xtask measures real time; nothing replays it")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Seconds since 1970 in UTC.
#[expect(clippy::disallowed_methods, reason = "benchmarks are dated")]
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Looks at a condition until it yields a value or the limit has passed.
pub(crate) fn wait_for<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = now();
    loop {
        if let Some(value) = look() {
            return Some(value);
        }
        if start.elapsed() >= limit {
            return None;
        }
        thread::sleep(POLL_INTERVAL);
    }
}
