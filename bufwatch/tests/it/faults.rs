//! `--faults` where page faults cannot be followed: it is refused before anything is looked at, not left out.

use crate::report::bufwatch;

#[test]
fn faults_without_ebpf_are_refused() {
    let pid = std::process::id().to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.bufwatch");
    let watch = ["--headless", "--json", "--pid", &pid];
    let record = ["record", "--output", file.to_str().unwrap(), "--pid", &pid];
    for args in [&watch[..], &record] {
        let (code, out, err) = bufwatch(&[args, &["--backend", "ptrace", "--faults"]].concat());
        assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
        assert!(err.contains("error: --faults follows page faults by eBPF"), "{err}");
        assert!(err.contains("hint: leave out --faults"), "{err}");
        assert!(!err.contains("26 MB"), "it costs nothing: {err}");
    }
    assert!(!file.exists());
}
