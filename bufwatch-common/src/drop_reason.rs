//! The numbered reasons for which a program gave up on an event. Numbers are never reused: `bufwatch
//! doctor`, the dashboard's health screen and recordings print them by name.

/// Why a program returned without doing its whole work. Counted per CPU in the map `DROPS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum DropReason {
    /// The ring buffer was full: the record is lost, the live map is still right.
    RingFull = 0,
    /// The live map was full: the store is not tracked at all.
    LiveMapFull = 1,
    /// The `shared_ptr` of a store under creation could not be read.
    SharedPtrUnreadable = 2,
    /// The fields of a `BackingStore` could not be read.
    StoreUnreadable = 3,
    /// Array buffer attached without a store (a detached or empty one): nothing to track.
    StoreNull = 4,
    /// Every scratch buffer of this CPU was in use by preempted programs: recorded without a stack.
    ScratchBusy = 5,
    /// The target's stack could not be read: recorded without a stack.
    StackUnreadable = 6,
    /// A resize returned without its entry having been seen.
    ResizeUnpaired = 7,
    /// A store was destroyed whose creation was not seen: it is older than the attach, or never
    /// belonged to an array buffer.
    DestroyedUnknown = 8,
    /// The probe configuration was missing; nothing can be traced.
    ConfigMissing = 9,
    /// The map of known stacks was full or contended: the stack is sent again next time.
    StackMapFull = 10,
    /// The origin of an async resource goes back further than the limit, or could not be kept.
    AsyncOriginLost = 11,
    /// There was no room for the time of a page fault: the first touch of its store may be told late, or as not seen.
    FaultLost = 12,
}

impl DropReason {
    /// Every reason in the order of its number.
    pub const ALL: [Self; 13] = [
        Self::RingFull,
        Self::LiveMapFull,
        Self::SharedPtrUnreadable,
        Self::StoreUnreadable,
        Self::StoreNull,
        Self::ScratchBusy,
        Self::StackUnreadable,
        Self::ResizeUnpaired,
        Self::DestroyedUnknown,
        Self::ConfigMissing,
        Self::StackMapFull,
        Self::AsyncOriginLost,
        Self::FaultLost,
    ];

    /// Number of reasons, the length of the counter array.
    pub const COUNT: usize = Self::ALL.len();

    /// The number under which the reason is counted.
    #[must_use]
    pub const fn index(self) -> u32 {
        self as u32
    }

    /// Short name for tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RingFull => "ring-full",
            Self::LiveMapFull => "live-map-full",
            Self::SharedPtrUnreadable => "shared-ptr-unreadable",
            Self::StoreUnreadable => "store-unreadable",
            Self::StoreNull => "store-null",
            Self::ScratchBusy => "scratch-busy",
            Self::StackUnreadable => "stack-unreadable",
            Self::ResizeUnpaired => "resize-unpaired",
            Self::DestroyedUnknown => "destroyed-unknown",
            Self::ConfigMissing => "config-missing",
            Self::StackMapFull => "stack-map-full",
            Self::AsyncOriginLost => "async-origin-lost",
            Self::FaultLost => "fault-lost",
        }
    }

    /// What the user loses by it, in one sentence.
    #[must_use]
    pub const fn consequence(self) -> &'static str {
        match self {
            Self::RingFull => "records were lost; the live set was read again from the kernel",
            Self::LiveMapFull => "stores beyond the limit are not tracked",
            Self::SharedPtrUnreadable | Self::StoreUnreadable => "these stores were not seen",
            Self::StoreNull => "nothing: array buffers without memory",
            Self::ScratchBusy | Self::StackUnreadable => "these stores have no allocation site",
            Self::ResizeUnpaired => {
                "a resize was missed; the size is right again at the next event"
            }
            Self::DestroyedUnknown => {
                "nothing: stores from before the attach, or native scratch memory"
            }
            Self::ConfigMissing => "nothing is traced",
            Self::StackMapFull => "stacks are sent more often than needed",
            Self::AsyncOriginLost => "what these async resources allocate may have no async origin",
            Self::FaultLost => "some first touches are told late, or as not seen",
        }
    }

    /// True if stores or their deaths went unseen because of it, so that the live set must be read again.
    #[must_use]
    pub const fn is_loss(self) -> bool {
        matches!(
            self,
            Self::RingFull | Self::LiveMapFull | Self::SharedPtrUnreadable | Self::StoreUnreadable
        )
    }
}
