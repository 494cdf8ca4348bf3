//! Which programs may be Node, by a look at the executable that costs microseconds: most of what begins on a host is none. Whether it really
//! is, and which version, is told by `processes`.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use crate::base::FastMap;
use crate::node::processes::{STATIC_NODE_BYTES_MIN, is_node_name};
use crate::sys::procfs::{self, process_path};

/// Executables that are remembered; then all are looked at anew.
const FILES_MAX: usize = 4_096;

/// What a look says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screened {
    /// By its name, or by its size.
    MayBeNode { is_named_node: bool },
    /// Unless it maps `libnode.so`, which is not looked at here.
    Other,
    /// It has ended.
    Gone,
}

/// Remembers files, by device and inode.
#[derive(Debug, Default)]
pub struct Screening {
    files: FastMap<(u64, u64), Screened>,
}

impl Screening {
    pub fn screen(&mut self, pid: u32) -> Screened {
        let path = process_path(pid, "exe");
        let file = match fs::metadata(&path) {
            Ok(file) => file,
            // Who may not look leaves it to those who do.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Screened::Other;
            }
            Err(_) => return Screened::Gone,
        };
        let key = (file.dev(), file.ino());
        if let Some(known) = self.files.get(&key) {
            return *known;
        }
        let Ok(path) = procfs::exe_path(pid) else { return Screened::Gone };
        let is_named_node =
            path.file_name().is_some_and(|name| is_node_name(&name.to_string_lossy()));
        let may_be = is_named_node || file.size() >= STATIC_NODE_BYTES_MIN;
        let screened = if may_be { Screened::MayBeNode { is_named_node } } else { Screened::Other };
        if self.files.len() >= FILES_MAX {
            self.files.clear();
        }
        self.files.insert(key, screened);
        screened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen_and_one_that_is_not_there_is_gone() {
        let mut screening = Screening::default();
        let own = screening.screen(std::process::id());
        let is_large = fs::metadata("/proc/self/exe").unwrap().len() >= STATIC_NODE_BYTES_MIN;
        let wanted =
            if is_large { Screened::MayBeNode { is_named_node: false } } else { Screened::Other };
        assert_eq!(own, wanted);
        assert_eq!(screening.screen(std::process::id()), wanted, "remembered");
        // Above any pid_max.
        assert_eq!(screening.screen(4_194_305), Screened::Gone);
    }
}
