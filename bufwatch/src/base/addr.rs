//! Addresses that cannot be mixed up: in the process, as stated in the file, and positions in the file.

use std::fmt;

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            pub fn checked_add(self, n_bytes: u64) -> Option<Self> {
                self.0.checked_add(n_bytes).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
    };
}

address! {
    /// Actual virtual memory address: in the running process.
    Avma
}
address! {
    /// Stated virtual memory address: as the ELF file gives it.
    Svma
}
address! {
    /// Position in the file; what the kernel takes for a uprobe.
    FileOffset
}

/// AVMA − SVMA of one mapped image; zero for a position-dependent executable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bias(pub u64);

impl Bias {
    pub fn to_avma(self, svma: Svma) -> Avma {
        Avma(svma.0.wrapping_add(self.0))
    }

    pub fn to_svma(self, avma: Avma) -> Svma {
        Svma(avma.0.wrapping_sub(self.0))
    }
}
