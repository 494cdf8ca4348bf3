//! What cannot work: one clear message on stderr, nothing on stdout, the documented exit code, and
//! nothing left behind.

use crate::harness::{Lab, with_any_node};
use crate::sample::Sample;

/// Usage or environment.
const EXIT_USAGE: i32 = 2;

/// The target is gone.
const EXIT_TARGET_LOST: i32 = 3;

/// Runs bufwatch to its end and checks how it refuses.
fn check(lab: &Lab, args: &[&str], exit_codes: &[i32], expect: &[&str]) {
    let mut watch = lab.bufwatch(args);
    let exit_code = watch.wait_for_exit();
    let stderr = watch.stderr();
    assert!(
        exit_code.is_some_and(|code| exit_codes.contains(&code)),
        "{args:?} ended with {exit_code:?}: {stderr}"
    );
    assert_eq!(watch.stdout(), "", "{args:?} printed data");
    for part in expect {
        assert!(stderr.contains(part), "{args:?} does not say `{part}`: {stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn usage_errors_name_what_is_wrong() {
    with_any_node(|lab| {
        let scenario = lab.scenario("idle.mjs", &[]);
        let pid = scenario.pid().to_string();
        let table: &[(&[&str], &[&str])] = &[
            (&["--pid", &pid, "--headless", "--min-size", "0"], &["--min-size"]),
            (&["--pid", &pid, "--headless", "--min-size", "many"], &["--min-size"]),
            (&["--pid", &pid, "--headless", "--ring-size", "100"], &["--ring-size"]),
            (&["--pid", &pid, "--headless", "--ring-size", "0"], &["--ring-size"]),
            (&["--pid", &pid, "--headless", "--interval", "0"], &["--interval"]),
            (&["--pid", &pid, "--headless", "--interval=-1"], &["--interval"]),
            (&["--pid", &pid, "--headless", "--interval", "NaN"], &["--interval"]),
            (&["--pid", &pid, "--headless", "--duration", "0"], &["--duration"]),
            (&["--pid", &pid, "--nonsense"], &["--nonsense"]),
            (&["--pid", "12x"], &["--pid"]),
            (&["--pid", "0", "--headless"], &["--pid"]),
            (&["--pid=-1", "--headless"], &["--pid"]),
            (&["--pid", "99999999999", "--headless"], &["--pid"]),
            (&["nonsense"], &["nonsense"]),
        ];
        for (args, expect) in table {
            check(lab, args, &[EXIT_USAGE], expect);
        }
    });
}

#[test]
fn process_that_is_not_there_is_said_to_be_so() {
    with_any_node(|lab| {
        // The largest pid that Linux can give is one less.
        let pid = (4 * 1024 * 1024).to_string();
        check(lab, &["--pid", &pid, "--headless"], &[EXIT_TARGET_LOST], &[&pid]);
    });
}

#[test]
fn other_program_is_refused_by_name() {
    with_any_node(|lab| {
        let pid = std::process::id().to_string();
        check(lab, &["--pid", &pid, "--headless"], &[EXIT_USAGE], &[&pid, "not Node"]);
    });
}

#[test]
fn kernel_thread_is_refused() {
    with_any_node(|lab| {
        check(lab, &["--pid", "2", "--headless"], &[EXIT_USAGE], &["`2`", "not Node"]);
    });
}

/// The target ends at different moments of the attach: each is an end of bufwatch without a panic.
#[test]
fn target_may_end_during_the_attach() {
    with_any_node(|lab| {
        for n_lines in [0, 0, 1, 1] {
            end_during_attach(lab, n_lines);
        }
    });
}

/// `n_lines`: how many samples to see before the target is killed; with none it races the attach.
fn end_during_attach(lab: &Lab, n_lines: usize) {
    let mut scenario = lab.scenario("idle.mjs", &[]);
    let pid = scenario.pid().to_string();
    let mut watch = lab.bufwatch(&["--pid", &pid, "--headless", "--json", "--interval", "0.1"]);
    if n_lines > 0 {
        watch.wait_for_sample("the probes in place", Sample::is_counting);
    }
    scenario.kill();
    let exit_code = watch.wait_for_exit();
    let allowed: &[i32] = if n_lines > 0 { &[0] } else { &[0, EXIT_USAGE, EXIT_TARGET_LOST] };
    let stderr = watch.stderr();
    assert!(exit_code.is_some_and(|code| allowed.contains(&code)), "{exit_code:?}: {stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    let says_so = !stderr.is_empty() || watch.last_sample().state() == "exited";
    assert!(says_so, "neither a message nor the last sample says that the target ended");
}
