//! Memory of a live process through `process_vm_readv(2)`: read-only, without stopping it.

use std::io::IoSliceMut;

use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use crate::base::{Avma, MemoryError, ReadMemory};

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
}
