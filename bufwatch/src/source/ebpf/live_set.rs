//! Reading the kernel's live map in batches: by single keys, an iteration starts over whenever the key it
//! stands on is deleted, which under churn never ends.
#![expect(
    unsafe_code,
    reason = "aya has no batch look-up; this is the one bpf(2) call made by hand"
)]

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::maps::Map;
use bufwatch_common::{LiveKey, LiveStore};
use nix::libc;

/// `BPF_MAP_LOOKUP_BATCH` of `enum bpf_cmd` (linux/bpf.h).
const BPF_MAP_LOOKUP_BATCH: libc::c_long = 24;

/// Entries a call: large enough that calls do not matter, small enough for any hash bucket and the CPU cache.
const BATCH: usize = 4_096;

/// `struct { ... } batch` of `union bpf_attr` (linux/bpf.h).
#[repr(C)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// Appends all stores of one map. What is created or destroyed meanwhile may or may not be in it.
pub(super) fn read(map: &Map, stores: &mut Vec<(u64, LiveStore)>) -> io::Result<()> {
    let Map::HashMap(map) = map else { return Err(io::ErrorKind::InvalidInput.into()) };
    let mut keys = vec![LiveKey::default(); BATCH];
    let mut values = vec![LiveStore::default(); BATCH];
    let mut position: Option<u32> = None;
    loop {
        let mut next = 0u32;
        let mut attr = BatchAttr {
            in_batch: position.as_ref().map_or(0, |position| std::ptr::from_ref(position) as u64),
            out_batch: &raw mut next as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: BATCH as u32,
            map_fd: map.fd().as_fd().as_raw_fd() as u32,
            elem_flags: 0,
            flags: 0,
        };
        // SAFETY: every pointer in `attr` is to a live buffer of at least `count` entries, or null at first.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                BPF_MAP_LOOKUP_BATCH,
                &raw mut attr,
                size_of::<BatchAttr>(),
            )
        };
        let error = (result < 0).then(io::Error::last_os_error);
        let is_end = error.as_ref().is_some_and(|e| e.raw_os_error() == Some(libc::ENOENT));
        if let Some(error) = error
            && !is_end
        {
            return Err(error);
        }
        let n = (attr.count as usize).min(BATCH);
        let found = keys.iter().zip(&values).take(n);
        stores.extend(found.map(|(key, store)| (key.address, *store)));
        if is_end {
            return Ok(());
        }
        position = Some(next);
    }
}
