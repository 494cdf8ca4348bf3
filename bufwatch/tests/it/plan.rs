//! Plans of real Node binaries, as files and as processes.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bufwatch::node::identity::{self, IdentityError, open_file};
use bufwatch::node::plan::{
    Cost, FlagBits, PlanCache, ProbeImage, ProbePlan, ProbePurpose, obtain, obtain_for_image,
};

/// Finds `DIR/v*/node`, `DIR/*/node` and `DIR/*/bin/node` in `$BUFWATCH_NODES`, else in `.tools/node`.
fn nodes() -> Vec<PathBuf> {
    let directory = std::env::var_os("BUFWATCH_NODES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/node"),
        PathBuf::from,
    );
    let mut nodes: Vec<PathBuf> = std::fs::read_dir(&directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .flat_map(|path| [path.join("node"), path.join("bin/node")])
        .filter(|path| path.is_file())
        .collect();
    nodes.sort();
    if nodes.is_empty() {
        println!("skipped: no Node binaries in {} (set BUFWATCH_NODES)", directory.display());
    }
    nodes
}

fn plan_of(path: &Path) -> ProbePlan {
    obtain_for_image(&open_file(path).unwrap(), None).unwrap().0
}

#[test]
fn every_node_has_all_probes_of_its_own_image() {
    for path in nodes() {
        let plan = plan_of(&path);
        assert_eq!(plan.missing, [], "{}", path.display());
        assert!(plan.is_usable());
        let version = plan.node_version.unwrap();
        let in_path = path.to_string_lossy().contains(&version.to_string());
        assert!(in_path || !path.to_string_lossy().contains("/v"), "{version} {}", path.display());
        let creation = if version.major >= 24 {
            ProbePurpose::StoreCreatedArg2
        } else {
            ProbePurpose::StoreCreatedArg1
        };
        assert_eq!(plan.probes_for(creation).count(), 1, "{version}");
        let n_gc_starts = if version.major == 18 { 2 } else { 1 };
        assert_eq!(plan.probes_for(ProbePurpose::GcStarted).count(), n_gc_starts, "{version}");
        for probe in &plan.probes {
            assert_eq!(probe.cost, Cost::Emulated, "{version} {probe:?}");
            assert_eq!(probe.offset_in_function, 0, "{version} {probe:?}");
        }
    }
}

#[test]
fn layouts_are_the_measured_ones() {
    for path in nodes() {
        let plan = plan_of(&path);
        let version = plan.node_version.unwrap();
        // js-stacks.md §1.1, §2.1: flags, wasm bit, JSFunction::shared, script, literal id.
        let expected = match version.major {
            18 | 20 => (56, 0x4, 24, 32, 52),
            22 => (56, 0x4, 32, 32, 52),
            24 => (64, 0x4, 32, 40, 60),
            26 => (56, 0x8, 32, 40, 60),
            _ => continue,
        };
        let frames = &plan.frames;
        let found = (
            plan.layout.flags_offset.get().unwrap(),
            plan.layout.flags.get().map(|bits: FlagBits| bits.wasm).unwrap(),
            frames.function_shared.get().unwrap(),
            frames.shared_script.get().unwrap(),
            frames.shared_literal_id.get().unwrap(),
        );
        assert_eq!(found, expected, "{version}");
        assert!(plan.layout.flags.provenance().contains("as in the table"), "{version}");
        let blob = frames.blob_start.get().unwrap();
        assert!(frames.text_start <= blob && blob < frames.text_end, "{version}");
        assert!(plan.allocator.unwrap().total_offset.get().is_some(), "{version}");
    }
}

/// Ends the process when the test does.
struct Running(Child);

impl Running {
    /// Starts Node and waits until it runs JavaScript.
    fn start(path: &Path) -> Self {
        let script = "console.log('up'); setTimeout(() => {}, 1e6)";
        let mut child =
            Command::new(path).args(["-e", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "up\n");
        Self(child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_running_node_is_identified_and_its_libc_planned() {
    let Some(path) = nodes().pop() else { return };
    let running = Running::start(&path);
    let pid = running.0.id();
    let planned = obtain(pid, None).unwrap();
    assert_eq!(planned.identity.key.pid, pid);
    assert_eq!(planned.identity.inner_pid, Some(pid));
    assert_eq!(planned.identity.node_version, plan_of(&path).node_version);
    assert_eq!(identity::identify(pid).unwrap().v8_version, planned.plan.v8_version);
    assert!(planned.identity.command.contains("setTimeout"));
    for purpose in
        [ProbePurpose::Mmap, ProbePurpose::Munmap, ProbePurpose::Mremap, ProbePurpose::Madvise]
    {
        let probe = planned.plan.probes_for(purpose).next();
        let probe = probe.unwrap_or_else(|| panic!("{purpose:?}: {:?}", planned.plan.missing));
        assert_eq!((probe.image, probe.cost), (ProbeImage::Libc, Cost::Emulated));
    }
    let listed = bufwatch::node::processes::list(None).unwrap();
    let row = listed.iter().find(|process| process.pid == pid).unwrap();
    assert_eq!(row.node_version, planned.plan.node_version);
    assert!(row.rss.unwrap().0 > 10 << 20);
}

#[test]
fn a_program_that_is_not_node_is_refused() {
    let error = identity::identify(std::process::id()).unwrap_err();
    assert!(matches!(error, IdentityError::NotNode { .. }), "{error:?}");
    assert!(error.hint().contains("bufwatch ps"));
    let error = open_file(Path::new("/proc/version")).map(|_| ()).unwrap_err();
    assert!(matches!(error, IdentityError::NotNode { .. }), "{error:?}");
}

#[test]
fn a_cached_plan_is_the_resolved_one_unless_it_may_have_been_forged() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(path) = nodes().into_iter().next() else { return };
    let directory = tempfile::tempdir().unwrap();
    let cache = PlanCache::new(directory.path().join("plans"));
    let image = open_file(&path).unwrap();
    let (resolved, is_from_cache) = obtain_for_image(&image, Some(&cache)).unwrap();
    assert!(!is_from_cache);
    assert_eq!(obtain_for_image(&image, Some(&cache)).unwrap(), (resolved.clone(), true));

    let build_id = resolved.build_id.as_ref().unwrap();
    assert_eq!(cache.load(build_id, resolved.file_bytes + 1), None, "another size");
    let file = directory.path().join(format!("plans/{build_id}.json"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o622)).unwrap();
    assert_eq!(cache.load(build_id, resolved.file_bytes), None, "writable by others");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&file, "{").unwrap();
    assert_eq!(cache.load(build_id, resolved.file_bytes), None, "damaged");
    assert!(!obtain_for_image(&image, Some(&cache)).unwrap().1);
    assert!(obtain_for_image(&image, Some(&cache)).unwrap().1, "replaced");
}
