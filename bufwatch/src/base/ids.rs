//! Identities: of the target, its threads, stores and stacks.

use serde::{Deserialize, Serialize};

/// A process: a pid alone is reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessKey {
    /// As bufwatch's pid namespace numbers it.
    pub pid: u32,
    /// Start time in clock ticks since boot (`proc_pid_stat(5)`, field 22).
    pub start_ticks: u64,
}

/// A thread id in the initial pid namespace, as the kernel records it.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Tid(pub u32);

/// A backing store for as long as it lives: the address of its `BackingStore` object is reused, its id is not.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct StoreKey {
    pub address: u64,
    pub id: u32,
}

/// Hash over the frames of a stack, computed in the kernel. Zero: no stack was captured.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct StackId(pub u64);

impl StackId {
    pub const NONE: Self = Self(0);
}

/// Hash over how an async resource was created, computed in the kernel. Zero: not known, or there was none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AsyncOriginId(pub u64);

impl AsyncOriginId {
    pub const NONE: Self = Self(0);
}
