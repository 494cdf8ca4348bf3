//! Plans on disk, one file per build id, so that a binary is searched once. A file is only believed if it is
//! ours, nobody else could have written it, and it was made by this version for a binary of this size; any
//! other is ignored and replaced.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::elf::BuildId;
use crate::node::plan::ProbePlan;

/// Raised when the form or meaning of a plan changes.
const SCHEMA: &str = "bufwatch.plan/5";
/// Permission bits of group and others to write.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// A plan has about 10 KB.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[derive(serde::Serialize, serde::Deserialize)]
struct Entry<P> {
    schema: String,
    tool_version: String,
    plan: P,
}

/// A directory of plans.
#[derive(Clone, Debug)]
pub struct PlanCache {
    directory: PathBuf,
}

impl PlanCache {
    /// `directory` is made when the first plan is stored.
    pub const fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// `$XDG_CACHE_HOME/bufwatch/plans`, else below `$HOME/.cache`; the values are passed in.
    pub fn in_home(xdg_cache_home: Option<&Path>, home: Option<&Path>) -> Option<Self> {
        let base = xdg_cache_home
            .filter(|path| path.is_absolute())
            .map(Path::to_owned)
            .or_else(|| Some(home.filter(|path| path.is_absolute())?.join(".cache")))?;
        Some(Self::new(base.join("bufwatch").join("plans")))
    }

    fn path_of(&self, build_id: &BuildId) -> Option<PathBuf> {
        // Hex by construction; a plan read back could say otherwise.
        let is_name = !build_id.0.is_empty() && build_id.0.bytes().all(|it| it.is_ascii_hexdigit());
        is_name.then(|| self.directory.join(format!("{build_id}.json")))
    }

    /// The plan for a binary, if there is one to be believed.
    pub fn load(&self, build_id: &BuildId, file_bytes: u64) -> Option<ProbePlan> {
        let path = self.path_of(build_id)?;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
            .open(path)
            .ok()?;
        let metadata = file.metadata().ok()?;
        if !metadata.is_file()
            || metadata.uid() != nix::unistd::geteuid().as_raw()
            || metadata.mode() & WRITABLE_BY_OTHERS != 0
        {
            return None;
        }
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
        let entry: Entry<ProbePlan> = serde_json::from_str(&text).ok()?;
        let is_valid = entry.schema == SCHEMA
            && entry.tool_version == env!("CARGO_PKG_VERSION")
            && entry.plan.build_id.as_ref() == Some(build_id)
            && entry.plan.file_bytes == file_bytes;
        is_valid.then_some(entry.plan)
    }

    /// Stores a plan; one that cannot be stored is resolved again next time.
    pub fn store(&self, plan: &ProbePlan) {
        if let Err(error) = self.try_store(plan) {
            tracing::debug!(%error, directory = %self.directory.display(), "plan not cached");
        }
    }

    fn try_store(&self, plan: &ProbePlan) -> io::Result<()> {
        let Some(path) = plan.build_id.as_ref().and_then(|id| self.path_of(id)) else {
            return Ok(());
        };
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let entry = Entry {
            schema: SCHEMA.to_owned(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            plan,
        };
        // A reader sees a whole file or none.
        let partial = path.with_extension(format!("{}.partial", std::process::id()));
        // Left behind by a process of the same pid that was killed; a file put there by somebody else is
        // neither followed nor written to.
        if let Err(error) = fs::remove_file(&partial)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
        file.write_all(&serde_json::to_vec(&entry)?)?;
        drop(file);
        fs::rename(partial, path)
    }
}
