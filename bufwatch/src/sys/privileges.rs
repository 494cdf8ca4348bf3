//! Giving up capabilities, for good: in every set of the calling thread and of those that it starts from then on. Which ones are still needed
//! is decided above.

use std::str::FromStr as _;

use caps::errors::CapsError;
use caps::{CapSet, CapsHashSet};
use nix::errno::Errno;
use nix::sys::prctl::set_no_new_privs;

use crate::sys::capability::Capability;

/// Why capabilities are kept.
#[derive(Debug, thiserror::Error)]
pub enum GiveUpError {
    #[error("capabilities could not be given up: {0}")]
    Capabilities(#[from] CapsError),
    #[error("`no_new_privs` could not be set: {0}")]
    NewPrivileges(#[from] Errno),
}

/// Keeps what is `wanted` of what this thread has, and returns it. A program that it executes can get nothing either: neither by its file
/// (`no_new_privs`) nor, where this thread may say so, by the bounding set. To be called before other threads are started.
pub fn keep_only(wanted: &[Capability]) -> Result<Vec<&'static str>, GiveUpError> {
    let held = caps::read(None, CapSet::Permitted)?;
    let named = |wanted: &&Capability| caps::Capability::from_str(wanted.name());
    let wanted_set = wanted.iter().map(|it| named(&it)).collect::<Result<CapsHashSet, _>>()?;
    let kept: CapsHashSet = held.intersection(&wanted_set).copied().collect();
    // The bounding set first: changing it needs a capability that goes with the others.
    if caps::read(None, CapSet::Effective)?.contains(&caps::Capability::CAP_SETPCAP) {
        for capability in caps::read(None, CapSet::Bounding)?.difference(&kept) {
            caps::drop(None, CapSet::Bounding, *capability)?;
        }
    }
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)?;
    set_no_new_privs()?;
    let is_kept = |it: &&Capability| named(it).is_ok_and(|it| kept.contains(&it));
    Ok(wanted.iter().filter(is_kept).map(|it| it.name()).collect())
}
