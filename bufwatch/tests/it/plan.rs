//! Plans of real Node binaries, as files and as processes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use bufwatch::node::identity::{self, IdentityError, open_file};
use bufwatch::node::plan::{
    Cost, FlagBits, PlanCache, ProbeImage, ProbePlan, ProbePurpose, obtain, obtain_for_image,
};

use crate::synthetic::{SyntheticElf, TEXT};

/// Finds `DIR/v*/node`, `DIR/*/node` and `DIR/*/bin/node` in `$BUFWATCH_NODES`, else in `.tools/node`.
pub(crate) fn nodes() -> Vec<PathBuf> {
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

/// The plan of every binary; made once, a debug build takes a second for each.
fn plans() -> &'static [(PathBuf, ProbePlan)] {
    static PLANS: LazyLock<Vec<(PathBuf, ProbePlan)>> =
        LazyLock::new(|| nodes().into_iter().map(|path| (path.clone(), plan_of(&path))).collect());
    &PLANS
}

#[test]
fn every_node_has_all_probes_of_its_own_image() {
    for (path, plan) in plans() {
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
    for (_, plan) in plans() {
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
            plan.v8.function_shared.get().unwrap(),
            plan.v8.shared_script.get().unwrap(),
            plan.v8.shared_literal_id.get().unwrap(),
        );
        assert_eq!(found, expected, "{version}");
        assert!(plan.layout.flags.provenance().contains("as in the table"), "{version}");
        let blob = frames.blob_start.get().unwrap();
        assert!(frames.text_start <= blob && blob < frames.text_end, "{version}");
        assert!(plan.allocator.as_ref().unwrap().total_offset.get().is_some(), "{version}");
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
    for (path, plan) in plans() {
        check_running(path, plan);
    }
}

fn check_running(path: &Path, plan: &ProbePlan) {
    let running = Running::start(path);
    let pid = running.0.id();
    let planned = obtain(pid, None).unwrap();
    assert_eq!(planned.identity.key.pid, pid);
    assert_eq!(planned.identity.inner_pid, Some(pid));
    assert_eq!(planned.identity.node_version, plan.node_version);
    assert_eq!(identity::identify(pid).unwrap().v8_version, planned.plan.v8_version);
    assert!(planned.identity.command.contains("setTimeout"));
    for purpose in
        [ProbePurpose::Mmap, ProbePurpose::Munmap, ProbePurpose::Mremap, ProbePurpose::Madvise]
    {
        let probe = planned.plan.probes_for(purpose).next();
        let found = probe.map(|probe| (probe.image, probe.cost));
        let expected = Some((ProbeImage::Libc, Cost::Emulated));
        assert_eq!(found, expected, "{purpose:?}: {:?}", planned.plan.missing);
    }
    // What is planned from the file is what the process has in memory.
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    for probe in &planned.plan.probes {
        let image = match probe.image {
            ProbeImage::Node => &planned.identity.node,
            ProbeImage::Libc => planned.identity.libc.as_ref().unwrap(),
        };
        let (mut in_file, mut in_memory) = ([0; 16], [0; 16]);
        image.image.read_at(probe.svma, &mut in_file).unwrap();
        memory.read_exact_at(&mut in_memory, image.bias.to_avma(probe.svma).0).unwrap();
        assert_eq!(in_file, in_memory, "{probe:?}");
        assert_eq!(image.image.file_offset_of(probe.svma), Some(probe.file_offset));
        assert_eq!(image.image.svma_of(probe.file_offset), Some(probe.svma));
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

const NAPI: &str = "napi_get_node_version";
const ATTACH: &str = "_ZN2v88internal13JSArrayBuffer6AttachESt10shared_ptrINS0_12BackingStoreEE";

/// What opening and planning an image fails with.
fn refusal(bytes: &[u8]) -> IdentityError {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    open_file(file.path()).and_then(|image| obtain_for_image(&image, None)).unwrap_err()
}

#[test]
fn each_kind_of_unusable_binary_has_its_own_message() {
    let elf = SyntheticElf::default;
    let error = refusal(&elf().build());
    assert!(matches!(error, IdentityError::NotNode { .. }), "{error}");
    let error = refusal(&SyntheticElf { symbols: vec![(NAPI, TEXT)], ..elf() }.build());
    assert!(matches!(error, IdentityError::Stripped { .. }), "{error}");
    let error = refusal(&SyntheticElf { machine: 183, ..elf() }.build());
    assert!(error.to_string().contains("AArch64"), "{error}");
    let interpreter = "/lib/ld-musl-x86_64.so.1";
    let error = refusal(&SyntheticElf { interpreter, ..elf() }.build());
    assert!(matches!(error, IdentityError::Musl { .. }), "{error}");
    let mut bytes = elf().build();
    bytes[4] = 1;
    let error = refusal(&bytes);
    assert!(matches!(error, IdentityError::Class32 { .. }), "{error}");
    let symbols = vec![(NAPI, TEXT), (ATTACH, TEXT), ("v8dbg_TaggedSize", TEXT)];
    let error = refusal(&SyntheticElf { symbols, text: vec![4, 0, 0, 0], ..elf() }.build());
    assert!(matches!(error, IdentityError::CompressedPointers { tagged_bytes: 4, .. }), "{error}");
}

#[test]
fn what_a_binary_lacks_is_missing_with_its_consequence() {
    let symbols = vec![(NAPI, TEXT), (ATTACH, TEXT + 0x40)];
    let mut text = vec![0x90; 0x80];
    // lock sub [rdi+16], rdx; ret
    text[0x40..0x46].copy_from_slice(&[0xf0, 0x48, 0x29, 0x57, 0x10, 0xc3]);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&SyntheticElf { symbols, text, ..SyntheticElf::default() }.build()).unwrap();
    let plan = plan_of(file.path());
    assert!(!plan.is_usable());
    let destroyed =
        plan.missing.iter().find(|it| it.purpose == ProbePurpose::StoreDestroyed).unwrap();
    assert!(destroyed.tried.iter().any(|name| name.contains("BackingStoreD1Ev")));
    assert!(!destroyed.consequence.is_empty());
    // The entry is refused; what follows it has the same arguments, at the price of single-stepping.
    let created = plan.probes_for(ProbePurpose::StoreCreatedArg1).next().unwrap();
    assert_eq!((created.offset_in_function, created.cost), (5, Cost::SingleStepped));
    assert!(plan.to_string().contains("Missing"));
}

const MAKE_CALLBACK: &str =
    "_ZN4node9AsyncWrap12MakeCallbackEN2v85LocalINS1_8FunctionEEEiPNS2_INS1_5ValueEEE";

/// Async origins need to see where resources are created and what they call back by; the rest can be missing.
#[test]
fn async_origins_are_told_only_where_they_can_be_right() {
    let created = "_ZN4node9AsyncWrap10AsyncResetEN2v85LocalINS1_6ObjectEEEd";
    let cases = [
        (vec![(NAPI, TEXT), (ATTACH, TEXT)], false),
        (vec![(NAPI, TEXT), (ATTACH, TEXT), (created, TEXT)], false),
        (vec![(NAPI, TEXT), (ATTACH, TEXT), (MAKE_CALLBACK, TEXT)], false),
        (vec![(NAPI, TEXT), (ATTACH, TEXT), (created, TEXT), (MAKE_CALLBACK, TEXT)], true),
    ];
    for (symbols, has_async_origins) in cases {
        let text = vec![0x55; 0x80];
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let elf = SyntheticElf { symbols, text, ..SyntheticElf::default() };
        file.write_all(&elf.build()).unwrap();
        let plan = plan_of(file.path());
        assert_eq!(plan.has_async_origins(), has_async_origins);
        let missing = plan.missing.iter().find(|it| it.purpose == ProbePurpose::AsyncMessage);
        assert!(missing.unwrap().consequence.contains("messages"));
        // Missing or not, stores are seen without them.
        assert!(!ProbePurpose::AsyncCreated.is_required());
    }
    for (_, plan) in plans() {
        assert!(plan.has_async_origins());
        let n_callbacks = plan.probes.iter().filter(|probe| probe.purpose.runs_callbacks()).count();
        assert_eq!(plan.callback_functions.len(), n_callbacks);
        assert!(n_callbacks <= bufwatch_common::N_CALLBACK_FUNCTIONS);
    }
}

#[test]
fn a_pipe_is_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let error = open_file(&pipe).map(|_| ()).unwrap_err();
    assert!(matches!(error, IdentityError::File { .. }), "{error:?}");
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
