//! `bufwatch export` as it is run: what it prints, what it refuses, and how it ends.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::export::made_up::Spec;

pub(crate) fn export(file: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bufwatch"));
    command.arg("export").arg(file).args(args).stdin(Stdio::null()).output().unwrap()
}

/// What was exported; it went well, and nothing was said.
pub(crate) fn exported(file: &Path, args: &[&str]) -> Vec<u8> {
    let output = export(file, args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{args:?}: {said}");
    output.stdout
}

pub(crate) fn exported_text(file: &Path, args: &[&str]) -> String {
    String::from_utf8(exported(file, args)).unwrap()
}

fn refused(file: &Path, args: &[&str]) -> String {
    let output = export(file, args);
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    assert!(output.stdout.is_empty(), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Formats, as they are asked for.
pub(crate) const FORMATS: [&str; 3] = ["pprof", "speedscope", "collapsed"];

#[test]
fn files_are_for_their_owner_and_not_overwritten_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let recording = Spec::default().record(folder.path());
    for format in FORMATS {
        let file = folder.path().join(format);
        let path = file.to_str().unwrap();
        exported(&recording, &["--format", format, "-o", path]);
        let written = fs::read(&file).unwrap();
        assert_eq!(written, exported(&recording, &["-f", format, "-o", "-"]), "{format}");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let said = refused(&recording, &["-f", format, "-o", path]);
        assert_eq!(
            said,
            format!(
                "error: `{path}` exists\nhint: name another file, or overwrite it with --force\n"
            )
        );
        exported(&recording, &["-f", format, "-o", path, "--force"]);
    }
}

#[test]
fn what_cannot_be_exported_is_said_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let args = ["-f", "speedscope", "-o", out.to_str().unwrap()];
    let said = refused(Path::new("/nowhere/a"), &args);
    assert!(
        said.starts_with("error: the recording `/nowhere/a` cannot be read: No such file"),
        "{said}"
    );
    let foreign = folder.path().join("foreign");
    fs::write(&foreign, "no database").unwrap();
    assert!(refused(&foreign, &args).contains("hint: a recording is made by"));
    let empty = Spec { n_flushes: 0, ..Spec::default() }.record(folder.path());
    assert!(refused(&empty, &args).contains("ends before its first flush"));
    assert!(!out.exists());
    let recording = Spec::without_stores().record(folder.path());
    let said = refused(&recording, &["-f", "collapsed", "--measure", "pinned_space"]);
    assert_eq!(
        said,
        "error: pinned_space is not known: no census was taken up to this moment\n\
         hint: record with --census-every SECONDS, or name a later moment with --at\n"
    );
}

#[test]
fn a_full_disk_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let recording = Spec::default().record(folder.path());
    for format in FORMATS {
        let said = refused(&recording, &["-f", format, "-o", "/dev/full"]);
        assert_eq!(
            said,
            "error: `/dev/full` cannot be written: No space left on device (os error 28)\nhint: make room on the disk\n"
        );
    }
}

/// A recording whose end is missing is exported as far as it goes; one that is cut or damaged is refused or exported, but ends.
#[test]
fn damaged_recordings_end_in_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let cut = Spec { is_ended: false, ..Spec::default() }.record(folder.path());
    for format in FORMATS {
        assert!(!exported(&cut, &["-f", format]).is_empty());
    }
    let bytes = fs::read(&cut).unwrap();
    for n in 1..16 {
        let file = folder.path().join("damaged");
        let mut damaged = bytes.clone();
        if n % 2 == 0 {
            damaged.truncate(bytes.len() * n / 16);
        }
        for at in (n * 97..damaged.len()).step_by(1_009) {
            damaged[at] ^= 0x55;
        }
        fs::write(&file, damaged).unwrap();
        for format in FORMATS {
            let code = export(&file, &["-f", format]).status.code();
            assert!(matches!(code, Some(0 | 2)), "{format} {n}: {code:?}");
        }
    }
}
