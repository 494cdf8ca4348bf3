//! The named bounds of the model. Reaching one is counted where it happens and shown in health.

/// Distinct sites; further ones are added up in "other sites". With their groups at about 1 KB each: 20 MB.
pub const SITES_MAX: usize = 20_000;

/// Stacks whose site is remembered; further ones count as "other sites". At about 24 bytes each.
pub const STACKS_MAX: usize = 200_000;

/// Distinct stacks that created async resources; what others create has no async origin. At 2 to 4 KB each.
pub const ASYNC_STACKS_MAX: usize = 10_000;

/// Distinct origins of async resources, as above. At about 32 bytes each.
pub const ASYNC_ORIGINS_MAX: usize = 100_000;

/// Recent collections kept as marks on the time axis.
pub const GC_MARKS_MAX: usize = 1_024;

/// Points of a curve; beyond, its step doubles. Enough for the widest terminal.
pub const SERIES_POINTS_MAX: usize = 600;

/// Mappings of the address space; the kernel's own default limit is 65,530 (`vm.max_map_count`).
pub const MAPPINGS_MAX: usize = 200_000;

/// Stores remembered that die while a census is analysed; further ones are parents without a site.
pub const DIED_MEANWHILE_MAX: usize = 100_000;

/// Stores without array buffer that a census remembers: the largest. Garbage of a busy process is some thousands.
pub const ORPHANS_MAX: usize = 10_000;

/// Ranges of dead stores' memory that are remembered; further ones are not attributed to a site.
pub const FREED_RANGES_MAX: usize = 10_000;

/// Ranges that the target gave back with madvise between two scans; further ones are not remembered.
pub const ADVISED_MAX: usize = 4_096;

/// Splits of RSS of the last minute, at 300 bytes each.
pub const WINDOW_SPLITS_MAX: usize = 64;

/// Samples of the last minute.
pub const WINDOW_SAMPLES_MAX: usize = 256;

/// Lines whose survivors are followed.
pub const SURVIVOR_GROUPS_MAX: usize = 1_000;

/// Points of each; every second one goes when there are more.
pub const SURVIVOR_POINTS_MAX: usize = 64;

/// Steps of RSS that are remembered, the newest ones.
pub const RSS_STEPS_MAX: usize = 64;

/// Causes of one step; the rest is added up.
pub const STEP_CAUSES_MAX: usize = 8;
