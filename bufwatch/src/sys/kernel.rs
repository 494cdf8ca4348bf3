//! Facts about the running kernel: version and settings. Whether they suffice is decided above.

use std::fs;
use std::os::linux::fs::MetadataExt as _;
use std::path::Path;

use nix::sys::stat::{major, minor};

/// Major and minor number of the release text, for example `6.18.1-foo`.
pub fn parse_release(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The release text, for example `6.18.1-foo`.
pub fn release() -> Option<String> {
    setting("/proc/sys/kernel/osrelease")
}

/// Major and minor number of this kernel.
pub fn version() -> Option<(u32, u32)> {
    release().as_deref().and_then(parse_release)
}

/// A file of one line in /proc/sys or /sys, without its line end; none if absent or unreadable.
pub fn setting(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// A numeric setting.
pub fn number(path: &str) -> Option<i64> {
    setting(path)?.parse().ok()
}

/// The kernel describes its own types, which the programs are relocated against.
pub fn has_btf() -> bool {
    Path::new("/sys/kernel/btf/vmlinux").exists()
}

/// The chosen one of a list such as `none [integrity] confidentiality`.
pub fn parse_chosen(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0)
}

/// Inode of the initial pid namespace (`PROC_PID_INIT_INO`, `include/linux/proc_ns.h`).
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// A namespace as `bpf_get_ns_current_pid_tgid` wants it named (bpf-helpers(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamespaceId {
    /// As the kernel numbers devices inside: 20 bits of minor number.
    pub device: u64,
    pub inode: u64,
}

/// The pid namespace of this process, if it is not the initial one, by whose numbers the kernel tells of tasks otherwise.
pub fn own_pid_namespace() -> Option<NamespaceId> {
    let facts = fs::metadata("/proc/self/ns/pid").ok()?;
    let device = facts.st_dev();
    let device = major(device) << 20 | minor(device);
    (facts.st_ino() != INITIAL_PID_NAMESPACE).then(|| NamespaceId { device, inode: facts.st_ino() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_distributions() {
        assert_eq!(parse_release("6.18.1-cloud-amd64\n"), Some((6, 18)));
        assert_eq!(parse_release("5.4-rc1"), Some((5, 4)));
        assert_eq!(parse_release("unknown"), None);
    }

    #[test]
    fn the_chosen_value_stands_in_brackets() {
        assert_eq!(parse_chosen("none [integrity] confidentiality"), Some("integrity"));
        assert_eq!(parse_chosen("none"), None);
    }
}
