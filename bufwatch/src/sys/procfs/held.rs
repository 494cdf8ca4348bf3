//! Small files of /proc that are asked again and again: opened once, so that an answer costs one system call. They belong to the process
//! that had the pid when they were opened, whoever has it later.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use crate::base::Bytes;
use crate::sys::procfs::{
    ProcfsError, StatMemory, form, parse_rss, parse_stat_memory, process_path,
};

/// Fifty-two numbers of at most twenty digits, and a name of at most 64 bytes (`proc_pid_stat(5)`), would be more; real ones have 400 bytes.
const TEXT_BYTES_MAX: usize = 2_048;

/// What /proc says of the memory of one process.
#[derive(Debug)]
pub struct MemoryFiles {
    pid: u32,
    statm: File,
    stat: File,
}

impl MemoryFiles {
    pub fn open(pid: u32) -> Result<Self, ProcfsError> {
        let open = |name| {
            let path = process_path(pid, name);
            File::open(&path).map_err(|source| ProcfsError::from_io(pid, path, source))
        };
        Ok(Self { pid, statm: open("statm")?, stat: open("stat")? })
    }

    /// The same as [`super::rss`].
    pub fn rss(&self) -> Result<Bytes, ProcfsError> {
        self.ask(&self.statm, "statm", parse_rss)
    }

    /// What /proc/PID/stat has. Its RSS is some hundred kilobytes off on newer kernels, which keep a counter for each CPU, and what
    /// `process.memoryUsage()` says (libuv, `uv_resident_set_memory`).
    pub fn in_stat(&self) -> Result<StatMemory, ProcfsError> {
        self.ask(&self.stat, "stat", parse_stat_memory)
    }

    /// The kernel makes the text anew for who reads at its start.
    fn ask<T>(
        &self,
        file: &File,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ProcfsError> {
        let mut text = [0; TEXT_BYTES_MAX];
        let n_read = file.read_at(&mut text, 0).map_err(|source| {
            ProcfsError::from_io(self.pid, process_path(self.pid, name), source)
        })?;
        let text = String::from_utf8_lossy(text.get(..n_read).unwrap_or_default());
        parse(&text).ok_or_else(|| form(self.pid, name))
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn each_answer_is_of_its_moment() {
        let files = MemoryFiles::open(std::process::id()).unwrap();
        let before = (files.rss().unwrap(), files.in_stat().unwrap());
        let bytes = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = (files.rss().unwrap(), files.in_stat().unwrap());
        // Other tests of this process come and go meanwhile.
        assert!(after.0 > before.0 && after.1.rss > before.1.rss, "{before:?} {after:?}");
        assert!(after.1.n_faults > before.1.n_faults);
        drop(bytes);
    }

    #[test]
    fn of_a_process_that_has_ended_nothing_is_told() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let files = MemoryFiles::open(child.id()).unwrap();
        assert!(files.rss().is_ok());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(matches!(files.rss(), Err(ProcfsError::NoSuchProcess { .. })));
        assert!(matches!(files.in_stat(), Err(ProcfsError::NoSuchProcess { .. })));
        assert!(MemoryFiles::open(4_194_305).is_err());
    }
}
