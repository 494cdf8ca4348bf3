//! `bufwatch run` of commands that never are Node: they run to their end as without bufwatch, and their code is passed on.

use crate::report::bufwatch;

/// The second one holds what it traces with breakpoints to its end.
const BACKENDS: [&str; 2] = ["ebpf", "ptrace"];

fn run(backend: &str, command: &[&str]) -> (Option<i32>, String, String) {
    bufwatch(&[&["run", "--backend", backend, "--headless", "--"], command].concat())
}

#[test]
fn the_code_of_a_command_is_passed_on() {
    for backend in BACKENDS {
        let run = |command: &str| run(backend, &["sh", "-c", command]);
        let (code, out, err) = run("echo out; exec sh -c 'echo more; exit 5'");
        assert_eq!((code, out.as_str()), (Some(5), "out\nmore\n"));
        assert!(err.contains("never was a Node process") && err.contains("hint: "), "{err}");
        assert_eq!(run("kill -TERM $$").0, Some(143));
        assert_eq!(run("cat /dev/null | true; (exit 3)").0, Some(3));
    }
}

/// What was forked outlives what forked it, however early that ends.
#[test]
fn what_a_command_forks_runs_on() {
    for backend in BACKENDS {
        for _ in 0..20 {
            let (code, out, _) = run(backend, &["sh", "-c", "(sleep 0.01; echo late) & exit 7"]);
            assert_eq!((code, out.as_str()), (Some(7), "late\n"), "{backend}");
        }
    }
}

#[test]
fn a_command_that_is_not_there_is_said() {
    for backend in BACKENDS {
        let (code, _, err) = run(backend, &["/nowhere/at/all", "x"]);
        assert_eq!(code, Some(127));
        assert!(err.contains("error: `/nowhere/at/all` cannot be started"), "{err}");
        let (code, _, err) = run(backend, &["/dev/null"]);
        assert_eq!(code, Some(126), "{err}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let (code, _, err) = bufwatch(&["run", "--pid", "1", "--", "true"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("it takes no --pid"), "{err}");
    let (code, _, err) = bufwatch(&["run", "--", "true"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("hint: --headless prints lines"), "{err}");
    let (code, _, err) = bufwatch(&["check", "--max-rss", "1GB", "--", "true"]);
    assert_eq!(code, Some(2), "a check of nothing does not pass: {err}");
}
