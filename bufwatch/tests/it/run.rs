//! `bufwatch run` of commands that never are Node: they run to their end as without bufwatch, and their code is passed on.

use crate::report::bufwatch;

fn run(command: &[&str]) -> (Option<i32>, String, String) {
    bufwatch(&[&["run", "--headless", "--"], command].concat())
}

#[test]
fn the_code_of_a_command_is_passed_on() {
    let (code, out, err) = run(&["sh", "-c", "echo out; exec sh -c 'echo more; exit 5'"]);
    assert_eq!((code, out.as_str()), (Some(5), "out\nmore\n"));
    assert!(err.contains("never was a Node process") && err.contains("hint: "), "{err}");
    assert_eq!(run(&["sh", "-c", "kill -TERM $$"]).0, Some(143));
    assert_eq!(run(&["sh", "-c", "cat /dev/null | true; (exit 3)"]).0, Some(3));
}

#[test]
fn a_command_that_is_not_there_is_said() {
    let (code, _, err) = run(&["/nowhere/at/all", "x"]);
    assert_eq!(code, Some(127));
    assert!(err.contains("error: `/nowhere/at/all` cannot be started"), "{err}");
    let (code, _, err) = run(&["/dev/null"]);
    assert_eq!(code, Some(126), "{err}");
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
