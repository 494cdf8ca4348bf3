//! Text of /proc/PID/status and stat → facts (`proc_pid_status(5)`, `proc_pid_stat(5)`).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

/// What bufwatch needs of /proc/PID/status; what the kernel does not print is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Effective user.
    pub uid: Option<u32>,
    /// The pid in each nested pid namespace, from the one /proc was mounted in to the innermost.
    pub ns_pids: Vec<u32>,
    /// Bit set of effective capabilities.
    pub capabilities: Option<u64>,
    /// Pid of the process that traces this one with ptrace.
    pub tracer: Option<u32>,
}

impl Status {
    /// The pid as the process itself sees it.
    pub fn inner_pid(&self) -> Option<u32> {
        self.ns_pids.last().copied()
    }
}

/// Unknown and damaged lines are left out.
pub fn parse_status(text: &str) -> Status {
    let mut status = Status::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let mut numbers = value.split_whitespace();
        match key {
            "Uid" => status.uid = numbers.nth(1).and_then(|field| field.parse().ok()),
            "NSpid" => status.ns_pids = numbers.filter_map(|field| field.parse().ok()).collect(),
            "CapEff" => {
                status.capabilities =
                    numbers.next().and_then(|field| u64::from_str_radix(field, 16).ok());
            }
            "TracerPid" => {
                status.tracer =
                    numbers.next().and_then(|field| field.parse().ok()).filter(|pid| *pid != 0);
            }
            _ => {}
        }
    }
    status
}

/// `PF_EXITING` (include/linux/sched.h): set before a process gives up its memory, and kept until nothing is left of it.
const PF_EXITING: u64 = 0x4;

/// True of a process that is ending or a zombie, by the kernel flags in field 9 of `proc_pid_stat(5)`.
pub fn parse_is_ending(stat: &str) -> Option<bool> {
    parse_field(stat, 9).map(|flags| flags & PF_EXITING != 0)
}

/// Start time in clock ticks since boot, field 22.
pub fn parse_start_ticks(stat: &str) -> Option<u64> {
    parse_field(stat, 22)
}

/// Resident pages, field 24.
pub fn parse_rss_pages(stat: &str) -> Option<u64> {
    parse_field(stat, 24)
}

/// Page faults of all threads, fields 10 (minor) and 12 (major).
pub fn parse_faults(stat: &str) -> Option<u64> {
    Some(parse_field(stat, 10)?.saturating_add(parse_field(stat, 12)?))
}

/// The name in parentheses, field 2, may contain anything.
fn parse_field(stat: &str, number: usize) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_of_a_container_process() {
        let text = "Name:\tnode\nUmask:\t0022\nTracerPid:\t0\nUid:\t1000\t1001\t1000\t1000\n\
                    NSpid:\t11326\t7\t1\nCapEff:\t000001ffffffffff\n";
        let status = parse_status(text);
        assert_eq!(status.uid, Some(1001));
        assert_eq!(status.ns_pids, [11326, 7, 1]);
        assert_eq!(status.inner_pid(), Some(1));
        assert_eq!(status.capabilities, Some(0x1ff_ffff_ffff));
        assert_eq!(status.tracer, None);
    }

    #[test]
    fn start_time_behind_a_hostile_name() {
        let stat = "7 (a) R 1 2) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 11 0 987654 1 2 3";
        assert_eq!(parse_start_ticks(stat), Some(987_654));
        assert_eq!(parse_rss_pages(stat), Some(2));
        assert_eq!(parse_faults(stat), Some(4));
        assert_eq!(parse_start_ticks("7 (node"), None);
        assert_eq!(parse_is_ending("7 (a) Z) (b) R 1 2 3 4 5 4194560 0"), Some(false));
        assert_eq!(parse_is_ending("7 (a) S) (b) R 1 2 3 4 5 4194564 0"), Some(true));
        assert_eq!(parse_is_ending("7 (node"), None);
    }
}
