//! The Node processes of this host, found by cheap reads that do not touch them.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::{Bytes, FastMap};
use crate::node::identity::{self, IdentityError};
use crate::node::plan::{self, PlanCache};
use crate::node::survey::NodeVersion;
use crate::sys::file::ImageFile;
use crate::sys::procfs::{self, Container, ProcfsError};

/// Executables below this size are not searched for a Node linked into them (single executable applications,
/// renamed copies): Node has 90 MB.
pub(super) const STATIC_NODE_BYTES_MIN: u64 = 32 << 20;

/// One line of `bufwatch ps`.
#[derive(Clone, Debug)]
pub struct NodeProcess {
    pub pid: u32,
    /// Its pid as it sees it itself.
    pub inner_pid: Option<u32>,
    pub container: Option<Container>,
    pub node_version: Option<NodeVersion>,
    pub rss: Option<Bytes>,
    /// Not sanitized.
    pub command: String,
    /// Why it cannot be watched, if so.
    pub obstacle: Option<Arc<IdentityError>>,
}

type KnownFiles = FastMap<(u64, u64), Result<Option<NodeVersion>, Arc<IdentityError>>>;

/// Looks at every process; versions of a binary are read once, or taken from the cache of plans.
pub fn list(cache: Option<&PlanCache>) -> io::Result<Vec<NodeProcess>> {
    let mut known = KnownFiles::default();
    let pids = procfs::processes()?;
    Ok(pids.into_iter().filter_map(|pid| examine(pid, cache, &mut known)).collect())
}

/// Looks again and again, at what is new only. What is known not to be Node is known by pid and executable, which `exec` changes.
#[derive(Debug, Default)]
pub struct Finder {
    files: KnownFiles,
    others: FastMap<u32, Other>,
}

/// A process that is not Node.
#[derive(Debug)]
struct Other {
    exe: PathBuf,
    /// Its libraries were looked at when it was so young that the loader may not have mapped them.
    is_settled: bool,
}

impl Finder {
    /// The Node processes among those that are not `known`.
    pub fn look(
        &mut self,
        cache: Option<&PlanCache>,
        is_known: impl Fn(u32) -> bool,
    ) -> io::Result<Vec<NodeProcess>> {
        let pids = procfs::processes()?;
        self.others.retain(|pid, _| pids.binary_search(pid).is_ok());
        let mut found = Vec::new();
        for pid in pids.into_iter().filter(|pid| !is_known(*pid)) {
            // Without one it is the kernel's, or on its way out.
            let Ok(exe) = procfs::exe_path(pid) else { continue };
            let before = self.others.get(&pid).filter(|other| other.exe == exe);
            if before.is_some_and(|other| other.is_settled) {
                continue;
            }
            let is_settled = before.is_some();
            match examine(pid, cache, &mut self.files) {
                Some(process) => found.push(process),
                None => drop(self.others.insert(pid, Other { exe, is_settled })),
            }
        }
        Ok(found)
    }

    /// The same of one process.
    pub fn look_at(&mut self, cache: Option<&PlanCache>, pid: u32) -> Option<NodeProcess> {
        examine(pid, cache, &mut self.files)
    }

    /// What was learned of files is forgotten: they may have been replaced.
    pub fn forget_files(&mut self) {
        self.files.clear();
    }
}

fn examine(pid: u32, cache: Option<&PlanCache>, known: &mut KnownFiles) -> Option<NodeProcess> {
    let obstacle = match procfs::exe_path(pid) {
        Ok(path) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_named_node = is_node_name(&name);
            if !is_named_node && !maps_libnode(pid) && !is_large(pid) {
                return None;
            }
            match version(pid, cache, known) {
                Ok(node_version) => return Some(describe(pid, node_version, None)),
                Err(error) if matches!(*error, IdentityError::NotNode { .. }) => return None,
                Err(error) if is_gone(&error) => return None,
                Err(error) => error,
            }
        }
        // Another user's process: its name is all there is.
        Err(error @ ProcfsError::Denied { .. }) if is_node_name(&procfs::comm(pid).ok()?) => {
            Arc::new(IdentityError::Process(error))
        }
        Err(_) => return None,
    };
    Some(describe(pid, None, Some(obstacle)))
}

/// `node`, `nodejs`, `node22`, `node (deleted)`, but not `node_exporter`.
pub fn is_node_name(name: &str) -> bool {
    let name = name.strip_suffix(" (deleted)").unwrap_or(name);
    name.strip_prefix("node").is_some_and(|rest| {
        rest.is_empty()
            || rest == "js"
            || rest.starts_with(|c: char| c.is_ascii_digit() || c == '-')
    })
}

fn is_gone(error: &IdentityError) -> bool {
    matches!(error, IdentityError::Process(ProcfsError::NoSuchProcess { .. }))
}

fn maps_libnode(pid: u32) -> bool {
    procfs::maps(pid)
        .is_ok_and(|maps| maps.iter().any(|entry| entry.file_name().starts_with("libnode.so")))
}

fn is_large(pid: u32) -> bool {
    use crate::elf::ReadAt as _;
    ImageFile::open_exe(pid).is_ok_and(|file| file.size() >= STATIC_NODE_BYTES_MIN)
}

fn version(
    pid: u32,
    cache: Option<&PlanCache>,
    known: &mut KnownFiles,
) -> Result<Option<NodeVersion>, Arc<IdentityError>> {
    let identity = identity::open(pid).map_err(Arc::new)?;
    known
        .entry(identity.node.file.identity())
        .or_insert_with(|| {
            plan::obtain_for_image(&identity.node, cache)
                .map(|(plan, _)| plan.node_version)
                .map_err(Arc::new)
        })
        .clone()
}

fn describe(
    pid: u32,
    node_version: Option<NodeVersion>,
    obstacle: Option<Arc<IdentityError>>,
) -> NodeProcess {
    let command = procfs::command_line(pid).unwrap_or_default();
    let command = if command.is_empty() { procfs::comm(pid).unwrap_or_default() } else { command };
    NodeProcess {
        pid,
        inner_pid: procfs::status(pid).ok().and_then(|status| status.inner_pid()),
        container: procfs::container(pid),
        node_version,
        rss: procfs::rss(pid).ok(),
        command,
        obstacle,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_node() {
        for name in ["node", "nodejs", "node22", "node-24", "node (deleted)"] {
            assert!(is_node_name(name), "{name}");
        }
        for name in ["node_exporter", "nodemon", "deno", "", "nod"] {
            assert!(!is_node_name(name), "{name}");
        }
    }
}
