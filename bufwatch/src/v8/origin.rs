//! Where a number about a build of V8 comes from: stated by the binary, following from what it states, or measured on a release near
//! its own. Which numbers there are is `metadata`'s part.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::Constant;

/// The major and minor version of V8, which decide about layouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    pub major: u32,
    pub minor: u32,
}

/// The releases that the tables were measured on, and the Node that has them.
pub const MEASURED: [(Release, &str); 5] = [
    (Release { major: 10, minor: 2 }, "Node 18"),
    (Release { major: 11, minor: 3 }, "Node 20"),
    (Release { major: 12, minor: 4 }, "Node 22"),
    (Release { major: 13, minor: 6 }, "Node 24"),
    (Release { major: 14, minor: 6 }, "Node 26"),
];

/// Numbers that a binary states under a name.
pub trait StatedNumbers {
    /// The number of the first name that the binary has, and that name. Names come without `v8dbg_`; one that ends in `*` stands
    /// for everything that begins so.
    fn stated(&self, names: &[&str]) -> Option<(u32, String)>;
}

/// Where a number is looked for: first in the binary, then in the table of [`MEASURED`] releases.
pub(super) struct Origin {
    names: &'static [&'static str],
    /// Follows from a number that the binary states.
    rule: Option<Rule>,
    table: [Option<u32>; MEASURED.len()],
}

/// From the number of a name to another number, in words as well.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) derive: fn(u32) -> Option<u32>,
    pub(super) text: &'static str,
}

pub(super) const fn stated(names: &'static [&'static str]) -> Origin {
    Origin { names, rule: None, table: [None; MEASURED.len()] }
}

pub(super) const fn derived(rule: Rule, values: [u32; MEASURED.len()]) -> Origin {
    Origin { rule: Some(rule), ..stated_or(&[], values) }
}

pub(super) const fn table(values: [u32; MEASURED.len()]) -> Origin {
    stated_or(&[], values)
}

/// [`ABSENT`] in the table: that release has no such thing.
pub(super) const fn stated_or(
    names: &'static [&'static str],
    values: [u32; MEASURED.len()],
) -> Origin {
    let [v10, v11, v12, v13, v14] = values;
    let table = [some(v10), some(v11), some(v12), some(v13), some(v14)];
    Origin { names, rule: None, table }
}

const fn some(value: u32) -> Option<u32> {
    if value == ABSENT { None } else { Some(value) }
}

pub(super) const ABSENT: u32 = u32::MAX;

impl Origin {
    pub(super) fn resolve(
        &self,
        binary: &impl StatedNumbers,
        release: Option<Release>,
    ) -> Constant<u32> {
        if let Some((value, name)) = binary.stated(self.names) {
            return Constant::Loaded { value, symbol: format!("v8dbg_{name}") };
        }
        if let Some(rule) = self.rule
            && let Some((stated, _)) = binary.stated(&[rule.name])
            && let Some(value) = (rule.derive)(stated)
        {
            return Constant::Derived { value, rule: rule.text.to_owned() };
        }
        let Some(release) = release else {
            return Constant::missing("not stated by the binary, and its V8 version is not known");
        };
        let Some((nearest, value)) = self.nearest(release) else {
            return Constant::missing("V8 of this version has none, or it is not known");
        };
        let of = format!("V8 {}.{}", nearest.major, nearest.minor);
        if nearest == release {
            Constant::table(value, &of)
        } else {
            Constant::table(value, &format!("{of}, the nearest measured one"))
        }
    }

    /// The row of the release itself, else of the nearest one before it, else of the first.
    fn nearest(&self, release: Release) -> Option<(Release, u32)> {
        let at = MEASURED.iter().rposition(|(row, _)| *row <= release).unwrap_or(0);
        let (row, _) = MEASURED.get(at)?;
        Some((*row, (*self.table.get(at)?)?))
    }
}
