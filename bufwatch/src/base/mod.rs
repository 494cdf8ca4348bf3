//! Layer 0: the vocabulary of bufwatch. No I/O, no clock, no threads; nothing here imports the crate.

pub mod addr;
pub mod civil;
pub mod constant;
pub mod fast_map;
pub mod fidelity;
pub mod ids;
pub mod memory;
pub mod sanitize;
pub mod series;
pub mod text;
pub mod units;
pub mod wall_clock;

pub use addr::{Avma, Bias, FileOffset, Svma};
pub use constant::Constant;
pub use fast_map::{FastMap, FastSet};
pub use fidelity::Fidelity;
pub use ids::{AsyncOriginId, ProcessKey, StackId, StoreKey, Tid};
pub use memory::{MemoryError, ReadMemory, ReadPart};
pub use sanitize::sanitize;
pub use series::Series;
pub use units::{Bytes, Nanos};
pub use wall_clock::WallTime;
