//! A time series of bounded length: when it is full, neighbours are merged and its step doubles, so that
//! it always spans the whole session.

use serde::{Deserialize, Serialize};

/// Values at equal steps since the start; a step without a value repeats the one before.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Series {
    step_ns: u64,
    capacity: usize,
    values: Vec<u64>,
    /// Samples merged into the last value, and their sum, until the step is over.
    open: (u64, u64),
}

impl Series {
    /// `capacity` is rounded up to an even number of at least two.
    pub fn new(step_ns: u64, capacity: usize) -> Self {
        let capacity = capacity.max(2).next_multiple_of(2);
        Self { step_ns: step_ns.max(1), capacity, values: Vec::new(), open: (0, 0) }
    }

    /// Adds a value at `elapsed_ns` since the start; within a step, values are averaged.
    pub fn push(&mut self, elapsed_ns: u64, value: u64) {
        let mut index = self.index(elapsed_ns);
        while index >= self.capacity {
            self.halve();
            index = self.index(elapsed_ns);
        }
        if index < self.values.len() {
            if index + 1 == self.values.len() {
                self.open = (self.open.0.saturating_add(1), self.open.1.saturating_add(value));
                let mean = self.open.1.checked_div(self.open.0).unwrap_or(value);
                if let Some(last) = self.values.last_mut() {
                    *last = mean;
                }
            }
            return;
        }
        let fill = self.values.last().copied().unwrap_or(value);
        self.values.resize(index, fill);
        self.values.push(value);
        self.open = (1, value);
    }

    fn index(&self, elapsed_ns: u64) -> usize {
        usize::try_from(elapsed_ns.checked_div(self.step_ns).unwrap_or(0)).unwrap_or(usize::MAX)
    }

    fn halve(&mut self) {
        let merged: Vec<u64> = self
            .values
            .chunks(2)
            .map(|pair| {
                pair.iter().fold(0, |sum: u64, v| sum.saturating_add(*v)) / pair.len() as u64
            })
            .collect();
        self.open = (1, merged.last().copied().unwrap_or(0));
        self.values = merged;
        self.step_ns = self.step_ns.saturating_mul(2);
    }

    /// One value per column, the time from zero to `elapsed` spread over them. A column has the largest value
    /// of its time: a peak must not vanish because it was short.
    pub fn resample(&self, elapsed_ns: u64, n_columns: usize) -> Vec<u64> {
        let values = &self.values;
        if values.is_empty() || n_columns == 0 {
            return Vec::new();
        }
        let step = self.step_ns as f64;
        let ns_per_column = (elapsed_ns.max(1) as f64) / n_columns as f64;
        (0..n_columns)
            .map(|column| {
                let first = (column as f64 * ns_per_column / step) as usize;
                let end = ((column + 1) as f64 * ns_per_column / step).ceil() as usize;
                // The newest sample stands until the next one.
                let first = first.min(values.len() - 1);
                let end = end.clamp(first + 1, values.len());
                values.get(first..end).and_then(|part| part.iter().max()).copied().unwrap_or(0)
            })
            .collect()
    }

    pub fn values(&self) -> &[u64] {
        &self.values
    }

    pub fn step_ns(&self) -> u64 {
        self.step_ns
    }

    pub fn last(&self) -> Option<u64> {
        self.values.last().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_grows_beyond_its_capacity_and_keeps_the_span() {
        let mut series = Series::new(10, 8);
        for t in 0..1_000 {
            series.push(t * 10, t);
        }
        assert!(series.values().len() <= 8);
        assert!(series.step_ns() * 8 >= 9_990);
        assert!(series.values().windows(2).all(|w| w[0] < w[1]));
    }

    #[test]
    fn gaps_repeat_the_value_before() {
        let mut series = Series::new(10, 8);
        series.push(0, 5);
        series.push(35, 9);
        assert_eq!(series.values(), [5, 5, 5, 9]);
    }

    #[test]
    fn values_of_one_step_are_averaged() {
        let mut series = Series::new(10, 8);
        series.push(1, 10);
        series.push(2, 20);
        assert_eq!(series.values(), [15]);
    }
}
