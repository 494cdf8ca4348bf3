//! The parts of RSS that bufwatch tells add up to RSS: asked of each session of each live test, so of every workload.

use serde_json::Value;

/// Of RSS; what a part of the process does while it is looked at may be more.
const UNEXPLAINED_MAX: f64 = 0.01;

/// Of one look or two there is no middle, and the lower counts: the process may have made a buffer of 1 MiB meanwhile, which is a hundredth
/// of its RSS, or many of them.
const UNEXPLAINED_MAX_OF_FEW: f64 = 0.05;
const N_LOOKS_FEW: usize = 2;

/// Of the looks of a session, the one in the middle is within that, or within `max`.
pub(crate) fn assert_sums(lines: &[String], max: Option<f64>) {
    let mut looks: Vec<(u64, f64)> = Vec::new();
    for sample in lines.iter().filter_map(|line| serde_json::from_str(line).ok()) {
        if let Some(look) = look(&sample)
            && looks.last().is_none_or(|(at, _)| *at != look.0)
        {
            looks.push(look);
        }
    }
    let mut shares: Vec<f64> = looks.iter().map(|(_, share)| *share).collect();
    shares.sort_unstable_by(f64::total_cmp);
    let is_few = shares.len() <= N_LOOKS_FEW;
    // Of an even number the lower one of the two.
    let Some(middle) = shares.get(shares.len().saturating_sub(1) / 2) else { return };
    println!(
        "{} looks at RSS, unexplained in the middle {middle:.4}, at most {:.4}",
        shares.len(),
        shares.last().unwrap_or(middle)
    );
    let max = max.unwrap_or(if is_few { UNEXPLAINED_MAX_OF_FEW } else { UNEXPLAINED_MAX });
    assert!(*middle <= max, "of RSS is not explained: {shares:?}");
}

/// When the process was looked at, and the share of RSS that the parts do not explain.
fn look(sample: &Value) -> Option<(u64, f64)> {
    let found = sample.get("residency")?.as_object()?;
    let at = sample["t_ns"].as_u64()?.checked_sub(found["age_ns"].as_u64()?)?;
    let rss = found["rss_bytes"].as_f64()?;
    let unexplained = found["unexplained_bytes"].as_f64()?;
    (rss > 0.0).then(|| (at, unexplained.abs() / rss))
}

#[test]
fn a_sum_that_is_not_right_is_refused() {
    let sample = |unexplained: i64, n: u64| {
        let t_ns = 9 + n;
        format!(
            r#"{{"t_ns": {t_ns}, "residency": {{"age_ns": 1, "rss_bytes": 1000, "unexplained_bytes": {unexplained}}}}}"#
        )
    };
    let looks = |unexplained: [i64; 3]| [0, 1, 2].map(|n| sample(unexplained[n], n as u64));
    let sums = |lines: &[String]| std::panic::catch_unwind(|| assert_sums(lines, None)).is_ok();
    assert!(sums(&looks([-9, 99, 9])));
    assert!(!sums(&looks([-11, 99, 11])));
    assert!(sums(&[sample(-49, 0), "no sample".to_owned()]));
    assert!(sums(&[sample(-51, 0), sample(-49, 1)]));
    assert!(!sums(&[sample(-51, 0)]));
    assert!(!sums(&[sample(-51, 0), sample(51, 1)]));
    let four = |unexplained: [i64; 4]| [0, 1, 2, 3].map(|n| sample(unexplained[n], n as u64));
    assert!(sums(&four([99, -9, 99, 9])));
    assert!(!sums(&four([99, -9, 99, 11])));
    assert_sums(&[sample(-99, 0)], Some(0.1));
}
