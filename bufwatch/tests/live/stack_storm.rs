//! Stacks under load: chains that the program has never taken are never shown, and nearly all frames are resolved,
//! while the collector moves everything and while twenty thousand stores a second come through new chains.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::harness::{Lab, Watch};
use crate::sample::{Frame, Sample, Site};
use crate::stacks::{MIN_SIZE, Shown};

/// Samples have a thousand sites: printing them often would be load of the test's own making.
const INTERVAL: &str = "1";

/// Stores a second.
const RATE: &str = "20000";

const RESOLVED_MIN: f64 = 0.999;

/// Below this many sites, hardly anything was looked at.
const N_SITES_MIN: usize = 1000;

const FAILURES_SHOWN: usize = 10;

/// What the scenario says when it is ready.
#[derive(Debug, Deserialize)]
struct Ready {
    phases: Vec<String>,
    shape: Shape,
    threads: Vec<ThreadWalks>,
}

/// How the number of a walk says which way it takes.
#[derive(Debug, Deserialize)]
struct Shape {
    n_layers: u32,
    width: u64,
    stride: u64,
}

/// The functions of one thread.
#[derive(Debug, Deserialize)]
struct ThreadWalks {
    script: String,
    /// Of each function, the line that calls each of the next layer, or that allocates.
    lines: BTreeMap<String, Vec<u32>>,
    /// The walks that were taken so far.
    #[serde(default)]
    taken: BTreeSet<u64>,
}

#[derive(Debug, Deserialize)]
struct Progress {
    phase: String,
    parts: Vec<ThreadProgress>,
}

/// Since the start.
#[derive(Debug, Deserialize)]
struct ThreadProgress {
    n_walks: u64,
    n_stores: u64,
}

/// All sites that were seen so far.
#[derive(Debug, Default)]
struct Seen {
    sites: BTreeMap<String, Site>,
}

pub(crate) fn chains_are_real(lab: &Lab) {
    let mut scenario = lab.scenario("stacks/storm.mjs", &[RATE]);
    let mut ready: Ready = serde_json::from_value(scenario.ready().clone()).unwrap();
    let watch = lab.attach_printing(INTERVAL, scenario.pid(), &["--min-size", MIN_SIZE]);
    let mut seen = Seen::default();
    let mut n_created = 0;
    for name in ready.phases.clone() {
        scenario.send("go");
        let progress = seen.collect(&watch, || scenario.has_answered());
        assert!(progress > 0, "no sample during {name}");
        let progress: Progress = serde_json::from_value(scenario.answer()).unwrap();
        assert_eq!(progress.phase, name);
        for (thread, part) in ready.threads.iter_mut().zip(&progress.parts) {
            thread.taken = ready.shape.ways(part.n_walks);
        }
        n_created = progress.parts.iter().map(|part| part.n_stores).sum();
    }
    let last = watch.wait_for_sample("all stores, or their loss", |sample| {
        sample.n_created() + sample.n_lost() >= n_created
    });
    seen.add(&last);
    seen.check(&ready, &last, n_created);
}

impl Shape {
    fn ways(&self, n_walks: u64) -> BTreeSet<u64> {
        let n_chains = self.width.pow(self.n_layers);
        (0..n_walks.min(n_chains)).map(|number| number * self.stride % n_chains).collect()
    }
}

impl Seen {
    /// Takes in the sites of each sample until it is over; returns how many samples there were.
    fn collect(&mut self, watch: &Watch, mut is_over: impl FnMut() -> bool) -> usize {
        let mut n_samples = 0;
        while n_samples == 0 || !is_over() {
            self.add(&watch.next_sample());
            n_samples += 1;
        }
        n_samples
    }

    fn add(&mut self, sample: &Sample) {
        self.sites.extend(sample.sites().into_iter().map(|site| (site.stack.clone(), site)));
    }

    fn check(&self, ready: &Ready, last: &Sample, n_created: u64) {
        let (mut n_walks, mut n_partly, mut n_approximate) = (0, 0, 0);
        let mut failures = Vec::new();
        for site in self.sites.values() {
            n_approximate += site.frames.iter().filter(|frame| frame.is_approximate).count();
            // These count below; which way it was cannot be said.
            if site.frames.iter().any(|frame| frame.kind == "js" && !frame.is_resolved) {
                n_partly += 1;
                continue;
            }
            let mut checks = ready.threads.iter().filter_map(|it| it.check(site, &ready.shape));
            match checks.next() {
                Some(Ok(())) => n_walks += 1,
                Some(Err(what)) => failures.push(format!("{what}:\n{}", Shown(&site.frames))),
                // The two sites that stand for stores without a stack of their own.
                None if site.frames.is_empty() => {}
                None => failures.push(format!("of no thread:\n{}", Shown(&site.frames))),
            }
        }
        // Also of the stacks that are in no printed site. Records may be lost here, and are counted: whether bufwatch keeps up with
        // 20,000 new chains a second while other programs want the processors too is for `cargo xtask bench stacks` to say.
        let (n_frames, n_unresolved) = last.n_js_frames();
        let share = 1.0 - n_unresolved as f64 / n_frames.max(1) as f64;
        println!(
            "{n_walks} walks of {} sites, {n_partly} partly unresolved, {n_approximate} frames \
             approximate; of all {n_frames} frames {n_unresolved} unresolved; {} events lost of \
             {n_created} stores; {} wrong",
            self.sites.len(),
            last.n_lost(),
            failures.len()
        );
        let n_failures = failures.len();
        failures.truncate(FAILURES_SHOWN);
        assert!(failures.is_empty(), "{n_failures} wrong chains:\n{}", failures.join("\n"));
        assert!(n_walks >= N_SITES_MIN, "only {n_walks} sites could be looked at");
        assert!(share >= RESOLVED_MIN, "only {share:.5} of the frames are resolved");
    }
}

impl ThreadWalks {
    /// Whether a site is a chain that was taken; none if it is not of this thread.
    fn check(&self, site: &Site, shape: &Shape) -> Option<Result<(), String>> {
        let is_mine = |frame: &&Frame| frame.script.as_deref() == Some(&self.script);
        let mut frames: Vec<&Frame> = site.frames.iter().filter(is_mine).collect();
        if frames.is_empty() {
            return None;
        }
        frames.reverse();
        Some(self.check_way(&frames, shape))
    }

    /// From the outermost function to the one that allocates.
    fn check_way(&self, frames: &[&Frame], shape: &Shape) -> Result<(), String> {
        if frames.len() != shape.n_layers as usize {
            return Err(format!("{} frames of {}", frames.len(), shape.n_layers));
        }
        let mut digits = Vec::new();
        for (layer, frame) in frames.iter().enumerate() {
            let digit = frame.function.strip_prefix(&format!("w{layer}_"));
            let digit = digit.and_then(|digit| digit.parse::<usize>().ok());
            digits.push(digit.ok_or_else(|| format!("`{}` in layer {layer}", frame.function))?);
        }
        let way = digits.iter().fold(0, |way, digit| way * shape.width + *digit as u64);
        if !self.taken.contains(&way) {
            return Err(format!("the way {way} was never taken"));
        }
        for (layer, frame) in frames.iter().enumerate().filter(|(_, frame)| !frame.is_approximate) {
            let next = digits.get(layer + 1).copied().unwrap_or_default();
            let line = self.lines[&frame.function][next];
            if frame.line != Some(line) {
                return Err(format!("{} is at {line}, not {:?}", frame.function, frame.line));
            }
        }
        Ok(())
    }
}
