//! The slope of a cloud of points that does not mind outliers, with its interval: Theil (1950) and Sen (1968), "Estimates of the regression
//! coefficient based on Kendall's tau". Knows nothing of what the points are.

/// Points at most: the work grows with the square.
const POINTS_MAX: usize = 256;

/// Of the normal distribution, for 95 %.
const Z: f64 = 1.96;

/// Per unit of the first coordinate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    pub median: f64,
    /// It is between these with 95 %.
    pub least: f64,
    pub most: f64,
}

/// `None` if there are too few points for an interval. Of too many the newest are looked at.
pub fn slope(points: &[(f64, f64)]) -> Option<Slope> {
    let points = points.get(points.len().saturating_sub(POINTS_MAX)..)?;
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (n, (x, y)) in points.iter().enumerate() {
        for (later_x, later_y) in points.iter().skip(n + 1) {
            let run = later_x - x;
            if run > 0.0 {
                slopes.push((later_y - y) / run);
            }
        }
    }
    slopes.sort_unstable_by(f64::total_cmp);
    let n = points.len() as f64;
    // Without ties in y, which make the interval only narrower.
    let spread = Z * (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
    let half = (slopes.len() as f64 - spread) / 2.0;
    if half < 0.0 {
        return None;
    }
    let at = |n: f64| slopes.get(n as usize).copied();
    let last = slopes.len().checked_sub(1)? as f64;
    Some(Slope {
        median: at(last / 2.0)?,
        least: at(half.floor().min(last))?,
        most: at((last - half.floor()).max(0.0))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(n: u32, per_step: f64) -> Vec<(f64, f64)> {
        (0..n).map(|n| (f64::from(n), per_step * f64::from(n))).collect()
    }

    #[test]
    fn a_line_has_its_slope_whatever_a_few_points_say() {
        let mut points = line(20, 3.0);
        points[4].1 = 1e9;
        points[15].1 = -1e9;
        let slope = slope(&points).unwrap();
        assert!((slope.median - 3.0).abs() < 1e-9, "{slope:?}");
        assert!(slope.least > 0.0 && slope.least <= slope.median && slope.median <= slope.most);
    }

    #[test]
    fn what_goes_up_and_down_may_have_none() {
        let points: Vec<(f64, f64)> = (0..30).map(|n| (f64::from(n), f64::from(n % 5))).collect();
        let slope = slope(&points).unwrap();
        assert!(slope.least <= 0.0 && slope.most >= 0.0, "{slope:?}");
    }

    #[test]
    fn few_points_say_nothing() {
        assert_eq!(slope(&line(3, 1.0)), None);
        assert_eq!(slope(&[]), None);
        assert_eq!(slope(&[(1.0, 5.0); 20]), None, "all at one time");
        assert!(slope(&line(8, 1.0)).is_some());
    }

    proptest::proptest! {
        #[test]
        fn the_interval_has_the_median_in_it(
            points in proptest::collection::vec((-1e6_f64..1e6, -1e9_f64..1e9), 0..60),
        ) {
            let mut points = points;
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            if let Some(slope) = slope(&points) {
                proptest::prop_assert!(slope.least <= slope.median && slope.median <= slope.most);
            }
        }
    }
}
