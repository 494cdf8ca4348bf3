//! Where the things of this checkout are: sources, tools, Node versions, build results. It finds
//! paths and creates nothing but the folder of the tools.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result};

/// The Node versions that the live tests run, one per supported major version, oldest first.
pub(crate) const NODE_VERSIONS: [&str; 5] = ["18.20.8", "20.20.2", "22.23.3", "24.21.0", "26.10.0"];

/// The version that demo and benchmarks take unless told otherwise: the newest with long-term
/// support.
pub(crate) const NODE_DEFAULT: &str = "24.21.0";

/// Makes bufwatch's build script leave out the eBPF object.
pub(crate) const SKIP_EBPF: &str = "BUFWATCH_SKIP_EBPF";

/// The checkout that this xtask was started in.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    pub(crate) fn locate() -> Result<Self> {
        let package = env::var_os("CARGO_MANIFEST_DIR")
            .unwrap_or_else(|| OsString::from(env!("CARGO_MANIFEST_DIR")));
        let root = Path::new(&package)
            .parent()
            .context("the xtask package has no parent folder")?
            .to_path_buf();
        Ok(Self { root })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The ignored folder of everything that set-up installs.
    pub(crate) fn tools(&self) -> PathBuf {
        self.root.join(".tools")
    }

    pub(crate) fn create_tools(&self) -> Result<PathBuf> {
        let tools = self.tools();
        fs::create_dir_all(&tools).with_context(|| format!("create `{}`", tools.display()))?;
        Ok(tools)
    }

    pub(crate) fn node_folder(&self) -> PathBuf {
        self.tools().join("node")
    }

    /// The `node` binary of an official release; it exists after set-up.
    pub(crate) fn node(&self, version: &str) -> PathBuf {
        self.node_folder().join(version).join("node")
    }

    /// The native addon of the live tests; it exists after set-up.
    pub(crate) fn addon(&self) -> PathBuf {
        self.tools().join("addon").join("external.node")
    }

    /// Recorded reads of real processes, one file for each major version of Node.
    pub(crate) fn cassettes(&self) -> PathBuf {
        self.root.join("bufwatch/tests/it/cassettes")
    }

    /// The web framework of the live tests; its `node_modules` are there after set-up.
    pub(crate) fn express(&self) -> PathBuf {
        self.tools().join("express")
    }

    /// Packages that the live tests judge; the same.
    pub(crate) fn packages(&self) -> PathBuf {
        self.tools().join("packages")
    }

    pub(crate) fn target(&self) -> PathBuf {
        env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| self.root.join("target"), |folder| self.root.join(folder))
    }

    /// The bufwatch that `build` leaves.
    pub(crate) fn bufwatch(&self) -> PathBuf {
        self.target().join("release").join("bufwatch")
    }

    pub(crate) fn ebpf_manifest(&self) -> PathBuf {
        self.root.join("bufwatch-ebpf").join("Cargo.toml")
    }

    /// PATH with this checkout's tools first, so that build scripts find the right bpf-linker.
    pub(crate) fn path(&self) -> OsString {
        let mut path = self.tools().join("bin").into_os_string();
        if let Some(inherited) = env::var_os("PATH") {
            path.push(":");
            path.push(inherited);
        }
        path
    }

    /// A cargo command in this checkout. Every verb takes it from here, since cargo rebuilds when
    /// the environment of a build script differs between two calls.
    pub(crate) fn cargo(&self, has_ebpf: bool) -> Command {
        let mut command = Command::new("cargo");
        command.current_dir(&self.root).env("PATH", self.path());
        if !has_ebpf {
            command.env(SKIP_EBPF, "1");
        }
        command
    }
}
