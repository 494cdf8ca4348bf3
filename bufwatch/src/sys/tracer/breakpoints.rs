//! Breakpoints in the code of a program that is traced: `int3` in place of the first byte of an instruction whose work is done here instead.
//! So no thread ever runs past one while it is away, and nobody needs to step. Only instructions that push a register are taken: with these
//! functions begin.
#![deny(clippy::indexing_slicing)]

use nix::errno::Errno;
use nix::libc::{c_long, c_void, user_regs_struct};
use nix::sys::ptrace;
use nix::unistd::Pid;

use crate::base::FastMap;

/// The one-byte breakpoint.
const INT3: u8 = 0xcc;

/// What is done in place of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Push {
    register: Register,
    len: u64,
}

/// In the order in which x86-64 numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Register {
    Rax,
    Rcx,
    Rdx,
    Rbx,
    Rsp,
    Rbp,
    Rsi,
    Rdi,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
}

const LOW: [Register; 8] = {
    use Register::{Rax, Rbp, Rbx, Rcx, Rdi, Rdx, Rsi, Rsp};
    [Rax, Rcx, Rdx, Rbx, Rsp, Rbp, Rsi, Rdi]
};

const HIGH: [Register; 8] = {
    use Register::{R8, R9, R10, R11, R12, R13, R14, R15};
    [R8, R9, R10, R11, R12, R13, R14, R15]
};

impl Push {
    /// `push r64`: `50+r`, or `41 50+r` for the upper eight.
    fn decode(code: [u8; 8]) -> Option<Self> {
        let at = |byte: u8, of: [Register; 8]| of.get(usize::from(byte & 7)).copied();
        match code {
            [byte @ 0x50..=0x57, ..] => Some(Self { register: at(byte, LOW)?, len: 1 }),
            [0x41, byte @ 0x50..=0x57, ..] => Some(Self { register: at(byte, HIGH)?, len: 2 }),
            _ => None,
        }
    }

    /// The word to be written at the stack pointer that is left behind.
    fn emulate(self, at: u64, all: &mut user_regs_struct) -> u64 {
        let value = match self.register {
            Register::Rax => all.rax,
            Register::Rcx => all.rcx,
            Register::Rdx => all.rdx,
            Register::Rbx => all.rbx,
            Register::Rsp => all.rsp,
            Register::Rbp => all.rbp,
            Register::Rsi => all.rsi,
            Register::Rdi => all.rdi,
            Register::R8 => all.r8,
            Register::R9 => all.r9,
            Register::R10 => all.r10,
            Register::R11 => all.r11,
            Register::R12 => all.r12,
            Register::R13 => all.r13,
            Register::R14 => all.r14,
            Register::R15 => all.r15,
        };
        all.rsp = all.rsp.wrapping_sub(8);
        all.rip = at.wrapping_add(self.len);
        value
    }
}

/// Why a breakpoint could not be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BreakpointError {
    #[error("the instruction at {address:#x} is not one that bufwatch can do the work of ({byte:#04x})")]
    Instruction { address: u64, byte: u8 },
    #[error("the code at {address:#x} could not be changed: {source}")]
    Write { address: u64, source: Errno },
}

#[derive(Clone, Copy, Debug)]
struct Breakpoint {
    /// The number that was given to it.
    n: usize,
    push: Push,
    /// What is there without it.
    byte: u8,
}

/// The breakpoints of one address space.
#[derive(Debug, Default)]
pub(super) struct Breakpoints {
    /// By address; also those that were there, of which a thread may have met one and not been seen yet.
    all: FastMap<u64, Breakpoint>,
    pub(super) are_set: bool,
}

impl Breakpoints {
    /// All threads must stand still, `tid` among them. If one cannot be set, none is.
    pub(super) fn set(&mut self, tid: i32, addresses: &[u64]) -> Result<(), BreakpointError> {
        for (n, address) in addresses.iter().enumerate() {
            if self.all.contains_key(address) {
                continue;
            }
            let code = read(tid, *address)
                .map_err(|source| BreakpointError::Write { address: *address, source })?;
            let [byte, ..] = code;
            let push = Push::decode(code);
            let push =
                push.ok_or(BreakpointError::Instruction { address: *address, byte })?;
            self.all.insert(*address, Breakpoint { n, push, byte });
        }
        self.are_set = true;
        for address in self.addresses() {
            if let Err(source) = write_byte(tid, address, INT3) {
                self.remove(tid);
                self.all.clear();
                return Err(BreakpointError::Write { address, source });
            }
        }
        Ok(())
    }

    /// Writes back what was there, into the address space of `tid`, which stands still.
    pub(super) fn remove(&mut self, tid: i32) {
        if self.are_set {
            self.remove_from_copy(tid);
            self.are_set = false;
        }
    }

    /// The same for a process that has a copy of the memory.
    pub(super) fn remove_from_copy(&self, tid: i32) {
        if !self.are_set {
            return;
        }
        for address in self.addresses() {
            let byte = self.all.get(&address).map(|it| it.byte);
            let written = byte.map(|byte| write_byte(tid, address, byte));
            if let Some(Err(error)) = written {
                tracing::debug!(tid, %error, "a breakpoint stays");
            }
        }
    }

    /// The address space is another one now.
    pub(super) fn forget(&mut self) {
        self.all.clear();
        self.are_set = false;
    }

    /// Which one a thread that was trapped with these registers has met.
    pub(super) fn met(&self, all: &user_regs_struct) -> Option<usize> {
        self.all.get(&all.rip.wrapping_sub(1)).map(|it| it.n)
    }

    /// Lets the thread go on behind the instruction, or to it if the breakpoint is not there any more.
    pub(super) fn pass(&self, tid: i32, all: &mut user_regs_struct) -> Result<(), Errno> {
        let at = all.rip.wrapping_sub(1);
        let Some(breakpoint) = self.all.get(&at) else { return Ok(()) };
        if self.are_set {
            let value = breakpoint.push.emulate(at, all);
            write(tid, all.rsp, value)?;
        } else {
            all.rip = at;
        }
        ptrace::setregs(Pid::from_raw(tid), *all)
    }

    fn addresses(&self) -> Vec<u64> {
        let mut addresses: Vec<u64> = self.all.keys().copied().collect();
        addresses.sort_unstable();
        addresses
    }
}

fn pointer(address: u64) -> *mut c_void {
    std::ptr::without_provenance_mut(address as usize)
}

fn read(tid: i32, address: u64) -> Result<[u8; 8], Errno> {
    ptrace::read(Pid::from_raw(tid), pointer(address)).map(c_long::to_le_bytes)
}

fn write(tid: i32, address: u64, word: u64) -> Result<(), Errno> {
    ptrace::write(Pid::from_raw(tid), pointer(address), word.cast_signed())
}

fn write_byte(tid: i32, address: u64, byte: u8) -> Result<(), Errno> {
    let [_, rest @ ..] = read(tid, address)?;
    let [b, c, d, e, f, g, h] = rest;
    write(tid, address, u64::from_le_bytes([byte, b, c, d, e, f, g, h]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registers() -> user_regs_struct {
        // Every bit pattern is one, and there is no other way to make it.
        let words: [u64; size_of::<user_regs_struct>() / 8] = std::array::from_fn(|n| n as u64);
        let mut all = ptrace_layout(words);
        all.rsp = 0x1000;
        all.rip = 0x5001;
        all
    }

    fn ptrace_layout(words: [u64; 27]) -> user_regs_struct {
        let [r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, ..] = words;
        let [.., orig_rax, rip, cs, eflags, rsp, ss, fs_base, gs_base, ds, es, fs, gs] = words;
        user_regs_struct {
            r15,
            r14,
            r13,
            r12,
            rbp,
            rbx,
            r11,
            r10,
            r9,
            r8,
            rax,
            rcx,
            rdx,
            rsi,
            rdi,
            orig_rax,
            rip,
            cs,
            eflags,
            rsp,
            ss,
            fs_base,
            gs_base,
            ds,
            es,
            fs,
            gs,
        }
    }

    #[test]
    fn a_push_moves_the_stack_and_goes_on_behind_itself() {
        for (code, len, value) in [
            (&[0x55][..], 1, 4),
            (&[0x41, 0x57][..], 2, 0),
            (&[0x53][..], 1, 5),
            // The stack pointer as it was before.
            (&[0x54][..], 1, 0x1000),
        ] {
            let mut bytes = [0x90; 8];
            bytes[..code.len()].copy_from_slice(code);
            let push = Push::decode(bytes).unwrap();
            let mut all = registers();
            assert_eq!(push.emulate(0x5000, &mut all), value, "{code:x?}");
            assert_eq!((all.rsp, all.rip), (0xff8, 0x5000 + len));
        }
    }

    #[test]
    fn what_is_no_push_is_refused() {
        for code in [[0x90; 8], [INT3; 8], [0x48, 0x89, 0xe5, 0, 0, 0, 0, 0], [0x41; 8]] {
            assert_eq!(Push::decode(code), None, "{code:x?}");
        }
    }
}
