//! Names of a real process: of an add-on whose file is gone, of its perf map, of a script that was compiled.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bufwatch::base::{Avma, Svma};
use bufwatch::elf::{Image, Pattern};
use bufwatch::symbolize::{NativeSymbols, PerfMap, SharedSymbols, SourceMaps};
use bufwatch::sys::file::ImageFile;
use bufwatch::sys::procfs::{self, MapEntry};

use crate::plan::nodes;

const ENTRY_POINT: &str = "napi_register_module_v1";

/// A process that prints a line when it is ready, waits for the end of its input, and ends with the test.
struct Waiting(Child);

impl Waiting {
    fn start(node: &Path, folder: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(node)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _status = self.0.wait();
    }
}

fn addon() -> Option<PathBuf> {
    let path = std::env::var_os("BUFWATCH_ADDON").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/addon/external.node"),
        PathBuf::from,
    );
    if !path.is_file() {
        println!("skipped: no add-on at {} (run `cargo xtask setup`)", path.display());
    }
    path.is_file().then_some(path)
}

/// Where in the process a place in the file of a mapping is.
fn address_of(maps: &[MapEntry], name: &str, image: &Image, svma: Svma) -> Avma {
    let offset = image.file_offset_of(svma).unwrap().0;
    let entry = maps
        .iter()
        .filter(|entry| entry.is_executable && entry.file_name() == name)
        .find(|entry| (entry.offset..entry.offset + (entry.end - entry.start)).contains(&offset))
        .unwrap();
    Avma(entry.start + (offset - entry.offset))
}

#[test]
fn an_add_on_that_was_deleted_or_replaced() {
    let Some(addon) = addon() else { return };
    let image = Image::open(Arc::new(ImageFile::open(&addon).unwrap())).unwrap();
    let found = image.find_symbols(&[Pattern::Exact(ENTRY_POINT)]).unwrap();
    let symbol = &found[0][0];
    for node in nodes() {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy of.node");
        fs::copy(&addon, &copy).unwrap();
        let script = format!(
            "require({:?}); process.stdin.resume(); console.log('ready')",
            copy.to_str().unwrap()
        );
        let process = Waiting::start(&node, folder.path(), &["-e", &script]);
        fs::remove_file(&copy).unwrap();
        for is_replaced in [false, true] {
            if is_replaced {
                // Other code, and a name at another place.
                fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
            }
            let maps = procfs::maps(process.pid()).unwrap();
            let entry = address_of(&maps, "copy of.node", &image, symbol.svma);
            let mut names = NativeSymbols::new(process.pid(), SharedSymbols::default());
            let mapping = maps.iter().find(|it| (it.start..it.end).contains(&entry.0)).unwrap();
            match ImageFile::open_mapping(process.pid(), mapping) {
                Ok(_) => assert_eq!(names.name(Avma(entry.0 + 1)).as_deref(), Some(ENTRY_POINT)),
                // Without the capability for map_files: no name rather than that of another file.
                Err(_) => assert_eq!(names.name(Avma(entry.0 + 1)), None),
            }
            // The start of .text belongs to no function that the file names, or to one of the start-up code.
            let before = names.name(Avma(entry.0 - 0x400)).unwrap_or_default();
            assert_ne!(&*before, ENTRY_POINT);
            let vdso = maps.iter().find(|it| it.path == "[vdso]").unwrap();
            assert_eq!(names.name(Avma(vdso.start)).as_deref(), Some("[vdso]"));
            names.mappings_changed(0, 1 << 20);
            assert_eq!(names.name(Avma(8)), None);
        }
    }
}

#[test]
fn a_perf_map_of_every_node() {
    for node in nodes() {
        let folder = tempfile::tempdir().unwrap();
        let script =
            "function hot() { return 1 } hot(); process.stdin.resume(); console.log('ready')";
        let process = Waiting::start(&node, folder.path(), &["--perf-basic-prof", "-e", script]);
        let path = format!("/tmp/perf-{}.map", process.pid());
        let text = fs::read_to_string(&path).unwrap();
        let line = text.lines().find(|line| line.contains("Builtin:ArrayPrototypePush")).unwrap();
        let start = u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap();
        let mut map = PerfMap::open(process.pid()).unwrap();
        assert_eq!(map.name(Avma(start + 1)).as_deref(), Some("ArrayPrototypePush"));
        assert!(!map.is_over_limit());
        drop(process);
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_source_map_that_fits_the_process() {
    for node in nodes() {
        let folder = tempfile::tempdir().unwrap();
        let script =
            "process.stdin.resume(); console.log('ready');\n//# sourceMappingURL=a.js.map\n";
        let map = r#"{"version":3,"sources":["src/a.ts"],"names":[],"mappings":"AAUA"}"#;
        let script_path = folder.path().join("a.js");
        fs::write(&script_path, script).unwrap();
        fs::write(folder.path().join("a.js.map"), map).unwrap();
        let script_path = script_path.to_str().unwrap();
        // A file of the clock tick in which Node began counts as changed; the next start is in another.
        let (process, place) = (0..10)
            .find_map(|_| {
                let process = Waiting::start(&node, folder.path(), &["a.js"]);
                let mut maps = SourceMaps::new(process.pid());
                maps.original(script_path, Some(script), 1, 3).map(|place| (process, place))
            })
            .unwrap();
        assert_eq!(&*place.source, folder.path().join("src/a.ts").to_str().unwrap());
        assert_eq!((place.line, place.column), (11, 1));

        let mut rewritten = fs::File::create(folder.path().join("a.js.map")).unwrap();
        rewritten.write_all(map.as_bytes()).unwrap();
        assert_eq!(SourceMaps::new(process.pid()).original(script_path, Some(script), 1, 3), None);
    }
}
