//! Memory of a live process through `process_vm_readv(2)`: read-only, without stopping it.

use std::io::IoSliceMut;

use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use crate::base::{Avma, MemoryError, ReadMemory, ReadPart};

/// Ranges of one system call (`UIO_MAXIOV`, `process_vm_readv(2)`).
const PARTS_MAX: usize = 1_024;

/// Bytes of one system call; the kernel's own limit is 2 GiB.
const BYTES_MAX: usize = 64 << 20;

/// The memory of the process that has this pid. Who holds it checks that the pid is not reused.
#[derive(Clone, Copy, Debug)]
pub struct ProcessMemory {
    pid: Pid,
}

impl ProcessMemory {
    pub const fn new(pid: u32) -> Self {
        Self { pid: Pid::from_raw(pid as i32) }
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
        let mut rest = parts;
        while !rest.is_empty() {
            let mut n_bytes = 0_usize;
            let fitting = rest.iter().take(PARTS_MAX).take_while(|part| {
                n_bytes = n_bytes.saturating_add(part.out.len());
                n_bytes <= BYTES_MAX
            });
            // A part larger than the limit goes alone.
            let n = fitting.count().max(1);
            let (batch, others) = rest.split_at_mut(n);
            self.read_batch(batch);
            rest = others;
        }
    }
}

impl ProcessMemory {
    /// The kernel reads ranges in order and stops at the first that it cannot read: that one is left out, and the rest is tried again.
    fn read_batch(self, batch: &mut [ReadPart<'_>]) {
        let mut rest = batch;
        while !rest.is_empty() {
            let remote: Vec<RemoteIoVec> = rest
                .iter()
                .map(|part| RemoteIoVec {
                    base: usize::try_from(part.address.0).unwrap_or(0),
                    len: part.out.len(),
                })
                .collect();
            let mut local: Vec<IoSliceMut<'_>> =
                rest.iter_mut().map(|part| IoSliceMut::new(part.out)).collect();
            let mut n_read = match process_vm_readv(self.pid, &mut local, &remote) {
                Ok(n) => n,
                Err(Errno::EFAULT) => 0,
                // Not permitted, or gone: nothing of it can be read.
                Err(_) => return,
            };
            let mut n_done = 0;
            for part in rest.iter_mut() {
                if n_read < part.out.len() {
                    break;
                }
                n_read -= part.out.len();
                part.is_read = true;
                n_done += 1;
            }
            let unreadable = usize::from(n_done < rest.len());
            rest = rest.split_at_mut(n_done + unreadable).1;
        }
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
}
