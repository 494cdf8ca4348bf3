//! What real servers allocate is named: each site with more than one percent of a workload's bytes has a frame of
//! the program, or tells the API of Node that made it. Whether lines are right is not asked here.

use crate::harness::Lab;
use crate::sample::Site;
use crate::stacks::{INTERVAL, Shown, SiteCounts};

/// The share of a workload's bytes from which on a site must have a name.
const SHARE_NAMED: f64 = 0.01;

/// What stands in a label when nothing better is known.
const NO_NAMES: [&str; 7] =
    ["0x", "(no stack)", "(other sites)", "(empty", "unresolved", "[", "js#"];

/// Parts of Node and V8 that allocate for everybody: their names tell nothing.
const INNER_NAMES: [&str; 4] = ["v8::", "uv_", "Builtins_", "std::"];

pub(crate) fn large_sites_are_named(lab: &Lab) {
    let mut scenario = lab.scenario("stacks/workloads.mjs", &[]);
    let steps = scenario.ready()["steps"].as_array().unwrap().clone();
    if !steps.iter().any(|step| step == "express") {
        println!("without express (hint: cargo xtask setup), so there is no HTTP workload");
    }
    let watch = lab.attach_printing(INTERVAL, scenario.pid(), &[]);
    let mut counts = SiteCounts::default();
    let mut failures = Vec::new();
    for step in &steps {
        let answer = scenario.tell("go");
        assert_eq!(&answer["step"], step);
        let grown = counts.new_stores(&watch.next_sample());
        let total: u64 = grown.iter().map(|(_, _, bytes)| bytes).sum();
        // At the least, what the program was given; copies on the way come on top.
        assert!(Some(total) >= answer["bytes"].as_u64(), "{total} bytes of {answer}");
        let large = |bytes: u64| bytes as f64 >= SHARE_NAMED * total as f64;
        for (site, _, bytes) in grown.iter().filter(|(_, _, bytes)| large(*bytes)) {
            let percent = 100.0 * *bytes as f64 / total as f64;
            println!("{step}: {percent:.1} % `{}` via {:?}", site.label, site.via);
            if let Err(what) = check(site) {
                let shown = Shown(&site.frames);
                failures.push(format!(
                    "{step}: {percent:.1} % of the bytes: {what}: `{}` via {:?}\n{shown}",
                    site.label, site.via
                ));
            }
        }
    }
    assert_eq!(watch.next_sample().n_lost(), 0);
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// Either the user frame is one of the program, or label and API say what it is.
fn check(site: &Site) -> Result<(), &'static str> {
    if NO_NAMES.iter().any(|no_name| site.label.starts_with(no_name)) || site.label.contains("0x") {
        return Err("the label names nothing");
    }
    if let Some(index) = site.user_frame {
        let frame = site.frames.get(index).ok_or("there is no such frame")?;
        let is_of_program = frame.kind == "js" && frame.is_resolved && frame.line.is_some();
        return is_of_program.then_some(()).ok_or("the user frame is none");
    }
    if site.frames.iter().any(|frame| frame.kind == "js") {
        return Err("there are frames of the program, and none is the user frame");
    }
    let is_inner = |name: &str| INNER_NAMES.iter().any(|inner| name.starts_with(inner));
    let is_named = !is_inner(&site.label) || site.via.as_deref().is_some_and(|via| !is_inner(via));
    is_named.then_some(()).ok_or("no API is named")
}
