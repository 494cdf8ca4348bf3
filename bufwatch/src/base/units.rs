//! Quantities with their unit, and how people read them.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// A number of bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Bytes(pub u64);

impl Bytes {
    /// For differences; beyond the largest it is that.
    #[must_use]
    pub fn signed(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }

    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Add for Bytes {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Bytes {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::iter::Sum for Bytes {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self(0), Add::add)
    }
}

/// Binary multiples with three significant digits: `0 B`, `16.0 KiB`, `9.77 MiB`.
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
        if self.0 < 1024 {
            return f.pad(&format!("{} B", self.0));
        }
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = UNITS[0];
        for next in &UNITS[1..] {
            // 999.5 would print as four digits.
            if value < 999.5 {
                break;
            }
            value /= 1024.0;
            unit = next;
        }
        let digits = 2 - usize::from(value >= 9.995) - usize::from(value >= 99.95);
        f.pad(&format!("{value:.digits$} {unit}"))
    }
}

/// A duration, or a moment of `CLOCK_MONOTONIC`, in nanoseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Nanos(pub u64);

impl Nanos {
    pub const SECOND: Self = Self(1_000_000_000);

    pub const fn from_micros(us: u64) -> Self {
        Self(us.saturating_mul(1_000))
    }

    pub const fn from_millis(ms: u64) -> Self {
        Self(ms.saturating_mul(1_000_000))
    }

    pub const fn from_secs(s: u64) -> Self {
        Self(s.saturating_mul(1_000_000_000))
    }

    pub const fn from_mins(m: u64) -> Self {
        Self::from_secs(m.saturating_mul(60))
    }

    /// The moment `later` after this one.
    #[must_use]
    pub const fn after(self, later: Self) -> Self {
        Self(self.0.saturating_add(later.0))
    }

    /// Time since `earlier`; zero if that is later, as records of different CPUs may be.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }

    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl Sub for Nanos {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.since(other)
    }
}

/// As people say it: `0.8 ms`, `1.9 s`, `3m41s`, `2h05m`, `3d04h`.
impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.0 / 1_000_000_000;
        let text = match secs {
            0 if self.0 < 1_000 => format!("{} ns", self.0),
            0 if self.0 < 1_000_000 => format!("{:.1} µs", self.0 as f64 / 1e3),
            0 => format!("{:.1} ms", self.0 as f64 / 1e6),
            1..60 => format!("{:.1} s", self.0 as f64 / 1e9),
            60..3_600 => format!("{}m{:02}s", secs / 60, secs % 60),
            3_600..86_400 => format!("{}h{:02}m", secs / 3_600, secs % 3_600 / 60),
            _ => format!("{}d{:02}h", secs / 86_400, secs % 86_400 / 3_600),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_print_three_digits() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (65_536, "64.0 KiB"),
            (10 << 20, "10.0 MiB"),
            (1_048_000, "1.00 MiB"),
            (10_240_000_000, "9.54 GiB"),
            (u64::MAX, "16384 PiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn durations_print_two_parts() {
        let cases = [
            (12, "12 ns"),
            (1_500, "1.5 µs"),
            (800_000, "800.0 µs"),
            (1_900_000_000, "1.9 s"),
            (221_000_000_000, "3m41s"),
            (7_500_000_000_000, "2h05m"),
        ];
        for (ns, text) in cases {
            assert_eq!(Nanos(ns).to_string(), text);
        }
    }
}
