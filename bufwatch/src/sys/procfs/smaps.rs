//! /proc/PID/smaps: which mappings V8 owns, and how much of them is in memory (`proc_pid_smaps(5)`). Read line
//! by line: with 20,000 mappings the text has 14 MB.

use std::io::BufRead;

/// One mapping as far as bufwatch asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SmapsEntry {
    pub start: u64,
    /// Exclusive.
    pub end: u64,
    pub rss_bytes: u64,
    /// Not of a file.
    pub is_anonymous: bool,
    /// `dc`, "do not copy area on fork": V8 sets it on all its memory, and nobody else in Node does
    /// (kernel-facts.md §0).
    pub is_dont_copy: bool,
}

/// Hands each mapping to `visit`; lines of unknown form are left out.
pub fn for_each_smap(mut text: impl BufRead, mut visit: impl FnMut(&SmapsEntry)) {
    let mut line = Vec::new();
    let mut entry: Option<SmapsEntry> = None;
    loop {
        line.clear();
        if text.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&line);
        if let Some(next) = parse_head(&text) {
            if let Some(done) = entry.replace(next) {
                visit(&done);
            }
        } else if let Some(entry) = &mut entry {
            parse_field(&text, entry);
        }
    }
    if let Some(done) = entry {
        visit(&done);
    }
}

fn parse_head(line: &str) -> Option<SmapsEntry> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let start = u64::from_str_radix(start, 16).ok()?;
    let end = u64::from_str_radix(end, 16).ok()?;
    let inode = words.nth(3)?;
    Some(SmapsEntry { start, end, is_anonymous: inode == "0", ..SmapsEntry::default() })
}

fn parse_field(line: &str, entry: &mut SmapsEntry) {
    if let Some(rest) = line.strip_prefix("Rss:") {
        let kilobytes: u64 =
            rest.trim().strip_suffix("kB").and_then(|n| n.trim().parse().ok()).unwrap_or(0);
        entry.rss_bytes = kilobytes.saturating_mul(1024);
    } else if let Some(flags) = line.strip_prefix("VmFlags:") {
        entry.is_dont_copy = flags.split_ascii_whitespace().any(|flag| flag == "dc");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_with_their_flags() {
        let text = "\
1f00000-1f40000 rw-p 00000000 00:00 0 
Size:                256 kB
Rss:                 200 kB
VmFlags: rd wr mr mw me dc ac sd 
7f00-7f10 r-xp 00000000 08:01 42      /usr/bin/node
Rss:                   4 kB
VmFlags: rd ex mr mw me 
";
        let mut entries = Vec::new();
        for_each_smap(text.as_bytes(), |entry| entries.push(*entry));
        assert_eq!(entries.len(), 2);
        assert!(entries[0].is_dont_copy && entries[0].is_anonymous);
        assert_eq!((entries[0].rss_bytes, entries[0].end), (200 << 10, 0x1f4_0000));
        assert!(!entries[1].is_dont_copy && !entries[1].is_anonymous);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(text in "[0-9a-f: \\-\nRskBVmFlagdc]{0,300}") {
            for_each_smap(text.as_bytes(), |_| {});
        }
    }
}
