//! What the eBPF programs say of themselves (aya-log), handed to the log of bufwatch: on which event one gave up, and why. They say nothing
//! unless that log is to have it; how often they gave up is counted all the same (`counters`).

use std::fmt;

use aya::{Ebpf, EbpfLoader};
use aya_log::EbpfLogger;
use bufwatch_common::DropReason;
use log::{Log, Metadata, Record};
use tracing::Level;

/// Nothing, which is no level of aya-log, and everything that the programs may say.
static SILENT: u8 = 0;
static DEBUG: u8 = aya_log::Level::Debug as u8;

/// Where messages wait to be read: as aya-log has it, and as small as it can be.
const RING_BYTES: u32 = 128 << 10;
const RING_BYTES_UNUSED: u32 = 4 << 10;

/// `BUFWATCH_LOG=bufwatch::source::ebpf::kernel_log=debug`, or anything that contains it.
fn is_wanted() -> bool {
    tracing::enabled!(Level::DEBUG)
}

/// Before loading: what programs of an object may say.
pub(super) fn set_level(loader: &mut EbpfLoader<'_>) {
    let (level, ring_bytes) =
        if is_wanted() { (&DEBUG, RING_BYTES) } else { (&SILENT, RING_BYTES_UNUSED) };
    loader.override_global(aya_log::LEVEL, level, true);
    loader.map_max_entries("AYA_LOGS", ring_bytes);
}

/// What the programs of one object say.
pub(super) struct KernelLog(EbpfLogger<ToTracing>);

impl KernelLog {
    /// `None` if nobody wants to know.
    pub(super) fn open(ebpf: &mut Ebpf) -> Option<Self> {
        if !is_wanted() {
            return None;
        }
        match EbpfLogger::init_with_logger(ebpf, ToTracing) {
            Ok(logger) => Some(Self(logger)),
            Err(error) => {
                tracing::warn!(%error, "what the eBPF programs say of themselves cannot be read");
                None
            }
        }
    }

    /// Hands on what has been said.
    pub(super) fn flush(&mut self) {
        self.0.flush();
    }
}

struct ToTracing;

impl Log for ToTracing {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let message = record.args().to_string();
        match GaveUp::read(&message) {
            Some(gave_up) => tracing::debug!("a program gave up: {gave_up}"),
            None => tracing::debug!("{message}"),
        }
    }

    fn flush(&self) {}
}

/// `NUMBER ADDRESS`, as the programs say it (bufwatch-ebpf: `kernel_log`): they have no room for names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct GaveUp {
    reason: DropReason,
    address: u64,
}

impl GaveUp {
    fn read(message: &str) -> Option<Self> {
        let (number, address) = message.split_once(' ')?;
        let number: u32 = number.parse().ok()?;
        let reason = DropReason::ALL.into_iter().find(|reason| reason.index() == number)?;
        Some(Self { reason, address: u64::from_str_radix(address, 16).ok()? })
    }
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.name())?;
        if self.address == 0 { Ok(()) } else { write!(f, " at {:#x}", self.address) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_said_by_name() {
        let said = |message| GaveUp::read(message).map(|it| it.to_string());
        assert_eq!(said("6 7ffd10").as_deref(), Some("stack-unreadable at 0x7ffd10"));
        assert_eq!(said("0 0").as_deref(), Some("ring-full"));
        assert_eq!(said("99 0"), None);
        assert_eq!(said("something else"), None);
    }
}
