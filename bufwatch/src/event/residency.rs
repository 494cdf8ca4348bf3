//! What is in memory: of single stores, and of the whole process by what it is for. Data only; it is measured by `source::residency`.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::base::{Bytes, Nanos, StoreKey};

/// Stores of the target at one moment.
#[derive(Clone, Debug, Default)]
pub struct ResidencyScanned {
    /// Pages were looked at between this and the event's time.
    pub started_at: Nanos,
    /// Processor time that it took.
    pub cpu: Nanos,
    /// The whole process was looked at, not only stores where something was expected.
    pub is_full: bool,
    pub stores: Arc<[StoreResidency]>,
    /// Memory of dead stores that was asked for.
    pub freed: Arc<[RangeResidency]>,
    /// The whole process, if it was looked at as well.
    pub split: Option<Box<RssSplit>>,
    /// The one store whose pages were asked for one by one.
    pub map: Option<Arc<StoreMap>>,
}

/// Where each page of one store is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreMap {
    pub key: StoreKey,
    /// Where its bytes were looked for: a store may move.
    pub start: u64,
    pub len: Bytes,
    /// Ascending, without overlaps; what is in none was never touched, or given back.
    pub runs: Vec<MapRun>,
    /// Up to here it was looked at: less than `len` if there are too many runs.
    pub known: Bytes,
}

/// Neighbouring bytes of a store whose pages are in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapRun {
    /// From the start of the store.
    pub offset: u64,
    pub len: u64,
    pub place: PagePlace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PagePlace {
    InRam,
    /// Read but never written.
    Zero,
    Swapped,
}

/// The pages of one store. A page that it shares with others counts as far as it is the store's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreResidency {
    pub key: StoreKey,
    /// Where its bytes were looked for: a store may move.
    pub start: u64,
    pub len: Bytes,
    pub pages: PageBytes,
}

/// When a store was first written to, by page faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirstTouch {
    /// Nobody has asked: page faults are not followed, or no page was seen to be written to.
    #[default]
    Unknown,
    /// It was written to without a fault since its birth: its memory was there before (given out again, filled by native code before it
    /// became an array buffer, in a neighbour's huge page), or came in another way (`MAP_POPULATE`, `O_DIRECT`, `io_uring`).
    Unseen,
    At {
        at: Nanos,
        /// By the kernel for the program, as in read(2).
        is_in_kernel: bool,
    },
}

/// What page faults say of one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreTouch {
    pub key: StoreKey,
    /// Where its bytes were then.
    pub start: u64,
    pub touch: FirstTouch,
}

/// How much of a range is in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RangeResidency {
    pub start: u64,
    /// Exclusive.
    pub end: u64,
    pub resident: Bytes,
}

/// Bytes of a range by where they are; what is nowhere was never touched, or given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageBytes {
    /// In memory, huge pages included.
    pub resident: Bytes,
    /// Read but never written: the kernel's one page of zeros, not counted in RSS.
    pub zero: Bytes,
    pub swapped: Bytes,
    /// Of `resident`, in transparent huge pages.
    pub huge: Bytes,
}

impl PageBytes {
    /// Written at some time and not given back: what the range costs.
    pub fn held(&self) -> Bytes {
        self.resident + self.swapped
    }
}

/// What resident memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RssPart {
    /// Live stores with a mapping of their own.
    StoresMapped,
    /// Live stores inside the allocator's memory.
    StoresInAllocator,
    /// Memory of the allocator that nobody has: freed, and kept.
    AllocatorFree,
    /// The rest of the allocator's memory: what native code has, its headers, what could not be told apart.
    AllocatorOther,
    V8Young,
    V8Old,
    V8Code,
    V8Large,
    /// V8's own, but no page of its heap: tables, reserved ranges, what was not recognised.
    V8Other,
    /// WebAssembly memories and resizable buffers.
    Growable,
    Stacks,
    /// The executable and libraries.
    Binaries,
    /// Other files.
    Files,
    Shared,
    /// Anonymous memory that is none of these.
    Other,
}

impl RssPart {
    pub const COUNT: usize = 15;

    pub const ALL: [Self; Self::COUNT] = [
        Self::StoresMapped,
        Self::StoresInAllocator,
        Self::AllocatorFree,
        Self::AllocatorOther,
        Self::V8Young,
        Self::V8Old,
        Self::V8Code,
        Self::V8Large,
        Self::V8Other,
        Self::Growable,
        Self::Stacks,
        Self::Binaries,
        Self::Files,
        Self::Shared,
        Self::Other,
    ];

    pub const fn is_v8(self) -> bool {
        matches!(self, Self::V8Young | Self::V8Old | Self::V8Code | Self::V8Large | Self::V8Other)
    }

    /// Memory of live stores.
    pub const fn is_of_stores(self) -> bool {
        matches!(self, Self::StoresMapped | Self::StoresInAllocator | Self::Growable)
    }

    /// As scripts spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StoresMapped => "stores_mapped",
            Self::StoresInAllocator => "stores_in_allocator",
            Self::AllocatorFree => "allocator_free",
            Self::AllocatorOther => "allocator_other",
            Self::V8Young => "v8_young",
            Self::V8Old => "v8_old",
            Self::V8Code => "v8_code",
            Self::V8Large => "v8_large",
            Self::V8Other => "v8_other",
            Self::Growable => "growable",
            Self::Stacks => "stacks",
            Self::Binaries => "binaries",
            Self::Files => "files",
            Self::Shared => "shared",
            Self::Other => "other",
        }
    }

    /// For people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::StoresMapped => "live stores, own mappings",
            Self::StoresInAllocator => "live stores, in malloc",
            Self::AllocatorFree => "freed, kept by malloc",
            Self::AllocatorOther => "malloc, other",
            Self::V8Young => "V8 heap, young",
            Self::V8Old => "V8 heap, old",
            Self::V8Code => "V8 heap, code",
            Self::V8Large => "V8 heap, large objects",
            Self::V8Other => "V8, other",
            Self::Growable => "wasm and resizable",
            Self::Stacks => "thread stacks",
            Self::Binaries => "executable and libraries",
            Self::Files => "mapped files",
            Self::Shared => "shared memory",
            Self::Other => "other anonymous memory",
        }
    }
}

/// Who gives memory to native code, Buffers included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Allocator {
    Glibc,
    Jemalloc,
    Mimalloc,
    Tcmalloc,
    /// None that bufwatch knows.
    Other,
}

impl Allocator {
    /// As scripts spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Glibc => "glibc",
            Self::Jemalloc => "jemalloc",
            Self::Mimalloc => "mimalloc",
            Self::Tcmalloc => "tcmalloc",
            Self::Other => "other",
        }
    }
}

/// Why memory of the allocator could not be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Obstacle {
    /// Not glibc's.
    OtherAllocator,
    /// It changed faster than it could be read.
    Changing,
    /// A limit of the survey was reached.
    TooLarge,
    /// Part of it is in swap space, and reading would bring it in.
    Swapped,
    /// Not laid out in a way that bufwatch knows.
    UnknownForm,
}

impl Obstacle {
    /// As scripts spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OtherAllocator => "other-allocator",
            Self::Changing => "changing",
            Self::TooLarge => "too-large",
            Self::Swapped => "swapped",
            Self::UnknownForm => "unknown-form",
        }
    }
}

/// What the allocator's own records say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocatorSurvey {
    /// `None` if it could not be found out.
    pub allocator: Option<Allocator>,
    /// Why not all of its memory is known; the numbers are then those of the known part.
    pub obstacle: Option<Obstacle>,
    pub n_arenas: u32,
    /// Of these, not known.
    pub n_arenas_unknown: u32,
    /// Of the known arenas, free ones included.
    pub n_chunks: u64,
    pub n_free: u64,
    /// Of free chunks, resident or not. What is resident of them in whole pages is [`RssPart::AllocatorFree`].
    pub free: Bytes,
    /// Of `free`, at the ends of heaps, from where only trimming gives it back.
    pub free_at_end: Bytes,
    /// Of `free`, in arenas of threads other than the first.
    pub free_in_threads: Bytes,
    /// By what malloc decides; `None` if they were not found.
    pub thresholds: Option<MallocThresholds>,
    /// Blocks with a mapping of their own that are no traced store: made before bufwatch came, or not for a Buffer. `None` if they were
    /// not all found.
    pub untraced_mapped: Option<UntracedMapped>,
    pub took: Nanos,
}

/// What glibc decides by, as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MallocThresholds {
    /// Blocks of this size and above get a mapping of their own, which goes back to the kernel when they are freed. Rises to the size of
    /// the largest such block that was freed, up to 32 MiB, unless it is fixed.
    pub mmap: Bytes,
    /// More free memory than this at the end of a heap is given back. Twice the other, unless it is fixed.
    pub trim: Bytes,
    /// Set by the environment or the program: they stay as they are.
    pub is_fixed: bool,
}

/// Large blocks of the allocator that are no traced stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UntracedMapped {
    pub n: u64,
    /// In whole pages.
    pub bytes: Bytes,
    pub resident: Bytes,
}

/// RSS by what it is for, all parts of one pass over the page tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RssSplit {
    /// Indexed by [`RssPart`].
    pub parts: [Bytes; RssPart::COUNT],
    /// What the kernel counts: the middle of what it was right before and right after the pass. A busy target changes meanwhile.
    pub rss: Bytes,
    pub swapped: Bytes,
    /// Mapped but nowhere: reserved, or not touched yet.
    pub untouched: Bytes,
    /// The allocator's free memory was told apart from what is in use, in all of its arenas.
    pub is_allocator_known: bool,
    pub survey: AllocatorSurvey,
}

impl RssSplit {
    pub fn get(&self, part: RssPart) -> Bytes {
        self.parts.get(part as usize).copied().unwrap_or_default()
    }

    pub fn add(&mut self, part: RssPart, bytes: Bytes) {
        if let Some(sum) = self.parts.get_mut(part as usize) {
            *sum += bytes;
        }
    }

    /// Bytes that turn out to be for something else; no more than there are.
    pub fn transfer(&mut self, from: RssPart, to: RssPart, bytes: Bytes) {
        let bytes = bytes.min(self.get(from));
        if let Some(sum) = self.parts.get_mut(from as usize) {
            *sum = sum.saturating_sub(bytes);
        }
        self.add(to, bytes);
    }

    /// All that V8 has: the resident part of its heap.
    pub fn v8(&self) -> Bytes {
        RssPart::ALL.into_iter().filter(|part| part.is_v8()).map(|part| self.get(part)).sum()
    }

    pub fn total(&self) -> Bytes {
        self.parts.iter().copied().sum()
    }

    /// What the parts do not explain, negative if they are more than RSS.
    pub fn unexplained(&self) -> i64 {
        self.rss.0.cast_signed().wrapping_sub(self.total().0.cast_signed())
    }
}
