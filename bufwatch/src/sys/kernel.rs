//! Facts about the running kernel: version and settings. Whether they suffice is decided above.

use std::fs;
use std::path::Path;

/// Major and minor number of the release text, for example `6.18.1-foo`.
pub fn parse_release(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The release text, for example `6.18.1-foo`.
pub fn release() -> Option<String> {
    setting("/proc/sys/kernel/osrelease")
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
