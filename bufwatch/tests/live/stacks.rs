//! The frames of a site are the program's own call chain: functions, files and lines as V8 tells them for the
//! same call, in every tier, on the main thread and in a worker. How many are resolved under load is not asked here.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::Deserialize;

use crate::completeness::{ABOVE_POOL_SLAB, Attached, Watched};
use crate::harness::{Lab, Watch, with_node};
use crate::launched::open_to_all;
use crate::sample::{Frame, Place, Sample, Site};

/// The scenario's stores are larger, and Node's own slabs and chunks are not.
pub(crate) const MIN_SIZE: &str = "65537";

/// Samples have some hundred sites, each with its frames.
pub(crate) const INTERVAL: &str = "0.5";

/// The share of frames that have to be exact where Maglev made the code.
const EXACT_WITH_MAGLEV: f64 = 0.99;

/// The same on Node 18, whose V8 forgets what it inlined into code that it has given up. One loop of 26 stores that leaves its code right
/// after the first of them is 0.033 of a phase, and on a busy machine it is seen too late: marked `~`, not wrong.
const EXACT_ON_NODE_18: f64 = 0.95;

/// The share of cells that have to be seen in the tier that a phase is for, or the phase shows nothing.
const IN_TIER_MIN: f64 = 0.5;

/// A chain that is longer may be cut.
const LONG_CHAIN: usize = 40;

/// A chain that is longer must be cut, and say so.
const FRAMES_MAX: usize = 48;

/// A failure of all cells would print more than one reads.
const CHAINS_SHOWN: usize = 25;

/// What the scenario says about one phase.
#[derive(Debug, Deserialize)]
struct Phase {
    phase: String,
    cells: Vec<Cell>,
}

/// One way to allocate, on one thread in one phase.
#[derive(Debug, Deserialize)]
struct Cell {
    name: String,
    /// Of no other cell, thread or phase.
    size: u64,
    n: u64,
    /// In which the outermost function of the cell is; none if V8 was not to be asked.
    tier: Option<String>,
    chain: Vec<TrueFrame>,
}

/// A frame as V8 tells it.
#[derive(Debug, Deserialize)]
struct TrueFrame {
    function: Option<String>,
    script: Option<String>,
    line: u32,
    column: u32,
    /// The index of a WebAssembly function.
    wasm: Option<u32>,
    original: Option<Place>,
    #[serde(default)]
    is_name_computed: bool,
}

/// What may be asked of the code of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Precision {
    /// Interpreted or baseline code: everything, to the column.
    Column,
    /// `TurboFan`: each line.
    Line,
    /// Maglev: most lines, and the others are marked.
    MostLines,
    /// Optimised code of Node 18: each line, but of some inlined functions nothing is left.
    LinesThatAreLeft,
}

/// The frames of a phase, and what is wrong with them.
#[derive(Debug, Default)]
struct Findings {
    n_exact: u64,
    n_approximate: u64,
    failures: Vec<Failure>,
}

#[derive(Debug)]
struct Failure {
    what: String,
    /// What was expected and what was seen.
    chains: String,
}

pub(crate) fn of_each_tier(lab: &Lab) {
    check_mode(lab, "tiers");
}

#[test]
fn maglev_24() {
    with_node("24", |lab| check_mode(lab, "maglev"));
}

#[test]
fn maglev_26() {
    with_node("26", |lab| check_mode(lab, "maglev"));
}

pub(crate) fn without_flags(lab: &Lab) {
    check_mode(lab, "plain");
}

fn check_mode(lab: &Lab, mode: &str) {
    at_most_once(|| missed_in_mode(lab, mode));
}

/// V8 may free optimised code before it is read, of about one process in a hundred: its frames are marked then, which is right, but a
/// phase may have too few others. Of two processes in a row it would be a defect.
fn at_most_once(missed: impl Fn() -> Vec<String>) {
    let first = missed();
    if first.is_empty() {
        return;
    }
    println!("once more, since:\n{}", first.join("\n"));
    let second = missed();
    assert!(second.is_empty(), "twice:\n{}\n{}", first.join("\n"), second.join("\n"));
}

fn missed_in_mode(lab: &Lab, mode: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    lab.write_files("stacks/fixtures.mjs", folder.path());
    let mut scenario = lab.scenario("stacks/truth.mjs", &[mode, folder.path().to_str().unwrap()]);
    let watch = lab.attach_printing(INTERVAL, scenario.pid(), &["--min-size", MIN_SIZE]);
    check_phases(lab, mode, &mut Attached(&mut scenario, &watch))
}

/// Of each kind of source and way of being called one. All cells warm up with a million small stores, each of which is two stops.
const CELLS_BY_BREAKPOINTS: [&str; 10] = [
    "language.mjs: sync nested",
    "language.mjs: async in async",
    "language.mjs: event emitter",
    "language.mjs: field initialiser",
    "hot.mjs: inlined in a loop",
    "two-byte.cjs: non-ASCII names",
    "made-code.cjs: direct eval",
    "made-code.cjs: vm with offsets",
    "made-code.cjs: WebAssembly",
    "typed-inline.cjs: class",
];

/// By breakpoints, as an ordinary user.
pub(crate) fn of_each_tier_by_breakpoints(lab: &Lab) {
    at_most_once(|| missed_by_breakpoints(lab));
}

fn missed_by_breakpoints(lab: &Lab) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    lab.write_files("stacks/fixtures.mjs", folder.path());
    open_to_all(folder.path());
    let args = [&["tiers", folder.path().to_str().unwrap()], &CELLS_BY_BREAKPOINTS[..]].concat();
    let mut launched = lab.launch("stacks/truth.mjs", &args, &["--min-size", ABOVE_POOL_SLAB]);
    check_phases(lab, "tiers", &mut launched)
}

/// No frame may be wrong; the phases of which too few frames are exact.
pub(crate) fn check_phases(lab: &Lab, mode: &str, watched: &mut dyn Watched) -> Vec<String> {
    let mut counts = SiteCounts::default();
    // Of a program that is watched from its start.
    let before = watched.watch().next_sample();
    counts.n_created = before.n_created();
    counts.new_stores(&before);
    let mut failures = Vec::new();
    let mut missed = Vec::new();
    for _ in watched.ready()["phases"].as_array().unwrap().clone() {
        let phase: Phase = serde_json::from_value(watched.tell("go")).unwrap();
        let watch = watched.watch();
        let sample = counts.sample_with(watch, phase.cells.iter().map(|cell| cell.n).sum());
        let precision = phase.precision(lab, mode);
        let found = phase.compare(&counts.new_stores(&sample), precision);
        println!("{}: {found}", phase.phase);
        phase.assert_in_tier();
        let share = found.exact_share();
        let share_min = match precision {
            Precision::MostLines => EXACT_WITH_MAGLEV,
            Precision::LinesThatAreLeft => EXACT_ON_NODE_18,
            Precision::Column | Precision::Line => 1.0,
        };
        failures.extend(found.failures);
        if share < share_min {
            missed.push(format!("{}: only {share:.4} of the frames are exact", phase.phase));
        }
    }
    assert_eq!(watched.watch().next_sample().n_lost(), 0);
    for (index, Failure { what, chains }) in failures.iter().enumerate() {
        println!("{what}\n{}", if index < CHAINS_SHOWN { chains } else { "" });
    }
    assert!(failures.is_empty(), "{} failures, printed above", failures.len());
    missed
}

/// Sites grow for as long as bufwatch runs; what a phase added is the difference.
#[derive(Debug, Default)]
pub(crate) struct SiteCounts {
    n_created: u64,
    by_stack: BTreeMap<String, (u64, u64)>,
}

impl SiteCounts {
    fn sample_with(&mut self, watch: &Watch, n_more: u64) -> Sample {
        self.n_created += n_more;
        watch.wait_for_sample(&format!("{} stores", self.n_created), |sample| {
            sample.n_created() >= self.n_created
        })
    }

    /// The sites that have new stores, with their number and bytes.
    pub(crate) fn new_stores(&mut self, sample: &Sample) -> Vec<(Site, u64, u64)> {
        let mut grown = Vec::new();
        for site in sample.sites() {
            let now = (site.n_created, site.created_bytes);
            let before = self.by_stack.insert(site.stack.clone(), now).unwrap_or_default();
            if now.0 > before.0 {
                grown.push((site, now.0 - before.0, now.1 - before.1));
            }
        }
        grown
    }
}

impl Phase {
    fn precision(&self, lab: &Lab, mode: &str) -> Precision {
        let has_maglev = !["18.", "20.", "22."].iter().any(|old| lab.version().starts_with(old));
        match self.phase.as_str() {
            "cold" | "turbofan" | "hot" if lab.version().starts_with("18.") => {
                Precision::LinesThatAreLeft
            }
            "ignition" | "cold" | "sparkplug" => Precision::Column,
            "maglev" => Precision::MostLines,
            "hot" if has_maglev => Precision::MostLines,
            // What is not inlined stays in the code of the phase before.
            "turbofan" if has_maglev && mode == "cassette" => Precision::MostLines,
            _ => Precision::Line,
        }
    }

    fn assert_in_tier(&self) {
        let tiers = || self.cells.iter().filter_map(|cell| cell.tier.as_deref());
        let n_in_tier = tiers().filter(|tier| *tier == self.phase).count();
        let n_known = tiers().count();
        assert!(
            n_in_tier as f64 >= IN_TIER_MIN * n_known as f64,
            "only {n_in_tier} of {n_known} cells are in {}",
            self.phase
        );
    }

    fn compare(&self, grown: &[(Site, u64, u64)], precision: Precision) -> Findings {
        let mut findings = Findings::default();
        let mut n_seen: BTreeMap<u64, u64> = BTreeMap::new();
        for (site, n_new, new_bytes) in grown {
            // A site of two cells has no size of a cell.
            let size = new_bytes / n_new;
            let cell =
                self.cells.iter().find(|cell| cell.size == size && size * n_new == *new_bytes);
            let Some(cell) = cell else {
                let (phase, what) = (&self.phase, "are of no cell, or of several");
                findings.failures.push(Failure {
                    what: format!("{phase}: {n_new} stores of {new_bytes} bytes {what}"),
                    chains: Shown(&site.frames).to_string(),
                });
                continue;
            };
            *n_seen.entry(size).or_default() += n_new;
            findings.compare(cell, site, precision);
        }
        for cell in &self.cells {
            let n = n_seen.get(&cell.size).copied().unwrap_or_default();
            if n != cell.n {
                let what = format!("{}: {n} stores seen of {}", cell.name, cell.n);
                findings.failures.push(Failure { what, chains: String::new() });
            }
        }
        findings
    }
}

impl Findings {
    fn exact_share(&self) -> f64 {
        self.n_exact as f64 / (self.n_exact + self.n_approximate).max(1) as f64
    }

    fn compare(&mut self, cell: &Cell, site: &Site, precision: Precision) {
        let got: Vec<&Frame> = site.frames.iter().filter(|frame| is_of_program(frame)).collect();
        let may_be_short = site.is_cut && cell.chain.len() > LONG_CHAIN;
        let expected = if precision == Precision::LinesThatAreLeft {
            self.without_forgotten(&cell.chain, &got)
        } else {
            cell.chain.iter().collect()
        };
        let mut wrong = None;
        if got.len() < expected.len() && !may_be_short {
            wrong = Some(format!("{} frames of {}", got.len(), expected.len()));
        }
        if cell.chain.len() > FRAMES_MAX && !site.is_cut {
            wrong = Some("not marked as cut".to_owned());
        }
        for (index, (got, expected)) in got.iter().zip(expected).enumerate() {
            if let Some(what) = expected.difference(got, precision) {
                wrong.get_or_insert_with(|| format!("frame {index}: {what}"));
            } else if got.is_approximate {
                self.n_approximate += 1;
            } else {
                self.n_exact += 1;
            }
        }
        if let Some(what) = wrong {
            let mut chains = String::from("  expected\n");
            for frame in &cell.chain {
                writeln!(chains, "    {frame}").unwrap();
            }
            write!(chains, "  got\n{}", Shown(&site.frames)).unwrap();
            self.failures.push(Failure {
                what: format!("{}, now in {:?}, cut {}: {what}", cell.name, cell.tier, site.is_cut),
                chains,
            });
        }
    }
}

impl Findings {
    /// The chain less the functions in front of an approximate frame that are not reported: V8 10 drops the deoptimisation data of code at
    /// the moment it gives it up, and with it what was inlined there. They count as approximate.
    fn without_forgotten<'a>(
        &mut self,
        chain: &'a [TrueFrame],
        got: &[&Frame],
    ) -> Vec<&'a TrueFrame> {
        let mut left = Vec::new();
        let mut got = got.iter().peekable();
        for (index, expected) in chain.iter().enumerate() {
            let is_forgotten = got.peek().is_some_and(|frame| {
                frame.is_approximate
                    && !expected.is_named(&frame.function)
                    // Or not at all: the caller of the cell, into which it was inlined.
                    && (chain[index..].iter().any(|outer| outer.is_named(&frame.function))
                        || !chain.iter().any(|inner| inner.is_named(&frame.function)))
            });
            if is_forgotten {
                self.n_approximate += 1;
            } else {
                got.next();
                left.push(expected);
            }
        }
        left
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} frames exact, {} approximate, {} failures",
            self.n_exact,
            self.n_approximate,
            self.failures.len()
        )
    }
}

/// WebAssembly counts as the program's, whatever bufwatch says that it is.
fn is_of_program(frame: &Frame) -> bool {
    frame.kind == "js" || frame.function.contains("wasm")
}

impl TrueFrame {
    /// What is wrong with a reported frame, if anything is.
    fn difference(&self, got: &Frame, precision: Precision) -> Option<String> {
        if !got.is_resolved {
            return Some("unresolved".to_owned());
        }
        if let Some(index) = self.wasm {
            let has_index = got.function.contains(&index.to_string());
            let is_right = got.function.contains("wasm") && has_index;
            return (!is_right).then(|| format!("`{}` is not wasm {index}", got.function));
        }
        if !self.is_named(&got.function) {
            return Some(format!("`{}` is not {:?}", got.function, self.function));
        }
        if self.script.is_some() && !self.is_made_up() && got.script != self.script {
            return Some(format!("the script {:?}", got.script));
        }
        if got.is_approximate {
            return None;
        }
        if got.line != Some(self.line) {
            return Some(format!("the line {:?} is not {}", got.line, self.line));
        }
        if precision == Precision::Column && got.column != Some(self.column) {
            return Some(format!("the column {:?} is not {}", got.column, self.column));
        }
        match (&self.original, &got.original) {
            (None, None) => None,
            (Some(expected), Some(place)) if is_same_place(expected, place, precision) => None,
            (expected, place) => Some(format!("the original {place:?} is not {expected:?}")),
        }
    }

    /// V8 calls a function of evaluated code that has no name `eval`.
    fn is_named(&self, got: &str) -> bool {
        let is_anonymous = ["", "anonymous", "(anonymous)"].contains(&got);
        match self.function.as_deref() {
            _ if self.is_name_computed => true,
            None => is_anonymous,
            Some("eval") => is_anonymous || got == "eval",
            Some(name) => got == name,
        }
    }

    /// The name from a `sourceURL` comment is not the script's own.
    fn is_made_up(&self) -> bool {
        self.script.as_deref() == Some("made-up.js")
    }
}

/// A source map names files relative to itself.
fn is_same_place(expected: &Place, got: &Place, precision: Precision) -> bool {
    let name = |script: &str| script.rsplit('/').next().unwrap_or_default().to_owned();
    name(&expected.script) == name(&got.script)
        && expected.line == got.line
        && (precision != Precision::Column || expected.column == got.column)
}

impl fmt::Display for TrueFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.function.as_deref().unwrap_or("(anonymous)");
        let script = self.script.as_deref().unwrap_or("(no file)");
        write!(f, "{name} {script}:{}:{}", self.line, self.column)?;
        if let Some(place) = &self.original {
            write!(f, " from {}:{}:{}", place.script, place.line, place.column)?;
        }
        Ok(())
    }
}

/// All frames of a site, one a line, as a failure shows them.
pub(crate) struct Shown<'a>(pub(crate) &'a [Frame]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for frame in self.0 {
            let mark = if frame.is_approximate { "~" } else { "" };
            let unresolved = if frame.is_resolved { "" } else { " (unresolved)" };
            let number = |n: Option<u32>| n.map_or("–".to_owned(), |n| n.to_string());
            write!(f, "    [{}] {}{unresolved}", frame.kind, frame.function)?;
            if let Some(script) = &frame.script {
                write!(f, " {script}:{mark}{}:{}", number(frame.line), number(frame.column))?;
            }
            if let Some(place) = &frame.original {
                write!(f, " from {}:{}:{}", place.script, place.line, place.column)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
