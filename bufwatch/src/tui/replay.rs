//! Where in a recording one is, and what is done about it: playing, the time axis and its marks. Pure: time comes as messages, and what is
//! to be read goes out as a command.

use std::sync::Arc;

use crate::analysis::marks::Marks;
use crate::analysis::moment::parse_moment;
use crate::base::wall_clock::DAY;
use crate::base::{Nanos, WallTime};

/// How much faster than it was a recording can be played.
const SPEEDS: [u64; 8] = [1, 2, 5, 10, 30, 60, 300, 1_800];

/// Nothing changes in less: the time between two flushes of a recording.
const STEP_MIN: Nanos = Nanos::from_millis(500);

/// Rows of the time axis: marks and the bar; less on a small terminal.
const ROWS: u16 = 2;
const HEIGHT_FOR_BOTH: u16 = 16;
const HEIGHT_FOR_ONE: u16 = 8;

/// A recording that is looked at.
#[derive(Clone, Debug, Default)]
pub struct ReplayView {
    pub length: Nanos,
    /// By the wall clock, since 1970.
    pub started: Option<Nanos>,
    /// The moment asked for, since the start.
    pub at: Nanos,
    pub is_playing: bool,
    /// Index into the speeds.
    speed: usize,
    pub marks: Arc<Marks>,
    /// The time that is being typed, and whether it was none.
    pub input: Option<TimeInput>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimeInput {
    pub text: String,
    pub is_wrong: bool,
}

impl ReplayView {
    pub fn new(length: Nanos, started: Option<Nanos>, at: Nanos) -> Self {
        Self { length, started, at: at.min(length), ..Self::default() }
    }

    pub fn speed(&self) -> u64 {
        SPEEDS.get(self.speed).copied().unwrap_or(1)
    }

    pub fn faster(&mut self) {
        self.speed = (self.speed + 1).min(SPEEDS.len() - 1);
    }

    pub fn slower(&mut self) {
        self.speed = self.speed.saturating_sub(1);
    }

    /// A part of the recording.
    pub fn part(&self, of: u64) -> Nanos {
        Nanos(self.length.0.checked_div(of).unwrap_or(0)).max(STEP_MIN)
    }

    pub fn go_to(&mut self, at: Nanos) {
        self.at = at.min(self.length);
    }

    /// By the wall clock.
    pub fn wall(&self, at: Nanos) -> Option<WallTime> {
        Some(WallTime(Nanos(self.started?.0.checked_add(at.0)?)))
    }

    /// So much time has passed for who looks.
    pub fn play(&mut self, passed: Nanos) {
        let at = self.at.0.saturating_add(passed.0.saturating_mul(self.speed()));
        self.go_to(Nanos(at));
        self.is_playing = self.at < self.length;
    }

    /// `1m30s` after the start, or `03:12` and `03:12:45` by the clock of the recording; `None` if it is no time of it.
    pub fn read_time(&self, text: &str) -> Option<Nanos> {
        if !text.contains(':') {
            return parse_moment(text).ok();
        }
        let mut second = 0_u64;
        let mut n_parts = 0;
        for (part, limit) in text.split(':').zip([24, 60, 60, 0]) {
            let number: u64 = part.trim().parse().ok().filter(|number| *number < limit)?;
            second = second * 60 + number;
            n_parts += 1;
        }
        if n_parts == 2 {
            second *= 60;
        }
        // The first such time after the start; the recording may be older than midnight.
        let start = WallTime(self.started?).second_of_day();
        let after = (second + DAY - start) % DAY;
        Some(Nanos::from_secs(after)).filter(|after| *after <= self.length)
    }
}

/// Rows of the time axis on a terminal of so many rows.
pub const fn bar_rows(height: u16) -> u16 {
    match height {
        HEIGHT_FOR_BOTH.. => ROWS,
        HEIGHT_FOR_ONE.. => 1,
        _ => 0,
    }
}

/// Where the axis is on its row: its first column, and how many there are.
pub const fn axis(width: u16) -> (u16, u16) {
    /// `▶ 300×  12m40s ` before it, ` 12m40s` after it.
    const BEFORE: u16 = 17;
    const AFTER: u16 = 10;
    if width < BEFORE + AFTER + 10 {
        return (0, width);
    }
    (BEFORE, width - BEFORE - AFTER)
}

/// The column of a moment, counted from the first of the axis.
pub fn column_of(at: Nanos, length: Nanos, n_columns: u16) -> u16 {
    let last = u128::from(n_columns.saturating_sub(1));
    let column = u128::from(at.0) * last / u128::from(length.0.max(1));
    column.min(last) as u16
}

/// The moment of a column of the row.
pub fn moment_at(column: u16, width: u16, length: Nanos) -> Option<Nanos> {
    let (first, n_columns) = axis(width);
    let column = column.checked_sub(first).filter(|column| *column < n_columns)?;
    let last = u128::from(n_columns.saturating_sub(1).max(1));
    Some(Nanos((u128::from(length.0) * u128::from(column) / last) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn playing_ends_at_the_end() {
        let mut view = ReplayView::new(Nanos::from_secs(100), None, Nanos(0));
        view.is_playing = true;
        view.faster();
        view.faster();
        view.play(Nanos::SECOND);
        assert_eq!((view.at, view.is_playing), (Nanos::from_secs(5), true));
        view.play(Nanos::from_secs(60));
        assert_eq!((view.at, view.is_playing), (Nanos::from_secs(100), false));
        (0..99).for_each(|_| view.faster());
        assert_eq!(view.speed(), 1_800);
        (0..99).for_each(|_| view.slower());
        assert_eq!(view.speed(), 1);
    }

    #[test]
    fn times_are_read_from_the_start_and_by_the_clock() {
        // It began at 23:59:30 UTC.
        let started = Some(Nanos::from_secs(20_000 * DAY + DAY - 30));
        let view = ReplayView::new(Nanos::from_secs(7_200), started, Nanos(0));
        let seconds = |text| view.read_time(text).map(|at| at.0 / 1_000_000_000);
        assert_eq!(seconds("1m30s"), Some(90));
        assert_eq!(seconds("23:59:45"), Some(15));
        assert_eq!(seconds("00:00"), Some(30));
        assert_eq!(seconds("01:00:01"), Some(3_631));
        for text in ["", "x", "25:00", "12:00", "1:2:3:4", "0:61", ":", "99999999999999999999:1"] {
            assert_eq!(seconds(text), None, "{text}");
        }
        let blind = ReplayView { started: None, ..view };
        assert_eq!(blind.read_time("00:00"), None);
    }

    #[test]
    fn columns_and_moments_are_of_one_axis() {
        let length = Nanos::from_secs(1_000);
        for width in [20, 36, 37, 80, 200] {
            let (first, n) = axis(width);
            assert!(first + n <= width);
            for column in first..first + n {
                let at = moment_at(column, width, length).unwrap();
                assert!(column_of(at, length, n).abs_diff(column - first) <= 1, "{width} {column}");
            }
            assert_eq!(moment_at(first + n - 1, width, length), Some(length));
        }
        assert_eq!(moment_at(3, 80, length), None);
        assert_eq!(column_of(Nanos(9), Nanos(0), 10), 9);
    }
}
