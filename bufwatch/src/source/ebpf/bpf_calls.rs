//! The calls of bpf(2) that aya does not make: what uprobe links need (`BPF_TRACE_UPROBE_MULTI`, Linux 6.6). What they are for is known in
//! `links`.
//!
//! Layouts: `union bpf_attr` and `struct bpf_prog_info` in include/uapi/linux/bpf.h, up to the last field that is used.
#![expect(unsafe_code, reason = "aya loads no programs for uprobe links")]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use aya_obj::generated::bpf_insn;
use nix::libc;

use crate::base::Nanos;

// `enum bpf_cmd`.
const PROG_LOAD: libc::c_int = 5;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BTF_LOAD: libc::c_int = 18;
const LINK_CREATE: libc::c_int = 28;

/// `BPF_PROG_TYPE_KPROBE`, which uprobes have as well.
const KPROBE: u32 = 2;

/// `BPF_TRACE_UPROBE_MULTI` of `enum bpf_attach_type`.
const UPROBE_MULTI: u32 = 48;

/// `BPF_F_UPROBE_MULTI_RETURN`: when the function returns.
const ON_RETURN: u32 = 1;

/// Length of a `struct bpf_func_info`.
const FUNCTION_BYTES: usize = 8;

const NAME_BYTES: usize = 16;

#[derive(Default)]
#[repr(C)]
struct LoadProgram {
    kind: u32,
    n_instructions: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; NAME_BYTES],
    interface: u32,
    attach_type: u32,
    btf: RawFd,
    function_bytes: u32,
    functions: u64,
    n_functions: u32,
    line_bytes: u32,
}

#[derive(Default)]
#[repr(C)]
struct LoadBtf {
    btf: u64,
    log: u64,
    n_bytes: u32,
    log_size: u32,
}

#[derive(Default)]
#[repr(C)]
struct CreateLink {
    program: RawFd,
    target: RawFd,
    attach_type: u32,
    flags: u32,
    path: u64,
    offsets: u64,
    reference_offsets: u64,
    cookies: u64,
    n_offsets: u32,
    multi_flags: u32,
    pid: u32,
    padding: u32,
}

#[derive(Default)]
#[repr(C)]
struct GetInfo {
    object: RawFd,
    n_bytes: u32,
    info: u64,
}

/// Its words up to `run_cnt`.
type ProgramInfo = [u64; 26];
const RUN_TIME_WORD: usize = 24;
const RUN_COUNT_WORD: usize = 25;

/// A program, relocated, and what the kernel wants to know of its functions.
pub(super) struct Code<'a> {
    pub name: &'a str,
    pub license: &'a CStr,
    pub instructions: &'a [bpf_insn],
    /// Records of `struct bpf_func_info`, and the types that they refer to.
    pub functions: Option<(&'a [u8], BorrowedFd<'a>)>,
}

/// Loads a program for uprobe links.
pub(super) fn load(code: &Code<'_>) -> io::Result<OwnedFd> {
    let mut name = [0; NAME_BYTES];
    // The kernel wants an end.
    for (to, from) in name.iter_mut().take(NAME_BYTES - 1).zip(code.name.bytes()) {
        *to = from;
    }
    let functions = code.functions.map_or(&[][..], |(records, _)| records);
    let mut attributes = LoadProgram {
        kind: KPROBE,
        n_instructions: length(code.instructions.len())?,
        instructions: code.instructions.as_ptr() as u64,
        license: code.license.as_ptr() as u64,
        name,
        attach_type: UPROBE_MULTI,
        btf: code.functions.map_or(0, |(_, btf)| btf.as_raw_fd()),
        function_bytes: length(FUNCTION_BYTES)?,
        functions: functions.as_ptr() as u64,
        n_functions: length(functions.len() / FUNCTION_BYTES)?,
        ..LoadProgram::default()
    };
    // SAFETY: `code` lives as long as the call and is as long as said; the result is a new descriptor.
    unsafe { descriptor(PROG_LOAD, &mut attributes) }
}

/// A program that does nothing.
pub(super) fn load_empty() -> io::Result<OwnedFd> {
    let instruction = |code| bpf_insn {
        code,
        _bitfield_align_1: [],
        _bitfield_1: bpf_insn::new_bitfield_1(0, 0),
        off: 0,
        imm: 0,
    };
    // r0 = 0; exit.
    let instructions = [instruction(0xb7), instruction(0x95)];
    load(&Code { name: "empty", license: c"GPL", instructions: &instructions, functions: None })
}

/// Loads what describes the types of programs.
pub(super) fn load_btf(bytes: &[u8]) -> io::Result<OwnedFd> {
    let n_bytes = length(bytes.len())?;
    let mut attributes = LoadBtf { btf: bytes.as_ptr() as u64, n_bytes, ..LoadBtf::default() };
    // SAFETY: `bytes` live as long as the call and are as many as said; the result is a new descriptor.
    unsafe { descriptor(BTF_LOAD, &mut attributes) }
}

/// Where a program goes.
pub(super) struct Place<'a> {
    pub path: &'a CStr,
    pub file_offset: u64,
    /// When the function that begins there returns.
    pub is_return: bool,
    /// In this process alone.
    pub pid: u32,
}

/// Puts a program in its place; it stays as long as what is returned is open.
pub(super) fn link(program: BorrowedFd<'_>, place: &Place<'_>) -> io::Result<OwnedFd> {
    let offsets = [place.file_offset];
    let mut attributes = CreateLink {
        program: program.as_raw_fd(),
        attach_type: UPROBE_MULTI,
        path: place.path.as_ptr() as u64,
        offsets: offsets.as_ptr() as u64,
        n_offsets: 1,
        multi_flags: if place.is_return { ON_RETURN } else { 0 },
        pid: place.pid,
        ..CreateLink::default()
    };
    // SAFETY: the path and the one offset live as long as the call; the result is a new descriptor.
    unsafe { descriptor(LINK_CREATE, &mut attributes) }
}

/// How often a program ran and how long, while the kernel counted.
pub(super) fn statistics(program: BorrowedFd<'_>) -> io::Result<(u64, Nanos)> {
    let mut info = ProgramInfo::default();
    let mut attributes = GetInfo {
        object: program.as_raw_fd(),
        n_bytes: length(size_of::<ProgramInfo>())?,
        info: info.as_mut_ptr() as u64,
    };
    // SAFETY: `info` lives as long as the call, has room for what is said, and is plain words.
    unsafe { call(OBJ_GET_INFO_BY_FD, &mut attributes) }?;
    let [time, count] = [RUN_TIME_WORD, RUN_COUNT_WORD].map(|at| info.get(at).copied());
    Ok((count.unwrap_or(0), Nanos(time.unwrap_or(0))))
}

fn length(n: usize) -> io::Result<u32> {
    u32::try_from(n).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// # Safety
///
/// `attributes` must be those of `command`, what they point to must outlive the call, and the call must return a new descriptor.
unsafe fn descriptor<T>(command: libc::c_int, attributes: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: the caller vouches for the attributes.
    let fd = unsafe { call(command, attributes) }?;
    // SAFETY: the kernel has just made it, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// # Safety
///
/// `attributes` must be those of `command`, and what they point to must outlive the call.
unsafe fn call<T>(command: libc::c_int, attributes: &mut T) -> io::Result<RawFd> {
    let (at, n_bytes) = (std::ptr::from_mut(attributes), size_of::<T>());
    // SAFETY: the kernel reads and writes no more than `n_bytes` of the attributes; the caller vouches for the rest.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, at, n_bytes) };
    match RawFd::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}
