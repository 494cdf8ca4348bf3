//! Collapsed stacks: a line a stack, frames from the outermost on between semicolons, and what it has. What flamegraph.pl, inferno, and
//! most viewers of profiles read.

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::export::profile::{Measure, Profile};

/// Stacks that read the same are one line; in the same order each time.
pub fn lines(profile: &Profile, measure: Measure) -> Vec<String> {
    let mut stacks: BTreeMap<String, u64> = BTreeMap::new();
    for sample in &profile.samples {
        let value = sample.value(measure);
        if value > 0 {
            let frames: Vec<String> =
                profile.stack_of(sample).rev().map(|frame| frame_text(&frame.full)).collect();
            let sum = stacks.entry(frames.join(";")).or_default();
            *sum = sum.saturating_add(value);
        }
    }
    stacks.into_iter().map(|(stack, value)| format!("{stack} {value}")).collect()
}

pub fn write(profile: &Profile, measure: Measure, out: &mut dyn Write) -> io::Result<()> {
    lines(profile, measure).iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// The format has no way to quote: what separates frames and lines cannot be in a name.
fn frame_text(name: &str) -> String {
    let safe = |c| match c {
        ';' => ',',
        '\u{2028}' | '\u{2029}' => '\u{fffd}',
        other => other,
    };
    name.chars().map(safe).collect()
}
