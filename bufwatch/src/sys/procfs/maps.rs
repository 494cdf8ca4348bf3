//! Text of /proc/PID/maps → entries (`proc_pid_maps(5)`). What a mapping is for is not decided here.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

/// One mapping.
#[expect(clippy::struct_excessive_bools, reason = "the kernel prints four letters")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapEntry {
    pub start: u64,
    /// Exclusive.
    pub end: u64,
    pub is_readable: bool,
    pub is_writable: bool,
    pub is_executable: bool,
    pub is_shared: bool,
    /// Offset in the file.
    pub offset: u64,
    /// Major and minor number.
    pub device: (u32, u32),
    /// Zero for anonymous memory.
    pub inode: u64,
    /// As the kernel prints it: empty, `[heap]`, or a path of the process's mount namespace, with
    /// ` (deleted)` behind it when that is so.
    pub path: String,
}

impl MapEntry {
    /// Last component of the path, without the mark of a deleted file.
    pub fn file_name(&self) -> &str {
        let path = self.path.strip_suffix(" (deleted)").unwrap_or(&self.path);
        path.rsplit('/').next().unwrap_or_default()
    }

    /// Shows the same file as `other`.
    pub fn is_same_file(&self, other: &Self) -> bool {
        self.inode != 0 && self.inode == other.inode && self.device == other.device
    }
}

/// Lines that do not have the form of a mapping are left out.
pub fn parse_maps(text: &str) -> Vec<MapEntry> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<MapEntry> {
    let (range, rest) = line.split_once(' ')?;
    let (permissions, rest) = rest.split_once(' ')?;
    let (offset, rest) = rest.split_once(' ')?;
    let (device, rest) = rest.split_once(' ')?;
    // The path may contain blanks; everything after the inode's padding belongs to it.
    let (inode, path) = rest.split_once(' ').unwrap_or((rest, ""));
    let hex = |text| u64::from_str_radix(text, 16).ok();
    let (start, end) = range.split_once('-')?;
    let (major, minor) = device.split_once(':')?;
    let flags = permissions.as_bytes();
    let has = |at: usize, letter: u8| flags.get(at) == Some(&letter);
    let entry = MapEntry {
        start: hex(start)?,
        end: hex(end)?,
        is_readable: has(0, b'r'),
        is_writable: has(1, b'w'),
        is_executable: has(2, b'x'),
        is_shared: has(3, b's'),
        offset: hex(offset)?,
        device: (u32::try_from(hex(major)?).ok()?, u32::try_from(hex(minor)?).ok()?),
        inode: inode.parse().ok()?,
        path: path.trim_start_matches(' ').to_owned(),
    };
    (entry.start < entry.end).then_some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shapes_of_a_line() {
        let text = "\
00400000-00b6f000 r--p 00000000 08:01 1234                               /opt/my node/bin/node
7f0000000000-7f0000021000 rw-p 00000000 00:00 0 
02a5c000-02b9d000 rw-p 00000000 00:00 0                                  [heap]
7fff00000000-7fff00001000 r-xs 0000a000 fd:00 99                         /tmp/libnode.so.127 (deleted)
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
";
        let maps = parse_maps(text);
        assert_eq!(maps.len(), 5);
        assert_eq!(maps[0].path, "/opt/my node/bin/node");
        assert_eq!((maps[0].device, maps[0].inode), ((8, 1), 1234));
        assert_eq!(maps[1].path, "");
        assert!(maps[1].is_writable && !maps[1].is_executable);
        assert_eq!(maps[3].file_name(), "libnode.so.127");
        assert!(maps[3].is_shared && maps[3].is_executable);
        assert_eq!(maps[3].offset, 0xa000);
        assert_eq!(maps[4].start, 0xffff_ffff_ff60_0000);
    }

    #[test]
    fn nonsense_is_left_out() {
        for line in ["", "x", "1-2", "2-1 r--p 0 0:0 0", "zz-zz r--p 0 0:0 0 /x", "1-2 r--p 0 00 0"]
        {
            assert_eq!(parse_maps(line), [], "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(text in "[0-9a-f:/ rwxp\\-\n]{0,200}") {
            let _maps = parse_maps(&text);
        }
    }
}
