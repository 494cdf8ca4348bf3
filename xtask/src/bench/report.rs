//! Puts a table of results into docs/benchmarks.md, between the markers of its section, together with
//! what is needed to judge and repeat it. The text around the markers is written by people.

use std::fs;
use std::io::{self, Write as _};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::workspace::Workspace;
use crate::{clock, process};

/// One section of the document.
#[derive(Debug)]
pub(super) struct Report<'a> {
    /// The name in the markers.
    pub(super) section: &'a str,
    /// The command that repeats the measurement.
    pub(super) command: &'a str,
    pub(super) node: &'a str,
    pub(super) has_bpftrace: bool,
    pub(super) table: &'a str,
}

/// Prints a section, and writes it to the document unless it is only a trial.
pub(super) fn publish(workspace: &Workspace, report: &Report<'_>, writes: bool) -> Result<()> {
    let text = render(workspace, report);
    writeln!(io::stdout().lock(), "{text}").context("print the results")?;
    if !writes {
        return Ok(());
    }
    let path = workspace.root().join("docs/benchmarks.md");
    let document =
        fs::read_to_string(&path).with_context(|| format!("read `{}`", path.display()))?;
    let document = replace_section(&document, report.section, &text).with_context(|| {
        format!("`{}` has no markers for the section `{}`", path.display(), report.section)
    })?;
    fs::write(&path, document).with_context(|| format!("write `{}`", path.display()))?;
    process::say(format_args!("the results are in {}", path.display()));
    Ok(())
}

fn render(workspace: &Workspace, report: &Report<'_>) -> String {
    let git = Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .current_dir(workspace.root())
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default();
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        text.push_str("- ");
        text.push_str(name);
        text.push_str(": ");
        text.push_str(if value.is_empty() { "unknown" } else { value });
        text.push('\n');
    };
    line("command", &format!("`{}`", report.command));
    line("date", &date(clock::unix_seconds()));
    line("bufwatch", &format!("commit {git}"));
    line("Node", report.node);
    if report.has_bpftrace {
        line("bpftrace", &printed(Command::new("bpftrace").arg("--version")));
    }
    line("kernel", &printed(Command::new("uname").args(["-sr"])));
    line("machine", &machine());
    text.push('\n');
    text.push_str(report.table);
    text
}

fn printed(command: &mut Command) -> String {
    process::output(command).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// Model of the processor, number of cores, memory.
fn machine() -> String {
    let value = |path: &str, key: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.split_once(':'))
            .map(|(_, value)| value.trim().to_owned())
            .unwrap_or_default()
    };
    let kib = value("/proc/meminfo", "MemTotal");
    let gib = kib.trim_end_matches(" kB").parse::<f64>().unwrap_or(f64::NAN) / 1_048_576.0;
    let n_cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!("{}, {n_cores} cores, {gib:.0} GiB", value("/proc/cpuinfo", "model name"))
}

/// The document with the text between `<!-- bench:NAME -->` and `<!-- end -->` replaced.
fn replace_section(document: &str, name: &str, text: &str) -> Option<String> {
    let opening = format!("<!-- bench:{name} -->\n");
    let (before, rest) = document.split_once(&opening)?;
    let (_, after) = rest.split_once("<!-- end -->")?;
    Some(format!("{before}{opening}\n{}\n\n<!-- end -->{after}", text.trim_end()))
}

/// The day in UTC, by the usual arithmetic on 400-year cycles that begin on a first of March.
fn date(unix_seconds: u64) -> String {
    let days = unix_seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_section_changes() {
        let document =
            "a\n<!-- bench:x -->\nold\n<!-- end -->\nb\n<!-- bench:y -->\nkept\n<!-- end -->\n";
        let changed = replace_section(document, "x", "new\n").unwrap();
        assert_eq!(
            changed,
            "a\n<!-- bench:x -->\n\nnew\n\n<!-- end -->\nb\n<!-- bench:y -->\nkept\n<!-- end -->\n"
        );
        assert_eq!(replace_section(&changed, "x", "new").as_deref(), Some(changed.as_str()));
        assert_eq!(replace_section(document, "z", ""), None);
    }

    #[test]
    fn dates_match_the_calendar() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400), "2000-02-29");
        assert_eq!(date(1_767_225_599), "2025-12-31");
    }
}
