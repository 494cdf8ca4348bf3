//! Median and spread of a few measurements.

use std::fmt;

/// Five numbers that say where the measurements of one thing lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) min: f64,
    pub(super) quartile_1: f64,
    pub(super) median: f64,
    pub(super) quartile_3: f64,
    pub(super) max: f64,
}

impl Spread {
    /// Nothing for no measurements.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            min: *sorted.first()?,
            quartile_1: quantile(&sorted, 0.25)?,
            median: quantile(&sorted, 0.5)?,
            quartile_3: quantile(&sorted, 0.75)?,
            max: *sorted.last()?,
        })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "**{:.2}** ({:.2}–{:.2}; quartiles {:.2}, {:.2})",
            self.median, self.min, self.max, self.quartile_1, self.quartile_3
        )
    }
}

/// Linear between the two neighbours, which is the usual default.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * (sorted.len().checked_sub(1)? as f64);
    let below = sorted.get(place.floor() as usize)?;
    let above = sorted.get(place.ceil() as usize)?;
    Some(below + (above - below) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_neighbours() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0]).unwrap();
        let expect = Spread { min: 1.0, quartile_1: 1.75, median: 2.5, quartile_3: 3.25, max: 4.0 };
        assert_eq!(spread, expect);
    }

    #[test]
    fn one_value_is_its_own_spread() {
        assert_eq!(
            Spread::of([1.5]).unwrap().to_string(),
            "**1.50** (1.50–1.50; quartiles 1.50, 1.50)"
        );
    }

    #[test]
    fn no_value_has_no_spread() {
        assert_eq!(Spread::of([]), None);
    }
}
