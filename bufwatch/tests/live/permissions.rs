//! What bufwatch says and still does as root without one capability: what docs/permissions.md says.

use crate::harness::{Lab, Watch};

fn watch(lab: &Lab, missing: &str, pid: &str) -> Watch {
    lab.bufwatch_without(missing, &["--headless", "--json", "--interval", "0.2", "--pid", pid])
}

pub(crate) fn what_each_capability_is_for(lab: &Lab) {
    let mut scenario = lab.scenario_of_nobody("backends.mjs", &[]);
    let truth = scenario.tell("alloc 5 1048576");
    let pid = scenario.pid().to_string();

    // Programs may not be loaded: the better of what is left is taken.
    let less = watch(lab, "sys_admin,-bpf", &pid);
    let n_live = truth["n_live"].as_u64().unwrap();
    let sample = less.wait_for_sample("live stores", |sample| {
        sample.state() == "live" && sample.n_live() >= n_live
    });
    assert_eq!(sample.value()["backend"], "ptrace", "{}", sample.value());
    let said = less.stderr_so_far();
    assert!(said.contains("does not let this user load BPF programs"), "{said}");

    // Links need no larger capability than programs do, and that one includes theirs.
    for missing in ["sys_admin", "bpf", "perfmon"] {
        let all = watch(lab, missing, &pid);
        let sample = all.wait_for_sample("an attached session", |sample| sample.state() == "live");
        assert_eq!(sample.value()["backend"], "ebpf", "without {missing}: {}", sample.value());
        let said = all.stderr_so_far();
        assert!(!said.contains("notice"), "{said}");
        if missing == "sys_admin" {
            scenario.tell("alloc 5 1048576");
            let sample = all.wait_for_sample("new stores", |sample| sample.n_live() >= 5);
            assert_eq!(sample.n_lost(), 0, "{}", sample.value());
        }
    }

    let mut none = watch(lab, "sys_ptrace", &pid);
    assert_eq!(none.wait_for_exit(), Some(2), "{}", none.stderr());
    let said = none.stderr();
    assert!(said.contains("is not permitted") && said.contains("hint: "), "{said}");
    scenario.assert_runs();
}
