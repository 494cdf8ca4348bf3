//! The live map, in two tiers: preallocated for most targets, allocated on demand beyond. The only module that
//! looks into either.

use aya_ebpf::bindings::BPF_ANY;
use bufwatch_common::{LiveKey, LiveStore};

use crate::emit::add;
use crate::maps::{LIVE, LIVE_MORE, N_LIVE_MORE};

/// The entry of a store, valid until the program ends.
#[inline(always)]
pub fn find(key: &LiveKey) -> Option<*mut LiveStore> {
    if let Some(live) = LIVE.get_ptr_mut(key) {
        return Some(live);
    }
    if has_more() { LIVE_MORE.get_ptr_mut(key) } else { None }
}

/// Enters a store, in place of the one that was at its address; false if there is no room.
#[inline(always)]
pub fn insert(key: &LiveKey, store: &LiveStore) -> bool {
    if LIVE.insert(key, store, u64::from(BPF_ANY)).is_ok() {
        return true;
    }
    if LIVE_MORE.insert(key, store, u64::from(BPF_ANY)).is_err() {
        return false;
    }
    count_more(1);
    true
}

/// Removes a store; false if somebody else did.
#[inline(always)]
pub fn remove(key: &LiveKey) -> bool {
    if LIVE.remove(key).is_ok() {
        return true;
    }
    if !has_more() || LIVE_MORE.remove(key).is_err() {
        return false;
    }
    count_more(u64::MAX);
    true
}

#[inline(always)]
fn has_more() -> bool {
    N_LIVE_MORE.get(0).is_some_and(|n| *n != 0)
}

/// `n` is 1, or −1 as an unsigned number.
#[inline(always)]
fn count_more(n: u64) {
    if let Some(counter) = N_LIVE_MORE.get_ptr_mut(0) {
        add(counter, n);
    }
}
