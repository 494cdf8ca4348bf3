//! What bufwatch says and still does as root without one capability: what docs/permissions.md says.

use crate::harness::{Lab, Watch};

fn watch(lab: &Lab, missing: &str, pid: &str) -> Watch {
    lab.bufwatch_without(missing, &["--headless", "--json", "--interval", "0.2", "--pid", pid])
}

pub(crate) fn what_each_capability_is_for(lab: &Lab) {
    let mut scenario = lab.scenario_of_nobody("backends.mjs", &[]);
    let truth = scenario.tell("alloc 5 1048576");
    let pid = scenario.pid().to_string();

    // Programs may be loaded, and probes not be attached: the better of what is left is taken.
    let less = watch(lab, "sys_admin", &pid);
    let n_live = truth["n_live"].as_u64().unwrap();
    let sample = less.wait_for_sample("live stores", |sample| {
        sample.state() == "live" && sample.n_live() >= n_live
    });
    assert_eq!(sample.value()["backend"], "ptrace", "{}", sample.value());
    let said = less.stderr();
    assert!(said.contains("does not let this user attach probes"), "{said}");

    // The larger capability includes these.
    for included in ["bpf", "perfmon"] {
        let all = watch(lab, included, &pid);
        let sample = all.wait_for_sample("an attached session", |sample| sample.state() == "live");
        assert_eq!(sample.value()["backend"], "ebpf", "without {included}: {}", sample.value());
        assert!(!all.stderr().contains("notice"), "{}", all.stderr());
    }

    let mut none = watch(lab, "sys_ptrace", &pid);
    assert_eq!(none.wait_for_exit(), Some(2), "{}", none.stderr());
    let said = none.stderr();
    assert!(said.contains("is not permitted") && said.contains("hint: "), "{said}");
    scenario.assert_runs();
}
