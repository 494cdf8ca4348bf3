//! Moments as dates: proleptic Gregorian calendar, UTC. Time zones are the reader's business.

use crate::base::Nanos;

const SECONDS_PER_DAY: u64 = 86_400;

/// `2026-11-24 03:50:07 UTC`; `since_1970` without leap seconds, as Unix counts.
pub fn utc(since_1970: Nanos) -> String {
    let seconds = since_1970.0 / 1_000_000_000;
    let (days, second) = (seconds / SECONDS_PER_DAY, seconds % SECONDS_PER_DAY);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3_600, second % 3_600 / 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Year, month and day, by counting in cycles of 400 years from 1 March of the year 0, so that leap days come last.
const fn civil(days_since_1970: u64) -> (u64, u64, u64) {
    /// From 1 March 0000 to 1 January 1970.
    const SHIFT: u64 = 719_468;
    let days = days_since_1970 + SHIFT;
    let (cycle, day_of_cycle) = (days / 146_097, days % 146_097);
    let year_of_cycle = (day_of_cycle - day_of_cycle / 1_460 + day_of_cycle / 36_524
        - day_of_cycle / 146_096)
        / 365;
    let day_of_year =
        day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_cycle + cycle * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // `date -u -d @N`.
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199, "2024-02-29 23:59:59 UTC"),
            (1_709_251_200, "2024-03-01 00:00:00 UTC"),
            (1_767_225_599, "2025-12-31 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(Nanos::from_secs(seconds)), text);
        }
        assert!(utc(Nanos(u64::MAX)).starts_with("2554-"));
    }
}
