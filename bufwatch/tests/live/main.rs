//! Tests that trace real Node processes: bufwatch is started as a user would start it, and what it
//! prints is compared with what the Node program says about itself. They need root, a kernel with BPF
//! and the Node versions that `cargo xtask setup` fetches; without them they say so and pass.

#![cfg(test)]

mod allocator;
mod async_origin;
mod backends;
mod bad_input;
mod breakpoints;
mod census;
mod census_diff;
mod census_kinds;
mod census_paths;
mod census_payload;
mod census_recording;
mod census_robust;
mod census_truth;
mod check;
mod churn;
mod completeness;
mod daemon;
mod daemon_host;
mod findings;
mod findings_in_ram;
mod first_touch;
mod harness;
mod heap_snapshot;
mod launched;
mod lifecycle;
mod max_overhead;
mod namespaces;
mod packages;
mod parts_of_rss;
mod permissions;
mod probes;
mod program;
#[path = "../it/daemon/receiver.rs"]
mod receiver;
mod recording;
mod recordings;
mod residency;
mod residency_steps;
mod retained;
mod sample;
mod scenario;
mod several;
mod stack_moving;
mod stack_storm;
mod stack_workloads;
mod stacks;
mod systemd;
mod together;
mod watch;

/// One test for each Node version, so that a failure names it and the runner's limits are per version.
macro_rules! on_every_node {
    ($name:ident, $check:path) => {
        mod $name {
            #[test]
            fn node_18() {
                super::harness::with_node("18", $check);
            }

            #[test]
            fn node_20() {
                super::harness::with_node("20", $check);
            }

            #[test]
            fn node_22() {
                super::harness::with_node("22", $check);
            }

            #[test]
            fn node_24() {
                super::harness::with_node("24", $check);
            }

            #[test]
            fn node_26() {
                super::harness::with_node("26", $check);
            }
        }
    };
}

/// The same where one or two versions tell nearly as much as five, and a run takes long.
macro_rules! on_nodes {
    ($name:ident, $check:path, $($test:ident $major:literal),*) => {
        mod $name {
            $(
                #[test]
                fn $test() {
                    super::harness::with_node($major, $check);
                }
            )*
        }
    };
}

on_nodes!(allocator_busy, super::allocator::busy, node_18 "18", node_26 "26");
on_every_node!(async_origins, super::async_origin::lines_that_began_it);
on_nodes!(async_origins_off, super::async_origin::nothing_without_the_flag, node_18 "18", node_26 "26");
on_nodes!(backends_agree, super::backends::the_same_findings, node_18 "18", node_26 "26");
on_nodes!(ptrace_stores, super::backends::stores_by_ptrace, node_18 "18", node_26 "26");
on_nodes!(less_rights, super::permissions::what_each_capability_is_for, node_22 "22");
on_nodes!(ptrace_killed, super::backends::killed_sessions_leave_the_target_running, node_26 "26");
on_every_node!(breakpoint_check, super::check::of_an_ordinary_user);
on_nodes!(every_kind_by_perf_events, super::completeness::every_kind_by_perf_events, node_18 "18", node_26 "26");
on_every_node!(breakpoint_kinds, super::completeness::every_kind_by_breakpoints);
on_every_node!(breakpoint_lifetimes, super::completeness::random_lifetimes_by_breakpoints);
on_every_node!(breakpoint_stacks, super::stacks::of_each_tier_by_breakpoints);
on_every_node!(breakpoint_children, super::breakpoints::what_it_starts_is_unharmed);
on_every_node!(breakpoint_workers, super::breakpoints::workers_that_end);
on_every_node!(breakpoint_exec, super::breakpoints::becomes_another_program);
on_every_node!(breakpoint_censuses, super::breakpoints::censuses_while_stores_come);
on_nodes!(breakpoint_stops, super::breakpoints::stopped_and_continued, node_18 "18", node_26 "26");
on_nodes!(breakpoint_killed, super::breakpoints::it_ends_with_bufwatch, node_18 "18", node_26 "26");
on_nodes!(breakpoint_target_killed, super::breakpoints::bufwatch_ends_with_it, node_26 "26");
on_every_node!(census_pinned, super::census::pinned_and_copied);
on_every_node!(census_holders, super::census::holders);
on_every_node!(census_slices, super::census::slices_of_one);
on_every_node!(census_load, super::census::under_load);
on_every_node!(census_fifty, super::census::many_in_a_row);
on_every_node!(census_kinds_exact, super::census_kinds::all);
on_every_node!(census_payload_unread, super::census_payload::nothing_of_it_is_read);
on_every_node!(census_pools, super::census_kinds::pools);
on_every_node!(census_holders_named, super::census_paths::all);
on_nodes!(census_starting, super::census_robust::while_the_process_starts, node_18 "18");
on_every_node!(finding_pinned, super::findings::pinned_parents);
on_every_node!(finding_pool, super::findings::pool_slabs);
on_every_node!(finding_aliases, super::findings::aliased_views);
on_every_node!(finding_native, super::findings::native_handles);
on_every_node!(finding_cut_pool, super::findings::cut_pools);
on_every_node!(finding_none, super::findings::a_program_that_is_fine);
on_nodes!(finding_traced, super::findings::traced_parents, node_18 "18", node_26 "26");
on_nodes!(finding_no_buffer, super::findings::stores_without_buffer, node_18 "18", node_26 "26");
on_every_node!(census_retained, super::retained::as_in_a_heap_snapshot);
on_nodes!(daemon_under_systemd, super::systemd::the_unit_as_it_is_shipped, node_24 "24");
on_nodes!(daemon_leaves_nothing, super::daemon::nothing_is_left, node_24 "24");
on_every_node!(every_kind, super::completeness::every_kind);
on_every_node!(random_lifetimes, super::completeness::random_lifetimes);
on_every_node!(churn_default, super::churn::nothing_is_lost);
on_every_node!(worker_exit, super::lifecycle::worker_exit);
on_every_node!(exec, super::lifecycle::exec);
on_nodes!(packages_judged, super::packages::all, node_20 "20", node_26 "26");
on_every_node!(recorded_reads, super::recording::of_each_tier);
on_every_node!(recorded_reads_of_census, super::census_recording::of_a_small_program);
on_nodes!(first_writes, super::first_touch::exact_when_asked_for, node_18 "18", node_26 "26");
on_every_node!(stacks_of_each_tier, super::stacks::of_each_tier);
on_every_node!(stacks_without_flags, super::stacks::without_flags);
on_every_node!(stacks_on_the_move, super::stack_moving::functions_on_the_move);
on_every_node!(stacks_in_a_storm, super::stack_storm::chains_are_real);
on_every_node!(stacks_of_workloads, super::stack_workloads::large_sites_are_named);
