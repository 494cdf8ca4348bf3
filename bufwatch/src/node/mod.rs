//! Layer 2: which Node a process runs and where its binary can be probed. Attaches nothing.

pub mod allocator;
pub mod identity;
pub mod plan;
pub mod processes;
pub mod screening;
pub mod survey;

pub use identity::{IdentityError, NodeIdentity, identify};
pub use plan::{ProbePlan, ProbePurpose};
pub use survey::{NodeVersion, V8Version};
