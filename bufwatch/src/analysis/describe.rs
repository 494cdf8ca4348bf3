//! The facts of a snapshot in words and in derived numbers, so that every screen and every export says the
//! same. Where and how wide they are printed is the caller's business.

use std::fmt;

use crate::analysis::snapshot::{
    GroupRow, LIFETIME_FIRST_NS, N_LIFETIME_BUCKETS, Snapshot, TargetState,
};
use crate::base::{Bytes, Nanos, Series};
use crate::event::place::full_frame;
use crate::event::{Frame, FrameKind};

/// A quantile read from a histogram: only the bucket is known, hence a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifetimeBound {
    AtMost(Nanos),
    MoreThan(Nanos),
}

impl fmt::Display for LifetimeBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(end) => f.pad(&format!("≤ {end}")),
            Self::MoreThan(end) => f.pad(&format!("> {end}")),
        }
    }
}

/// Where bucket `n` of a lifetime histogram ends; `None` for the last one, which is open.
pub const fn lifetime_bucket_end(n: usize) -> Option<Nanos> {
    if n + 1 < N_LIFETIME_BUCKETS { Some(Nanos(LIFETIME_FIRST_NS << (2 * n))) } else { None }
}

/// Bound of the lifetime that a share `q` (0..=1) of the counted stores did not outlive; `None` without any.
pub fn lifetime_quantile(buckets: &[u64; N_LIFETIME_BUCKETS], q: f64) -> Option<LifetimeBound> {
    let total: u64 = buckets.iter().fold(0, |sum, n| sum.saturating_add(*n));
    if total == 0 {
        return None;
    }
    let rank = ((total as f64 * q).ceil() as u64).max(1);
    let mut seen = 0_u64;
    for (n, count) in buckets.iter().enumerate() {
        seen = seen.saturating_add(*count);
        if seen >= rank
            && let Some(end) = lifetime_bucket_end(n)
        {
            return Some(LifetimeBound::AtMost(end));
        }
    }
    Some(LifetimeBound::MoreThan(Nanos(LIFETIME_FIRST_NS << (2 * (N_LIFETIME_BUCKETS - 2)))))
}

/// The slope of a curve is taken over this much of its end, or eight steps if those are longer: long enough
/// to average over a few GC cycles, short enough to follow a change within a minute.
const GROWTH_WINDOW_NS: u64 = 60_000_000_000;

/// Below this the slope is that of one GC cycle, not of the process.
const GROWTH_SPAN_MIN_NS: u64 = 5_000_000_000;

/// Bytes per minute by least squares over the last minute; `None` while too little has been seen. Zero if
/// what the line explains is less than what scatters around it: the sawtooth of a GC has no slope.
pub fn growth_per_min(series: &Series) -> Option<i64> {
    let step_ns = series.step_ns();
    let n_window = usize::try_from(GROWTH_WINDOW_NS / step_ns).unwrap_or(usize::MAX).max(8);
    let values = series.values();
    let window = values.get(values.len().saturating_sub(n_window)..)?;
    if window.len() < 3 || step_ns.saturating_mul(window.len() as u64) < GROWTH_SPAN_MIN_NS {
        return None;
    }
    let n = window.len() as f64;
    let mean_x = (n - 1.0) / 2.0;
    let mean_y = window.iter().map(|v| *v as f64).sum::<f64>() / n;
    let (mut sum_xy, mut sum_xx) = (0.0, 0.0);
    for (i, value) in window.iter().enumerate() {
        let dx = i as f64 - mean_x;
        sum_xy += dx * (*value as f64 - mean_y);
        sum_xx += dx * dx;
    }
    let slope = sum_xy / sum_xx;
    let scatter = window
        .iter()
        .enumerate()
        .map(|(i, value)| *value as f64 - mean_y - slope * (i as f64 - mean_x))
        .map(|off| off * off)
        .sum::<f64>();
    if (slope * n).abs() < 2.0 * (scatter / n).sqrt() {
        return Some(0);
    }
    let steps_per_min = 60e9 / step_ns as f64;
    Some((slope * steps_per_min) as i64)
}

/// `+2.70 GiB/min`, `-1.00 MiB/min`; `steady` below `noise`.
pub fn growth_text(bytes_per_min: i64, noise: Bytes) -> String {
    let size = Bytes(bytes_per_min.unsigned_abs());
    if size < noise {
        "steady".to_owned()
    } else if bytes_per_min < 0 {
        format!("-{size}/min")
    } else {
        format!("+{size}/min")
    }
}

/// Changes below this in a minute are the noise of a process that holds `bytes`: a hundredth, at least 1 MiB.
pub fn growth_noise(bytes: Bytes) -> Bytes {
    Bytes((bytes.0 / 100).max(1 << 20))
}

/// `onChunk /srv/ingest/ingest.js:31:9`; a frame that is not resolved says so.
pub fn frame_text(frame: &Frame) -> String {
    // The name of an unresolved JavaScript frame says so itself.
    let is_marked = frame.is_resolved || frame.kind == FrameKind::Js;
    format!("{}{}", full_frame(frame), if is_marked { "" } else { " (unresolved)" })
}

/// `onChunk ingest.js:31 via Buffer.concat`.
pub fn site_text(label: &str, via: Option<&str>) -> String {
    match via {
        Some(via) => format!("{label} via {via}"),
        None => label.to_owned(),
    }
}

impl GroupRow {
    /// What it is called, with the API.
    pub fn text(&self) -> String {
        site_text(&self.label, self.via.as_deref())
    }
}

/// `live 3m41s`, `exited with code 1 after 3m41s`.
pub fn state_text(snapshot: &Snapshot) -> String {
    let elapsed = snapshot.elapsed;
    match snapshot.target.state {
        TargetState::Attaching => "attaching…".to_owned(),
        TargetState::Live => format!("live {elapsed}"),
        TargetState::Execed => format!("runs another program since {elapsed}"),
        TargetState::Exited { code: Some(code) } => {
            format!("exited with code {code} after {elapsed}")
        }
        TargetState::Exited { code: None } => format!("exited after {elapsed}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_end_of_its_bucket() {
        let mut buckets = [0; N_LIFETIME_BUCKETS];
        assert_eq!(lifetime_quantile(&buckets, 0.5), None);
        buckets[0] = 98;
        buckets[7] = 2;
        assert_eq!(lifetime_quantile(&buckets, 0.5).unwrap().to_string(), "≤ 64.0 µs");
        assert_eq!(lifetime_quantile(&buckets, 0.99).unwrap().to_string(), "≤ 1.0 s");
        buckets[N_LIFETIME_BUCKETS - 1] = 1_000;
        assert_eq!(lifetime_quantile(&buckets, 0.99).unwrap().to_string(), "> 4h46m");
    }

    #[test]
    fn growth_is_the_slope_of_the_last_minute() {
        let mut series = Series::new(1_000_000_000, 512);
        for s in 0..200_u64 {
            // Flat for two minutes, then 1 MiB more each second.
            series.push(s * 1_000_000_000, (100 << 20) + (s.saturating_sub(120) << 20));
        }
        let growth = growth_per_min(&series).unwrap();
        assert_eq!(growth_text(growth, Bytes(1 << 20)), "+60.0 MiB/min");
    }

    #[test]
    fn a_sawtooth_is_steady() {
        let mut series = Series::new(1_000_000_000, 512);
        for s in 0..67_u64 {
            series.push(s * 1_000_000_000, (100 + s % 12 * 9) << 20);
        }
        assert_eq!(growth_per_min(&series), Some(0));
    }

    #[test]
    fn growth_of_a_moment_is_unknown() {
        let mut series = Series::new(250_000_000, 512);
        series.push(0, 1);
        series.push(250_000_000, 100);
        assert_eq!(growth_per_min(&series), None);
    }
}
