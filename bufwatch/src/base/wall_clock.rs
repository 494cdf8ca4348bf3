//! Moments of the wall clock as people read them. Always UTC: a recording is read on other machines than it was made on.

use std::fmt;

use crate::base::Nanos;

/// A moment since 1970: `2026-11-24 03:12:45 UTC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallTime(pub Nanos);

/// Seconds of a day.
pub const DAY: u64 = 86_400;

impl WallTime {
    /// Since midnight.
    pub const fn second_of_day(self) -> u64 {
        self.0.0 / Nanos::SECOND.0 % DAY
    }

    /// `03:12:45`.
    pub fn clock(self) -> String {
        let second = self.second_of_day();
        format!("{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)
    }

    /// Year, month and day of the Gregorian calendar, by whole 400-year cycles that begin on a 1 March, so that leap days come last.
    fn date(self) -> (u64, u64, u64) {
        const DAYS_OF_CYCLE: u64 = 146_097;
        /// From 0000-03-01 to 1970-01-01.
        const DAYS_BEFORE: u64 = 719_468;
        let days = self.0.0 / Nanos::SECOND.0 / DAY + DAYS_BEFORE;
        let (cycle, day) = (days / DAYS_OF_CYCLE, days % DAYS_OF_CYCLE);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let day_of_month = day_of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        (cycle * 400 + year + u64::from(month <= 2), month, day_of_month)
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        f.pad(&format!("{year:04}-{month:02}-{day:02} {} UTC", self.clock()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_date_1() {
        let cases = [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_709_164_800, "2024-02-29 00:00:00 UTC"),
            (1_767_225_599, "2025-12-31 23:59:59 UTC"),
            (1_795_489_965, "2026-11-24 03:12:45 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ];
        for (seconds, text) in cases {
            assert_eq!(WallTime(Nanos::from_secs(seconds)).to_string(), text);
        }
    }
}
