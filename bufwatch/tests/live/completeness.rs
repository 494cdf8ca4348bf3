//! Every creation and destruction of a backing store is seen, with its size, and the sum of the live
//! bytes is the program's own.

use serde_json::Value;

use crate::harness::{Lab, Scenario, Watch};
use crate::lifecycle::threads;
use crate::sample::{Sample, Site, number};

/// Above the chunks of streams and sockets and the pool slabs of all versions, and below every store
/// that the scenario makes on purpose.
const EVERY_KIND_MIN_SIZE: &str = "131072";

/// WebAssembly memory that Node 22 has for its HTTP parser, if what a program imports needs it.
const OF_NODE: u64 = 131_072;

/// From Node 26.3 on a pool slab has 65536 bytes, and 64 more the ones that are made first; they are Node's, not the scenario's.
pub(crate) const ABOVE_POOL_SLAB: &str = "65601";

/// One step of the scenario: how many stores of which size it made.
#[derive(Debug)]
struct Step {
    name: String,
    size: u64,
    n_min: u64,
    n_max: u64,
}

/// A scenario, and a bufwatch that watches it.
pub(crate) trait Watched {
    /// Sends a line and returns what the scenario says about it.
    fn tell(&mut self, line: &str) -> Value;
    fn ready(&self) -> &Value;
    fn watch(&self) -> &Watch;
}

/// One that ran before bufwatch did.
pub(crate) struct Attached<'a>(pub(crate) &'a mut Scenario, pub(crate) &'a Watch);

impl Watched for Attached<'_> {
    fn tell(&mut self, line: &str) -> Value {
        self.0.tell(line)
    }

    fn ready(&self) -> &Value {
        self.0.ready()
    }

    fn watch(&self) -> &Watch {
        self.1
    }
}

pub(crate) fn every_kind(lab: &Lab) {
    every_kind_with(lab, |_| Vec::new());
}

/// As on kernels that have no links of processes: the probes hang on the second thread.
pub(crate) fn every_kind_by_perf_events(lab: &Lab) {
    every_kind_with(lab, |pid| {
        let second = threads(pid).into_iter().find(|tid| *tid != pid);
        vec!["--anchor-tid".to_owned(), second.expect("Node has threads").to_string()]
    });
}

fn every_kind_with(lab: &Lab, more: impl Fn(u32) -> Vec<String>) {
    let mut scenario = lab.scenario("every-kind.mjs", &[]);
    let more = more(scenario.pid());
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let watch =
        lab.attach(scenario.pid(), &[&["--min-size", EVERY_KIND_MIN_SIZE], &more[..]].concat());
    let first = watch.next_sample();
    assert_eq!(first.pid(), u64::from(scenario.pid()));
    assert_eq!(first.node_version(), Some(lab.version()));
    check_every_kind(&mut Attached(&mut scenario, &watch), false);
}

/// `is_from_start`: the stores that the scenario makes before its first step were seen, too.
fn check_every_kind(watched: &mut dyn Watched, is_from_start: bool) {
    let mut before = watched.watch().next_sample();
    loop {
        let mut answer = watched.tell("go");
        let Some(step) = Step::parse(&answer) else {
            assert_settled(&answer);
            if is_from_start {
                let made_by =
                    |site: &Site| site.frames.iter().any(|it| it.function == "lazyllhttp");
                let n_of_node = before.sites().iter().filter(|site| made_by(site)).count() as u64;
                let more = [("n_live", "n_before", 1), ("live_bytes", "bytes_before", OF_NODE)];
                for (sum, more, of_node) in more {
                    let more = number(&watched.ready()[more]) + n_of_node * of_node;
                    answer[sum] = (number(&answer[sum]) + more).into();
                }
            }
            assert_live(watched.watch(), &answer);
            break;
        };
        before = if step.name == "small" {
            check_small(&step, &before, watched.watch())
        } else {
            check_step(&step, &before, watched.watch())
        };
    }
    let last = watched.watch().next_sample();
    assert_eq!(last.n_lost(), 0);
    assert_balanced(&last);
    assert_eq!(watched.tell("go")["phase"], "end");
}

/// The same by breakpoints, as an ordinary user.
pub(crate) fn every_kind_by_breakpoints(lab: &Lab) {
    let min_size = ["--min-size", EVERY_KIND_MIN_SIZE];
    let mut launched = lab.launch("every-kind.mjs", &[], &min_size);
    check_every_kind(&mut launched, true);
    assert_eq!(launched.wait_for_exit(), Some(0));
}

impl Step {
    fn parse(answer: &Value) -> Option<Self> {
        Some(Self {
            name: answer["step"].as_str()?.to_owned(),
            size: answer["size"].as_u64()?,
            n_min: answer["n_min"].as_u64()?,
            n_max: answer["n_max"].as_u64()?,
        })
    }
}

/// Waits until at least the stores of the step are there. One too many may come later: then it is seen in the next step, whose
/// stores have another size. Where a step may make more, they are waited for, or they would be taken for the next step's.
fn check_step(step: &Step, before: &Sample, watch: &Watch) -> Sample {
    let mut after = watch.wait_for_sample(&format!("the stores of {step:?}"), |sample| {
        sample.n_created() >= before.n_created() + step.n_min
    });
    if step.n_max > step.n_min {
        after = watch.next_sample();
    }
    let n_created = after.n_created() - before.n_created();
    let created_bytes = after.created_bytes() - before.created_bytes();
    assert!((step.n_min..=step.n_max).contains(&n_created), "{step:?}: {n_created} were seen");
    assert_eq!(created_bytes, n_created * step.size, "{step:?}");
    after
}

/// Node makes small stores of its own as well, so there may be more than the step's.
fn check_small(step: &Step, before: &Sample, watch: &Watch) -> Sample {
    watch.wait_for_sample("the small stores", |sample| {
        sample.n_small_created() >= before.n_small_created() + step.n_min
            && sample.small_created_bytes() >= before.small_created_bytes() + step.n_min * step.size
    })
}

pub(crate) fn random_lifetimes(lab: &Lab) {
    let mut scenario = lab.scenario("random-lifetimes.mjs", &["7", "400"]);
    let watch = lab.attach_recorded("0.1", scenario.pid(), &["--min-size", ABOVE_POOL_SLAB]);
    check_random_lifetimes(&mut Attached(&mut scenario, &watch));
    drop(scenario);
}

/// The same by breakpoints, as an ordinary user.
pub(crate) fn random_lifetimes_by_breakpoints(lab: &Lab) {
    let min_size = ["--min-size", ABOVE_POOL_SLAB];
    let mut launched = lab.launch("random-lifetimes.mjs", &["7", "400"], &min_size);
    check_random_lifetimes(&mut launched);
    launched.send("go");
    assert_eq!(launched.wait_for_exit(), Some(0));
}

fn check_random_lifetimes(watched: &mut dyn Watched) {
    for phase in ["grow", "churn", "drop"] {
        let truth = watched.tell("go");
        assert_eq!(truth["phase"], phase);
        assert_settled(&truth);
        assert_created(watched.watch(), &truth);
        assert_live(watched.watch(), &truth);
    }
    let last = watched.watch().next_sample();
    assert_eq!(last.n_lost(), 0);
    assert_balanced(&last);
    assert_eq!(last.n_destroyed(), last.n_created());
    assert_eq!(last.destroyed_bytes(), last.created_bytes());
}

/// Without this the program's truth is none.
pub(crate) fn assert_settled(truth: &Value) {
    assert_eq!(truth["settled"], true, "the program could not free what it dropped: {truth}");
}

pub(crate) fn assert_created(watch: &Watch, truth: &Value) {
    let sample = watch.wait_for_sample(&format!("all creations of {truth}"), |sample| {
        Some(sample.n_created()) >= truth["n_created"].as_u64()
    });
    assert_eq!(Some(sample.n_created()), truth["n_created"].as_u64());
    assert_eq!(Some(sample.created_bytes()), truth["created_bytes"].as_u64());
}

/// The live stores are exactly the program's, once all destructions have arrived.
pub(crate) fn assert_live(watch: &Watch, truth: &Value) {
    let fits = |sample: &Sample| {
        Some(sample.n_live()) == truth["n_live"].as_u64()
            && Some(sample.live_bytes()) == truth["live_bytes"].as_u64()
    };
    watch.wait_for_sample(&format!("the live stores of {truth}"), fits);
}

/// What was created is live or destroyed.
fn assert_balanced(sample: &Sample) {
    assert_eq!(sample.n_created(), sample.n_live() + sample.n_destroyed(), "{sample:?}");
}
