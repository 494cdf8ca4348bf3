//! What bufwatch leaves in its target: nothing, however it ends. A uprobe is a breakpoint in the
//! target's copy of the code, so the code is compared with the file it came from.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::harness::{EXIT_LIMIT, Lab, holds_within, now, with_any_node};
use crate::sample::Sample;

const PAGE: usize = 4096;

/// Of ten kills while it detached one left all probes behind, before their descriptors were closed by processes of their own.
const N_KILLED_DETACHING: u32 = 30;

/// In which most of the detaching happens.
const DETACHING: Duration = Duration::from_millis(60);

/// A part of a file that is mapped as code.
#[derive(Debug)]
struct Code {
    start: u64,
    end: u64,
    offset: u64,
    path: String,
}

/// How many bytes of the target's code differ from its files.
pub(crate) fn n_changed_bytes(pid: u32) -> usize {
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    maps.lines().filter_map(Code::parse).map(|code| code.n_changed(&memory)).sum()
}

impl Code {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let is_code = fields.next()?.starts_with("r-x");
        let offset = fields.next()?;
        let path = fields.nth(2)?;
        let hex = |text| u64::from_str_radix(text, 16).ok();
        let code = Self {
            start: hex(start)?,
            end: hex(end)?,
            offset: hex(offset)?,
            path: path.to_owned(),
        };
        (is_code && code.path.starts_with('/')).then_some(code)
    }

    fn n_changed(&self, memory: &File) -> usize {
        let file = File::open(&self.path).unwrap();
        let (mut mapped, mut stored) = ([0; PAGE], [0; PAGE]);
        let mut n_changed = 0;
        for at in (0..self.end - self.start).step_by(PAGE) {
            memory.read_exact_at(&mut mapped, self.start + at).unwrap();
            let n_stored = read_up_to(&file, &mut stored, self.offset + at).unwrap();
            // Most are equal, which is told much sooner of all at once.
            let (mapped, stored) = (&mapped[..n_stored], &stored[..n_stored]);
            if mapped != stored {
                n_changed += mapped.iter().zip(stored).filter(|(one, other)| one != other).count();
            }
        }
        n_changed
    }
}

/// The last page of a mapping may reach beyond the end of its file.
fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut n_read = 0;
    while n_read < buffer.len() {
        let n = file.read_at(&mut buffer[n_read..], offset + n_read as u64)?;
        if n == 0 {
            break;
        }
        n_read += n;
    }
    Ok(n_read)
}

/// Ends bufwatch by a signal and checks that the target is as it was.
fn check_end(lab: &Lab, signal: Signal, exit_code: Option<i32>) {
    let mut scenario = lab.scenario("idle.mjs", &[]);
    assert_eq!(n_changed_bytes(scenario.pid()), 0, "before anything was attached");
    let mut watch = lab.attach(scenario.pid(), &[]);
    assert!(n_changed_bytes(scenario.pid()) > 0, "attached probes must be seen by this check");
    watch.signal(signal);
    assert_eq!(watch.wait_for_exit(), exit_code);
    // The kernel takes the probes of a killed process away when it cleans up after it.
    let is_clean = || n_changed_bytes(scenario.pid()) == 0;
    assert!(holds_within(EXIT_LIMIT, is_clean), "probes are left behind");
    scenario.assert_runs();
}

#[test]
fn sigkill_leaves_nothing_behind() {
    with_any_node(|lab| check_end(lab, Signal::SIGKILL, None));
}

#[test]
fn interrupt_leaves_nothing_behind() {
    with_any_node(|lab| check_end(lab, Signal::SIGINT, Some(130)));
}

#[test]
fn sigterm_leaves_nothing_behind() {
    with_any_node(|lab| check_end(lab, Signal::SIGTERM, Some(130)));
}

/// The moment of the kill moves from before the first probe to after the first sample.
#[test]
fn sigkill_while_attaching_leaves_nothing_behind() {
    with_any_node(|lab| {
        let mut scenario = lab.scenario("idle.mjs", &[]);
        let pid = scenario.pid();
        let mut n_attached = 0;
        for n_polls in [0, 1, 2, 4, 8, 16, 32] {
            let args = ["--pid", &pid.to_string(), "--headless", "--json"];
            let mut watch = lab.bufwatch(&args);
            let mut n_left = n_polls;
            holds_within(EXIT_LIMIT, || {
                n_left -= 1;
                n_left < 0 || n_changed_bytes(pid) > 0
            });
            n_attached += usize::from(n_changed_bytes(pid) > 0);
            watch.signal(Signal::SIGKILL);
            assert_eq!(watch.wait_for_exit(), None);
            let is_clean = || n_changed_bytes(pid) == 0;
            assert!(holds_within(EXIT_LIMIT, is_clean), "probes are left behind");
            scenario.assert_runs();
        }
        assert!(n_attached > 0, "no kill came after the first probe");
    });
}

/// The kernel breaks off removing a probe when who closes it is killed just then; and leaves it in the code.
#[test]
fn sigkill_while_detaching_leaves_nothing_behind() {
    with_any_node(|lab| {
        let mut scenario = lab.scenario("idle.mjs", &[]);
        let pid = scenario.pid();
        let mut n_too_late = 0;
        for round in 0..N_KILLED_DETACHING {
            let mut watch = lab.attach(pid, &[]);
            // What the start has to do is done.
            watch.next_sample();
            let moment = DETACHING * round / N_KILLED_DETACHING;
            let asked = now();
            watch.signal(Signal::SIGINT);
            holds_within(EXIT_LIMIT, || asked.elapsed() > moment || watch.has_ended());
            if watch.has_ended() {
                n_too_late += 1;
            } else {
                watch.signal(Signal::SIGKILL);
            }
            watch.wait_for_exit();
            let is_clean = || n_changed_bytes(pid) == 0;
            assert!(
                holds_within(EXIT_LIMIT, is_clean),
                "probes are left behind by a kill {moment:?} after the end began"
            );
        }
        assert!(n_too_late < N_KILLED_DETACHING / 2, "it had ended {n_too_late} times");
        scenario.assert_runs();
    });
}

/// A worker that was there before bufwatch takes its stores with it, of which no birth was seen.
#[test]
fn programs_say_on_what_they_gave_up_if_that_is_asked() {
    with_any_node(|lab| {
        for (filter, is_said) in [("bufwatch=debug", true), ("bufwatch=info", false)] {
            let mut scenario = lab.scenario("idle.mjs", &[]);
            scenario.tell("worker");
            let pid = scenario.pid().to_string();
            let args = ["--pid", &pid, "--headless", "--json", "--interval", "0.1"];
            let mut watch = lab.bufwatch_logging(filter, &args);
            watch.wait_for_sample("the probes in place", Sample::is_counting);
            scenario.tell("end");
            watch.wait_for_sample("deaths of unknown stores", |sample| {
                sample.n_given_up("destroyed-unknown") > 0
            });
            watch.next_sample();
            watch.signal(Signal::SIGINT);
            watch.wait_for_exit();
            let said = watch.stderr();
            assert_eq!(said.contains("gave up: destroyed-unknown at 0x"), is_said, "{said}");
        }
    });
}
