//! A function of bufwatch itself that probes may be put on: to learn whether they may be attached at all, and what a trap costs here (`cost`).
#![expect(
    unsafe_code,
    reason = "aya opens no event without a program; this is the one call made by hand"
)]

use std::arch::naked_asm;
use std::fs;
use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::thread;

use nix::libc;

use crate::source::ebpf::links;
use crate::sys::{kernel, procfs};

/// The file that the function is in.
pub(super) const FILE: &std::ffi::CStr = c"/proc/self/exe";

/// Where the kernel says which kind of event a uprobe is.
const UPROBE_TYPE: &str = "/sys/bus/event_source/devices/uprobe/type";

/// `PERF_FLAG_FD_CLOEXEC` (`linux/perf_event.h`).
const CLOSED_ON_EXEC: libc::c_ulong = 8;

/// The part of `struct perf_event_attr` that a uprobe needs (`linux/perf_event.h`, `PERF_ATTR_SIZE_VER1`).
#[repr(C)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    /// The first bit: not before it is enabled.
    flags: u64,
    wake_up: u32,
    breakpoint_type: u32,
    path: u64,
    offset: u64,
}

/// Begins as the functions of Node do that have probes: the kernel does the work of a `push` by itself, without a second trap
/// (`push_emulate_op`, arch/x86/kernel/uprobes.c). What it pushes it pops.
#[unsafe(naked)]
pub(super) extern "C" fn probed() {
    naked_asm!("push rbp", "pop rbp", "ret")
}

/// Where the function is in its file.
pub(super) fn offset() -> io::Result<u64> {
    let address = probed as extern "C" fn() as usize as u64;
    let maps = procfs::maps(std::process::id()).map_err(io::Error::other)?;
    let mapping = maps.iter().find(|it| (it.start..it.end).contains(&address));
    let mapping = mapping.ok_or_else(|| io::Error::other("bufwatch's own code is not mapped"))?;
    Ok(address - mapping.start + mapping.offset)
}

/// Puts a probe on the function and removes it again: what the kernel or a filter of system calls refuses, it refuses here.
pub(super) fn try_to_probe() -> io::Result<()> {
    if links::are_usable(kernel::version()) {
        match links::try_to_link(FILE, offset()?) {
            Ok(link) => {
                // Nobody needs to wait until it is gone; without a thread it goes with the closure.
                let name = "bw-detach".to_owned();
                return thread::Builder::new().name(name).spawn(move || drop(link)).map(drop);
            }
            Err(error) => tracing::debug!(%error, "links of probes are refused"),
        }
    }
    try_perf_event()
}

/// Opens a uprobe without a program and closes it again.
fn try_perf_event() -> io::Result<()> {
    let kind = fs::read_to_string(UPROBE_TYPE)?;
    let attributes = Attributes {
        kind: kind.trim().parse().map_err(io::Error::other)?,
        size: size_of::<Attributes>() as u32,
        config: 0,
        sample_period: 0,
        sample_type: 0,
        read_format: 0,
        flags: 1,
        wake_up: 0,
        breakpoint_type: 0,
        path: FILE.as_ptr() as u64,
        offset: offset()?,
    };
    let (this_process, any_cpu, no_group) = (0, -1, -1);
    // SAFETY: the attributes and the path in them live as long as the call, which reads no more than `size`.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            this_process,
            any_cpu,
            no_group,
            CLOSED_ON_EXEC,
        )
    };
    let Ok(fd) = i32::try_from(fd) else { return Err(io::ErrorKind::InvalidData.into()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call above returned a new descriptor that nobody else owns.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_function_is_found_in_the_file() {
        let bytes = fs::read(FILE.to_str().unwrap()).unwrap();
        let at = usize::try_from(offset().unwrap()).unwrap();
        // push rbp, pop rbp, ret
        assert_eq!(&bytes[at..at + 3], [0x55, 0x5d, 0xc3]);
        probed();
    }
}
