//! Which backend watches a target, and what it can tell of it. Nothing above `source` asks for the backend to decide what to do: it asks for
//! what can be told.

use serde::{Deserialize, Serialize};

/// What produces the events of a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backend {
    /// Probes in the kernel: every store, with the stack that made it.
    #[default]
    Ebpf,
    /// Breakpoints in a program that bufwatch started: every store, with the stack that made it, for a stop at each.
    Breakpoints,
    /// Looks at the V8 heap now and then, for which the process stands still: what is there at such a moment.
    Ptrace,
}

/// What a backend can tell. What it cannot is unknown: null in JSON, `–` on screen, never 0.
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sees {
    /// Every creation and destruction, at the time when it happens. Otherwise what lives between two looks only is not seen, and ages are at
    /// least what is said.
    pub every_store: bool,
    /// The stack that made a store, and so its line.
    pub stacks: bool,
    pub collections: bool,
    /// Stores below the smallest size that is tracked, by their number.
    pub small_stores: bool,
    /// Mappings as they come and go.
    pub mappings: bool,
}

impl Backend {
    pub const ALL: [Self; 3] = [Self::Ebpf, Self::Breakpoints, Self::Ptrace];

    /// As it is typed, and as JSON and recordings spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ebpf => "ebpf",
            Self::Breakpoints => "breakpoints",
            Self::Ptrace => "ptrace",
        }
    }

    pub fn read(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    pub const fn sees(self) -> Sees {
        let all = match self {
            Self::Ebpf | Self::Breakpoints => true,
            Self::Ptrace => false,
        };
        let mappings = matches!(self, Self::Ebpf);
        Sees { every_store: all, stacks: all, collections: all, small_stores: all, mappings }
    }

    /// What is not known with it, in one sentence; `None` if nothing is missing.
    pub const fn loss(self) -> Option<&'static str> {
        match self {
            Self::Ebpf => None,
            Self::Breakpoints => Some(
                "the program is stopped for some tens of microseconds at each creation and death of a store, and ends with bufwatch; \
                 mappings are not followed",
            ),
            Self::Ptrace => Some(
                "stores are seen at censuses only (sampled): what lives between two of them is not counted, ages are lower bounds, \
                 and lines, collections and stores below --min-size are not known",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_read_as_it_is_spelt_and_says_what_it_lacks() {
        for backend in Backend::ALL {
            assert_eq!(Backend::read(backend.name()), Some(backend));
            assert_eq!(backend.loss().is_none(), backend.sees().mappings);
        }
        assert_eq!(Backend::read("gdb"), None);
    }
}
