//! Debian packages: which are there, and installing those that are not. It knows no package by
//! name.

use std::process::Command;

use anyhow::{Result, bail};

use crate::process;

/// Installs what is missing of `packages`; an error says what stood in the way in one line.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let missing: Vec<&str> = packages.iter().copied().filter(|name| !is_installed(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !process::has_program("apt-get") {
        bail!("`{list}` is missing and this system has no apt-get");
    }
    if !process::is_root() {
        bail!("`{list}` is missing and only root can install it (`apt-get install {list}`)");
    }
    process::say(format_args!("installing the Debian packages {list}"));
    // The package lists of a fresh machine are empty or old; only then are they fetched.
    if apt_install(&missing).is_ok() {
        return Ok(());
    }
    process::output(apt_get().arg("update"))?;
    apt_install(&missing)
}

fn is_installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    query.args(["-W", "-f", "${db:Status-Status}", package]);
    process::output(&mut query).is_ok_and(|status| status.trim() == "installed")
}

fn apt_install(packages: &[&str]) -> Result<()> {
    let mut install = apt_get();
    install.args(["install", "-y", "--no-install-recommends"]).args(packages);
    process::output(&mut install).map(drop)
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.arg("-q").env("DEBIAN_FRONTEND", "noninteractive");
    command
}
