//! Two bufwatch on one target, and one after the other.

use nix::sys::signal::Signal;

use crate::completeness::assert_live;
use crate::harness::with_any_node;

#[test]
fn two_see_the_same_and_do_not_disturb_each_other() {
    with_any_node(|lab| {
        let mut scenario = lab.scenario("idle.mjs", &[]);
        let mut first = lab.attach(scenario.pid(), &[]);
        let second = lab.attach(scenario.pid(), &[]);
        let truth = scenario.tell("alloc 5 1048576");
        assert_live(&first, &truth);
        assert_live(&second, &truth);

        first.signal(Signal::SIGKILL);
        first.wait_for_exit();
        let truth = scenario.tell("alloc 4 1048576");
        assert_live(&second, &truth);
        assert_eq!(second.next_sample().n_lost(), 0);
    });
}

#[test]
fn later_one_knows_only_what_came_after_it() {
    with_any_node(|lab| {
        let mut scenario = lab.scenario("idle.mjs", &[]);
        let mut first = lab.attach(scenario.pid(), &[]);
        let truth = scenario.tell("alloc 5 1048576");
        assert_live(&first, &truth);
        first.signal(Signal::SIGINT);
        assert_eq!(first.wait_for_exit(), Some(130));

        let second = lab.attach(scenario.pid(), &[]);
        assert_eq!(second.next_sample().n_created(), 0);
        scenario.tell("alloc 1 1048576");
        second.wait_for_sample("the one new store", |sample| sample.n_created() == 1);
    });
}
