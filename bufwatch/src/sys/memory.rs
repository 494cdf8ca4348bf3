//! Memory of a live process through `process_vm_readv(2)`: read-only, without stopping it. And how our own memory is laid out for large
//! copies of it.
#![expect(unsafe_code, reason = "advice to the kernel about our own memory is a raw call")]

use std::io::IoSliceMut;
use std::ops::Range;

use nix::errno::Errno;
use nix::libc;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use crate::base::{Avma, MemoryError, ReadMemory, ReadPart};

/// Ranges of one system call (`UIO_MAXIOV`, `process_vm_readv(2)`).
const PARTS_MAX: usize = 1_024;

/// Bytes of one system call; the kernel's own limit is 2 GiB.
const BYTES_MAX: usize = 64 << 20;

/// Of our own page tables.
const PAGE_BYTES: usize = 4096;
const LARGE_PAGE_BYTES: usize = 2 << 20;

/// The memory of the process that has this pid. Who holds it checks that the pid is not reused.
#[derive(Clone, Copy, Debug)]
pub struct ProcessMemory {
    pid: Pid,
}

impl ProcessMemory {
    pub const fn new(pid: u32) -> Self {
        Self { pid: Pid::from_raw(pid as i32) }
    }

    /// Whether it may be read. The kernel checks that before it looks at what is to be read (`process_vm_readv(2)`; ptrace(2), "Ptrace access
    /// mode checking"), which here is nothing (`vm.mmap_min_addr`).
    pub fn check_access(self) -> Result<(), MemoryError> {
        match self.read_u64(Avma(8)) {
            Ok(_) | Err(MemoryError::Unmapped(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The same as long as its mappings do not change: what is not mapped is known without a system call.
    pub const fn standing_still(self, readable: Vec<Range<u64>>) -> StandingMemory {
        StandingMemory { memory: self, readable }
    }
}

impl ReadMemory for ProcessMemory {
    fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
        let len = out.len();
        let Ok(base) = usize::try_from(address.0) else {
            return Err(MemoryError::Unmapped(address));
        };
        let remote = [RemoteIoVec { base, len }];
        match process_vm_readv(self.pid, &mut [IoSliceMut::new(out)], &remote) {
            Ok(n) if n == len => Ok(()),
            Ok(_) | Err(Errno::EFAULT) => Err(MemoryError::Unmapped(address)),
            Err(Errno::EPERM) => Err(MemoryError::Denied),
            Err(_) => Err(MemoryError::Gone),
        }
    }

    fn read_parts(&self, parts: &mut [ReadPart<'_>]) {
        self.read_batches(parts, |_| true);
    }
}

/// The memory of a process that stands still.
#[derive(Clone, Debug)]
pub struct StandingMemory {
    memory: ProcessMemory,
    /// Ascending.
    readable: Vec<Range<u64>>,
}

impl StandingMemory {
    fn is_readable(&self, address: Avma, len: usize) -> bool {
        let Some(end) = address.checked_add(len as u64) else { return false };
        let mut at = address.0;
        let first = self.readable.partition_point(|range| range.end <= at);
        // Neighbours can be parts of one area.
        for range in self.readable.get(first..).unwrap_or_default() {
            if range.start > at {
                return false;
            }
            if range.end >= end.0 {
                return true;
            }
            at = range.end;
        }
        false
    }
}

impl ReadMemory for StandingMemory {
    fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
        if self.is_readable(address, out.len()) {
            self.memory.read(address, out)
        } else {
            Err(MemoryError::Unmapped(address))
        }
    }

    fn read_parts(&self, parts: &mut [ReadPart<'_>]) {
        self.memory.read_batches(parts, |part| self.is_readable(part.address, part.out.len()));
    }
}

impl ProcessMemory {
    /// As few system calls as their limits allow; a part larger than the limit goes alone.
    fn read_batches(self, parts: &mut [ReadPart<'_>], is_wanted: impl Fn(&ReadPart<'_>) -> bool) {
        let mut batch: Vec<&mut ReadPart<'_>> = Vec::with_capacity(PARTS_MAX);
        let mut n_bytes = 0_usize;
        for part in parts.iter_mut().filter(|part| is_wanted(part)) {
            n_bytes = n_bytes.saturating_add(part.out.len());
            if !batch.is_empty() && (batch.len() == PARTS_MAX || n_bytes > BYTES_MAX) {
                self.read_batch(&mut batch);
                batch.clear();
                n_bytes = part.out.len();
            }
            batch.push(part);
        }
        self.read_batch(&mut batch);
    }

    /// The kernel reads ranges in order and stops at the first that it cannot read: that one is left out, and the rest is tried again.
    fn read_batch(self, batch: &mut [&mut ReadPart<'_>]) {
        let base = |address: Avma| usize::try_from(address.0).unwrap_or(0);
        let remote: Vec<RemoteIoVec> = batch
            .iter()
            .map(|part| RemoteIoVec { base: base(part.address), len: part.out.len() })
            .collect();
        let mut are_read = vec![false; batch.len()];
        let mut local: Vec<IoSliceMut<'_>> =
            batch.iter_mut().map(|part| IoSliceMut::new(part.out)).collect();
        let mut at = 0;
        while at < local.len() {
            let mut n_read = match process_vm_readv(self.pid, &mut local[at..], &remote[at..]) {
                Ok(n) => n,
                Err(Errno::EFAULT) => 0,
                // Not permitted, or gone: nothing of it can be read.
                Err(_) => break,
            };
            while let Some(part) = remote.get(at).filter(|part| part.len <= n_read) {
                n_read -= part.len;
                are_read[at] = true;
                at += 1;
            }
            // The one that could not be read.
            at += 1;
        }
        for (part, is_read) in batch.iter_mut().zip(are_read) {
            part.is_read = is_read;
        }
    }
}

/// Asks the kernel for large pages behind an array that is not yet used (`MADV_HUGEPAGE`, madvise(2)): fewer faults, and fewer accesses
/// to page tables. Where there are none, nothing changes.
pub fn prefer_large_pages(array: &mut [u8]) {
    let range = array.as_mut_ptr_range();
    let start = (range.start as usize).next_multiple_of(PAGE_BYTES);
    let end = range.end as usize / PAGE_BYTES * PAGE_BYTES;
    let Some(len) = end.checked_sub(start).filter(|len| *len >= LARGE_PAGE_BYTES) else { return };
    let at = std::ptr::with_exposed_provenance_mut(start);
    // SAFETY: the range is inside of `array`, and this advice changes no byte of it.
    if unsafe { libc::madvise(at, len, libc::MADV_HUGEPAGE) } != 0 {
        tracing::debug!(error = %Errno::last(), len, "no large pages");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_memory_reads_and_null_does_not() {
        let memory = ProcessMemory::new(std::process::id());
        let word = 0x0123_4567_89ab_cdefu64;
        assert_eq!(memory.read_u64(Avma(&raw const word as u64)), Ok(word));
        assert_eq!(memory.read_u64(Avma(0)), Err(MemoryError::Unmapped(Avma(0))));
    }

    #[test]
    fn a_range_that_cannot_be_read_does_not_keep_others_from_it() {
        let memory = ProcessMemory::new(std::process::id());
        let words: Vec<u64> = (0..3_000).collect();
        let mut out = vec![[0_u8; 8]; words.len()];
        let address =
            |n: usize| if n % 700 == 5 { Avma(0) } else { Avma(&raw const words[n] as u64) };
        let mut parts: Vec<ReadPart<'_>> = out
            .iter_mut()
            .enumerate()
            .map(|(n, out)| ReadPart::new(address(n), out.as_mut_slice()))
            .collect();
        memory.read_parts(&mut parts);
        for (n, part) in parts.iter().enumerate() {
            assert_eq!(part.is_read, n % 700 != 5, "{n}");
        }
        drop(parts);
        assert_eq!(u64::from_le_bytes(out[2_999]), 2_999);
    }

    #[test]
    fn what_is_not_mapped_is_not_asked_for() {
        let memory = ProcessMemory::new(std::process::id());
        let words = [1_u64, 2, 3, 4];
        let at = |n: usize| &raw const words[n] as u64;
        let standing = memory.standing_still(vec![at(0)..at(1), at(1)..at(2), at(3)..at(3) + 8]);
        let mut out = [0; 8];
        assert_eq!(standing.read(Avma(at(1)), &mut out), Ok(()));
        assert_eq!(u64::from_le_bytes(out), 2);
        // Over two neighbours, over a hole, behind the end, and over the end of the address space.
        assert_eq!(standing.read(Avma(at(0)), &mut [0; 16]), Ok(()));
        for (address, len) in [(at(1), 16), (at(2), 8), (at(3), 16), (at(3) + 8, 1), (u64::MAX, 2)]
        {
            let result = standing.read(Avma(address), &mut vec![0; len]);
            assert_eq!(result, Err(MemoryError::Unmapped(Avma(address))));
        }
        let mut outs = [[0; 8]; 3];
        let addresses = [at(0), at(2), at(3)];
        let parts = addresses.into_iter().zip(&mut outs);
        let mut parts: Vec<_> = parts.map(|(at, out)| ReadPart::new(Avma(at), out)).collect();
        standing.read_parts(&mut parts);
        assert_eq!([true, false, true], [0, 1, 2].map(|n: usize| parts[n].is_read));
    }

    #[test]
    fn advice_changes_nothing() {
        let mut array: Vec<u8> = (0..=255).cycle().take(5 << 20).collect();
        let before = array.clone();
        prefer_large_pages(&mut array[3..]);
        prefer_large_pages(&mut []);
        assert_eq!(array, before);
    }
}
