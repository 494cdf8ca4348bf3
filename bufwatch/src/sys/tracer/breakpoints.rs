//! Breakpoints in the code of a program that is traced: `int3` in place of the first byte of an instruction whose work is done here instead.
//! So no thread ever runs past one while it is away, and nobody needs to step. Only instructions that push a register are taken, and the mark
//! of a branch target: with these functions begin.
#![deny(clippy::indexing_slicing)]

use nix::errno::Errno;
use nix::libc::{c_long, c_void, user_regs_struct};
use nix::sys::ptrace;
use nix::unistd::Pid;

use crate::base::FastMap;

/// The one-byte breakpoint.
const INT3: u8 = 0xcc;

/// What `-fcf-protection` puts first (`endbr64`). Where indirect branches are not checked it does nothing, and Linux checks none in programs.
const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];

/// What is done in place of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    /// Which register it pushes, if it does anything.
    pushed: Option<Register>,
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

impl Instruction {
    /// `push r64`: `50+r`, or `41 50+r` for the upper eight.
    fn decode(code: [u8; 8]) -> Option<Self> {
        let push = |byte: u8, of: [Register; 8], len| {
            Some(Self { pushed: Some(of.get(usize::from(byte & 7)).copied()?), len })
        };
        match code {
            [byte @ 0x50..=0x57, ..] => push(byte, LOW, 1),
            [0x41, byte @ 0x50..=0x57, ..] => push(byte, HIGH, 2),
            _ if code.starts_with(&ENDBR64) => Some(Self { pushed: None, len: 4 }),
            _ => None,
        }
    }

    /// The word to be written at the stack pointer that is left behind, if it pushes one.
    fn emulate(self, at: u64, all: &mut user_regs_struct) -> Option<u64> {
        all.rip = at.wrapping_add(self.len);
        let value = match self.pushed? {
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
        Some(value)
    }
}

/// Why breakpoints could not be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BreakpointError {
    #[error(
        "the instruction at {address:#x} is not one that bufwatch can do the work of ({byte:#04x})"
    )]
    Instruction { address: u64, byte: u8 },
    #[error("the code at {address:#x} could not be changed: {source}")]
    Write { address: u64, source: Errno },
    #[error("there are breakpoints already")]
    Again,
}

#[derive(Clone, Copy, Debug)]
struct Breakpoint {
    /// The number that was given to it.
    n: usize,
    instruction: Instruction,
    /// What is there without it.
    byte: u8,
}

/// The breakpoints of one address space.
#[derive(Debug, Default)]
pub(super) struct Breakpoints {
    /// By address. They are kept when they are removed: a thread may have met one and not been seen yet.
    all: FastMap<u64, Breakpoint>,
    are_set: bool,
    /// Of the program before, with the byte that belongs there: a process that it forked may not have been seen yet.
    former: Vec<(u64, u8)>,
}

impl Breakpoints {
    /// All threads must stand still, `tid` among them. If one cannot be set, none is. Once for a program.
    pub(super) fn set(&mut self, tid: i32, addresses: &[u64]) -> Result<(), BreakpointError> {
        if !self.all.is_empty() {
            return Err(BreakpointError::Again);
        }
        let mut all = FastMap::default();
        for (n, address) in addresses.iter().enumerate() {
            let code = read(tid, *address)
                .map_err(|source| BreakpointError::Write { address: *address, source })?;
            let [byte, ..] = code;
            let instruction = Instruction::decode(code)
                .ok_or(BreakpointError::Instruction { address: *address, byte })?;
            all.entry(*address).or_insert(Breakpoint { n, instruction, byte });
        }
        self.all = all;
        self.are_set = true;
        for address in addresses {
            if let Err(source) = write_byte(tid, *address, INT3) {
                self.remove(tid);
                return Err(BreakpointError::Write { address: *address, source });
            }
        }
        Ok(())
    }

    /// Writes back what was there, into the address space of `tid`, which stands still.
    pub(super) fn remove(&mut self, tid: i32) {
        if self.are_set {
            restore(tid, &self.bytes());
            self.are_set = false;
        }
    }

    /// The same for a process that was forked, and has a copy of the memory as it was at some time before.
    pub(super) fn remove_from_copy(&self, tid: i32) {
        restore(tid, &self.bytes());
        // Its memory may be that of the program before; only there all of them are found.
        let is_set =
            |(address, _): &(u64, u8)| read(tid, *address).is_ok_and(|it| it.starts_with(&[INT3]));
        if self.former.iter().all(is_set) {
            restore(tid, &self.former);
        }
    }

    /// The address space is another one now.
    pub(super) fn execed(&mut self) {
        self.former = self.bytes();
        self.all.clear();
        self.are_set = false;
    }

    pub(super) const fn are_set(&self) -> bool {
        self.are_set
    }

    /// Which one a thread that was trapped with these registers has met.
    pub(super) fn met(&self, all: &user_regs_struct) -> Option<usize> {
        self.all.get(&all.rip.wrapping_sub(1)).map(|it| it.n)
    }

    /// Lets the thread go on behind the instruction, or to it if the breakpoint is not there any more.
    pub(super) fn pass(&self, tid: i32, met: &user_regs_struct) -> Result<(), Errno> {
        let mut all = *met;
        let at = met.rip.wrapping_sub(1);
        let Some(breakpoint) = self.all.get(&at) else { return Ok(()) };
        if !self.are_set {
            all.rip = at;
        } else if let Some(value) = breakpoint.instruction.emulate(at, &mut all)
            && let Err(error) = write(tid, all.rsp, value)
        {
            // There is no room on its stack, or it was killed. The processor does to it what is due then.
            tracing::debug!(tid, %error, "a breakpoint is given up");
            restore(tid, &[(at, breakpoint.byte)]);
            all = user_regs_struct { rip: at, ..*met };
        }
        ptrace::setregs(Pid::from_raw(tid), all)
    }

    /// What belongs where.
    fn bytes(&self) -> Vec<(u64, u8)> {
        let mut bytes: Vec<(u64, u8)> =
            self.all.iter().map(|(address, it)| (*address, it.byte)).collect();
        bytes.sort_unstable();
        bytes
    }
}

/// Writes bytes where breakpoints are.
fn restore(tid: i32, bytes: &[(u64, u8)]) {
    for (address, byte) in bytes {
        let restored = match read(tid, *address) {
            Ok([INT3, ..]) => write_byte(tid, *address, *byte),
            other => other.map(drop),
        };
        if let Err(error) = restored {
            tracing::debug!(tid, %error, "a breakpoint stays");
        }
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
    let mut code = read(tid, address)?;
    let [first, ..] = &mut code;
    *first = byte;
    write(tid, address, u64::from_le_bytes(code))
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
    fn an_instruction_is_done_and_left_behind() {
        for (code, len, value) in [
            (&[0x55][..], 1, Some(4)),
            (&[0x41, 0x57][..], 2, Some(0)),
            (&[0x53][..], 1, Some(5)),
            // The stack pointer as it was before.
            (&[0x54][..], 1, Some(0x1000)),
            (&ENDBR64, 4, None),
        ] {
            let mut bytes = [0x90; 8];
            bytes[..code.len()].copy_from_slice(code);
            let instruction = Instruction::decode(bytes).unwrap();
            let mut all = registers();
            assert_eq!(instruction.emulate(0x5000, &mut all), value, "{code:x?}");
            let rsp = if value.is_some() { 0xff8 } else { 0x1000 };
            assert_eq!((all.rsp, all.rip), (rsp, 0x5000 + len));
        }
    }

    #[test]
    fn any_other_instruction_is_refused() {
        for code in [[0x90; 8], [INT3; 8], [0x48, 0x89, 0xe5, 0, 0, 0, 0, 0], [0x41; 8]] {
            assert_eq!(Instruction::decode(code), None, "{code:x?}");
        }
    }
}
