//! Chooses the instruction a probe is put on. The instruction decides the cost: the kernel emulates a few
//! (about 0.75 µs a hit), single-steps most (about 10 µs) and refuses some (ENOTSUPP); see
//! `arch_uprobe_analyze_insn` in the kernel's arch/x86/kernel/uprobes.c. Knows code, no symbols.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use iced_x86::{
    Decoder, DecoderOptions, FastFormatter, FlowControl, Instruction, InstructionInfoFactory,
    Mnemonic, OpAccess, OpKind, Register,
};

/// What a hit costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cost {
    /// One trap; the kernel does the instruction's work.
    Emulated,
    /// Two traps: the instruction runs out of line.
    SingleStepped,
}

/// Where to put a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Bytes from the function's entry.
    pub offset: u64,
    pub cost: Cost,
    /// The instruction, disassembled.
    pub text: String,
}

/// Why there is no point.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointIssue {
    #[error("its code is not in the file")]
    NoCode,
    #[error("the kernel refuses probes on its first instruction `{0}`")]
    Refused(String),
    #[error("it makes no system call {0} that its code shows")]
    NoSyscall(u32),
    #[error(
        "no conditional jump follows its system call before an argument or the result is overwritten"
    )]
    NoJump,
}

/// How far from the entry a cheaper instruction is looked for.
const INSTRUCTIONS_MAX: usize = 16;

/// What must be at the probe as it was at the entry: integer arguments, and what the stack walk starts from.
const ENTRY_REGISTERS: [Register; 8] = [
    Register::RDI,
    Register::RSI,
    Register::RDX,
    Register::RCX,
    Register::R8,
    Register::R9,
    Register::RSP,
    Register::RBP,
];

/// Arguments of a system call, which the kernel preserves: it changes but rax, the result, rcx and r11.
const SYSCALL_ARGUMENTS: [Register; 6] =
    [Register::RDI, Register::RSI, Register::RDX, Register::R10, Register::R8, Register::R9];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handling {
    Emulated,
    SingleStepped,
    Refused,
}

/// The point at which a function's arguments are those of its entry: the entry itself if the kernel
/// emulates its instruction, else the next such instruction in straight-line code, else the entry.
pub fn choose_entry(code: &[u8], svma: u64) -> Result<Point, PointIssue> {
    let mut entry = None;
    let mut first_possible = None;
    for (instruction, bytes) in decode(code, svma).take(INSTRUCTIONS_MAX) {
        let handling = classify(bytes, &instruction);
        let offset = instruction.ip().wrapping_sub(svma);
        if entry.is_none() {
            entry = Some((handling, to_text(&instruction)));
        }
        // A jump to a later point would make it fire for what is no call.
        let is_reached_once = offset == 0 || !is_jump_target(code, svma, svma, instruction.ip());
        if is_reached_once && handling == Handling::Emulated {
            return Ok(Point { offset, cost: Cost::Emulated, text: to_text(&instruction) });
        }
        if is_reached_once && handling == Handling::SingleStepped && first_possible.is_none() {
            let cost = Cost::SingleStepped;
            first_possible = Some(Point { offset, cost, text: to_text(&instruction) });
        }
        if instruction.flow_control() != FlowControl::Next
            || writes_any(&instruction, &ENTRY_REGISTERS)
        {
            break;
        }
    }
    match (first_possible, entry) {
        (Some(point), _) => Ok(point),
        (None, Some((_, text))) => Err(PointIssue::Refused(text)),
        (None, None) => Err(PointIssue::NoCode),
    }
}

/// The entry itself, whatever it costs.
pub fn choose_exact_entry(code: &[u8], svma: u64) -> Result<Point, PointIssue> {
    let (instruction, bytes) = decode(code, svma).next().ok_or(PointIssue::NoCode)?;
    let text = to_text(&instruction);
    let cost = match classify(bytes, &instruction) {
        Handling::Emulated => Cost::Emulated,
        Handling::SingleStepped => Cost::SingleStepped,
        Handling::Refused => return Err(PointIssue::Refused(text)),
    };
    Ok(Point { offset: 0, cost, text })
}

/// The first conditional jump after the system call `number`: there rax is the result and as many of rdi, rsi, rdx, r10,
/// r8, r9 as it has arguments still are these, so that one probe sees a whole call.
pub fn choose_after_syscall(
    code: &[u8],
    svma: u64,
    number: u32,
    n_arguments: usize,
) -> Result<Point, PointIssue> {
    let arguments = SYSCALL_ARGUMENTS.get(..n_arguments).unwrap_or(&SYSCALL_ARGUMENTS);
    let is_kept = |instruction: &Instruction| {
        !writes_any(instruction, &[Register::RAX]) && !writes_any(instruction, arguments)
    };
    let mut eax = None;
    let mut syscall_ip = None;
    for (instruction, bytes) in decode(code, svma) {
        let Some(after) = syscall_ip else {
            match instruction.mnemonic() {
                Mnemonic::Syscall if eax == Some(number) => syscall_ip = Some(instruction.ip()),
                Mnemonic::Syscall => eax = None,
                Mnemonic::Mov
                    if instruction.op0_register() == Register::EAX
                        && instruction.op1_kind() == OpKind::Immediate32 =>
                {
                    eax = Some(instruction.immediate32());
                }
                _ if writes_any(&instruction, &[Register::RAX]) => eax = None,
                _ => {}
            }
            continue;
        };
        if instruction.flow_control() == FlowControl::ConditionalBranch {
            let is_sure = classify(bytes, &instruction) == Handling::Emulated
                && !is_jump_target(code, svma, after, instruction.ip());
            return if is_sure {
                let offset = instruction.ip().wrapping_sub(svma);
                Ok(Point { offset, cost: Cost::Emulated, text: to_text(&instruction) })
            } else {
                Err(PointIssue::NoJump)
            };
        }
        if instruction.flow_control() != FlowControl::Next || !is_kept(&instruction) {
            return Err(PointIssue::NoJump);
        }
    }
    Err(if syscall_ip.is_some() { PointIssue::NoJump } else { PointIssue::NoSyscall(number) })
}

/// The first address that code takes: `lea reg, [rip+…]`, or `mov` of a constant in position-dependent code.
pub fn find_address_taken(code: &[u8], svma: u64) -> Option<u64> {
    decode(code, svma).find_map(|(instruction, _)| match instruction.mnemonic() {
        Mnemonic::Lea if instruction.is_ip_rel_memory_operand() => {
            Some(instruction.ip_rel_memory_address())
        }
        Mnemonic::Mov if instruction.op1_kind() == OpKind::Immediate32to64 => {
            u64::try_from(instruction.immediate32to64()).ok()
        }
        _ => None,
    })
}

/// Instructions with their bytes, up to the first that is none.
pub(super) fn decode(code: &[u8], svma: u64) -> impl Iterator<Item = (Instruction, &[u8])> {
    let mut decoder = Decoder::with_ip(64, code, svma, DecoderOptions::NONE);
    std::iter::from_fn(move || {
        let start = decoder.position();
        let instruction = decoder.can_decode().then(|| decoder.decode())?;
        let bytes = code.get(start..decoder.position())?;
        (!instruction.is_invalid()).then_some((instruction, bytes))
    })
}

/// As the kernel sorts them. Where kernels differ (longer nops are emulated from 6.18 on), as the older one.
fn classify(bytes: &[u8], instruction: &Instruction) -> Handling {
    let is_prefix =
        |byte: &u8| matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3);
    let n_prefixes = bytes.iter().take_while(|byte| is_prefix(byte)).count();
    let (prefixes, rest) = bytes.split_at_checked(n_prefixes).unwrap_or((&[], bytes));
    if prefixes.iter().any(|byte| matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0xf0)) {
        return Handling::Refused;
    }
    let is_push = matches!(bytes, [0x50..=0x57] | [0x41, 0x50..=0x57]);
    let has_rex = matches!(rest, [0x40..=0x4f, ..]);
    let is_branch = matches!(rest, [0xeb | 0xe9 | 0xe8 | 0x70..=0x7f, ..])
        || matches!(rest, [0x0f, 0x80..=0x8f, ..]);
    if is_push || (rest == [0x90] && !has_rex) {
        Handling::Emulated
    } else if is_branch {
        if prefixes.contains(&0x66) { Handling::Refused } else { Handling::Emulated }
    } else if matches!(instruction.mnemonic(), Mnemonic::Int3 | Mnemonic::Int | Mnemonic::Syscall)
        || instruction.is_privileged()
    {
        Handling::Refused
    } else {
        Handling::SingleStepped
    }
}

fn writes_any(instruction: &Instruction, registers: &[Register]) -> bool {
    let mut factory = InstructionInfoFactory::new();
    factory.info(instruction).used_registers().iter().any(|used| {
        matches!(
            used.access(),
            OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
        ) && registers.contains(&used.register().full_register())
    })
}

/// Some jump of the function goes to `(after, to]`.
fn is_jump_target(code: &[u8], svma: u64, after: u64, to: u64) -> bool {
    decode(code, svma).any(|(instruction, _)| {
        let is_near = instruction.op_count() > 0
            && matches!(
                instruction.op0_kind(),
                OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64
            )
            && instruction.flow_control() != FlowControl::Call;
        is_near
            && (after < instruction.near_branch_target() && instruction.near_branch_target() <= to)
    })
}

fn to_text(instruction: &Instruction) -> String {
    let mut text = String::new();
    FastFormatter::new().format(instruction, &mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: u64 = 0x10_0000;

    #[test]
    fn push_entry_is_taken() {
        // push rbp; mov rbp, rsp
        let point = choose_entry(&[0x55, 0x48, 0x89, 0xe5], AT).unwrap();
        assert_eq!(point, Point { offset: 0, cost: Cost::Emulated, text: "push rbp".to_owned() });
        // push r15
        assert_eq!(choose_entry(&[0x41, 0x57, 0xc3], AT).unwrap().cost, Cost::Emulated);
    }

    #[test]
    fn a_push_behind_harmless_instructions_is_taken() {
        // endbr64; push rbp
        let point = choose_entry(&[0xf3, 0x0f, 0x1e, 0xfa, 0x55], AT).unwrap();
        assert_eq!((point.offset, point.cost), (4, Cost::Emulated));
        // mov rax, rdi; push rbx
        assert_eq!(choose_entry(&[0x48, 0x89, 0xf8, 0x53], AT).unwrap().offset, 3);
    }

    #[test]
    fn a_push_behind_a_changed_argument_is_not() {
        // mov rdi, rsi; push rbx
        let point = choose_entry(&[0x48, 0x89, 0xf7, 0x53], AT).unwrap();
        assert_eq!((point.offset, point.cost), (0, Cost::SingleStepped));
        // sub rsp, 8; push rbx: the stack walk starts at rsp
        assert_eq!(choose_entry(&[0x48, 0x83, 0xec, 0x08, 0x53], AT).unwrap().offset, 0);
    }

    #[test]
    fn a_push_that_a_loop_returns_to_is_not() {
        // mov rax, rdi; push rbx; jmp -3
        let point = choose_entry(&[0x48, 0x89, 0xf8, 0x53, 0xeb, 0xfd], AT).unwrap();
        assert_eq!((point.offset, point.cost), (0, Cost::SingleStepped));
    }

    #[test]
    fn a_locked_entry_is_refused() {
        // lock sub [rdi+16], rdx; jmp +0: NodeArrayBufferAllocator::Free of Node 18 to 24
        let code = [0xf0, 0x48, 0x29, 0x57, 0x10, 0xeb, 0x00];
        assert!(matches!(choose_exact_entry(&code, AT), Err(PointIssue::Refused(_))));
        // The jump behind it has all arguments.
        assert_eq!(choose_entry(&code, AT).unwrap().offset, 5);
        // lock sub; ret
        let code = [0xf0, 0x48, 0x29, 0x57, 0x10, 0xc3];
        assert_eq!(choose_entry(&code, AT).unwrap().cost, Cost::SingleStepped);
    }

    /// glibc 2.36.
    const MMAP: &[u8] = &[
        0x41, 0x89, 0xca, 0x41, 0xf7, 0xc1, 0xff, 0x0f, 0x00, 0x00, 0x75, 0x14, 0xb8, 0x09, 0x00,
        0x00, 0x00, 0x0f, 0x05, 0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff, 0x77, 0x25, 0xc3,
    ];
    const MUNMAP: &[u8] = &[
        0xb8, 0x0b, 0x00, 0x00, 0x00, 0x0f, 0x05, 0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff, 0x73, 0x01,
        0xc3,
    ];

    #[test]
    fn the_jump_after_a_system_call_is_found() {
        let point = choose_after_syscall(MMAP, AT, 9, 6).unwrap();
        assert_eq!((point.offset, point.cost), (0x19, Cost::Emulated));
        assert_eq!(choose_after_syscall(MUNMAP, AT, 11, 2).unwrap().offset, 0xd);
        // Behind endbr64, as distributions with CET build it.
        let with_endbr = [&[0xf3, 0x0f, 0x1e, 0xfa], MUNMAP].concat();
        assert_eq!(choose_after_syscall(&with_endbr, AT, 11, 2).unwrap().offset, 0x11);
    }

    #[test]
    fn another_system_call_or_a_lost_argument_is_not_taken() {
        assert_eq!(choose_after_syscall(MUNMAP, AT, 9, 6), Err(PointIssue::NoSyscall(9)));
        // mov eax, 11; syscall; mov rdi, rax; cmp; jae
        let code = [
            0xb8, 0x0b, 0, 0, 0, 0x0f, 0x05, 0x48, 0x89, 0xc7, 0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff,
            0x73, 0x01, 0xc3,
        ];
        assert_eq!(choose_after_syscall(&code, AT, 11, 2), Err(PointIssue::NoJump));
        // mov eax, 11; syscall; ret
        let code = [0xb8, 0x0b, 0, 0, 0, 0x0f, 0x05, 0xc3];
        assert_eq!(choose_after_syscall(&code, AT, 11, 2), Err(PointIssue::NoJump));
    }

    #[test]
    fn what_is_no_argument_may_be_written() {
        // mov eax, 12; syscall; mov rdx, [rip+…]; mov [rdx], rax; cmp rax, rdi; jb +10
        let brk = [
            0xb8, 12, 0, 0, 0, 0x0f, 0x05, 0x48, 0x8b, 0x15, 0xe2, 0x51, 0x0d, 0, 0x48, 0x89, 0x02,
            0x48, 0x39, 0xf8, 0x72, 0x0a, 0x31, 0xc0, 0xc3,
        ];
        let point = choose_after_syscall(&brk, AT, 12, 1).unwrap();
        assert_eq!((point.offset, point.cost), (20, Cost::Emulated));
        assert_eq!(choose_after_syscall(&brk, AT, 12, 3), Err(PointIssue::NoJump));
    }

    #[test]
    fn instructions_are_sorted_as_the_kernel_does() {
        let cases: [(&[u8], Handling); 9] = [
            (&[0x90], Handling::Emulated),
            (&[0x0f, 0x84, 0, 0, 0, 0], Handling::Emulated),
            (&[0xe8, 0, 0, 0, 0], Handling::Emulated),
            (&[0x48, 0x89, 0xe5], Handling::SingleStepped),
            (&[0xf3, 0x0f, 0x1e, 0xfa], Handling::SingleStepped),
            (&[0x2e, 0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0], Handling::Refused),
            (&[0x66, 0xe9, 0, 0, 0, 0], Handling::Refused),
            (&[0xcc], Handling::Refused),
            (&[0x0f, 0x05], Handling::Refused),
        ];
        for (bytes, handling) in cases {
            let instruction = Decoder::with_ip(64, bytes, AT, DecoderOptions::NONE).decode();
            assert_eq!(classify(bytes, &instruction), handling, "{bytes:x?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_code_is_survived(code in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let entry = choose_entry(&code, u64::MAX - 50);
            let call = choose_after_syscall(&code, u64::MAX - 50, 9, 6);
            for point in entry.into_iter().chain(call) {
                assert!(point.offset < code.len() as u64);
            }
        }
    }
}
