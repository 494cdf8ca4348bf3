//! Record bytes → [`Event`]. Total: any bytes give an event or the reason why not. The bytes come from
//! the kernel, yet are treated as foreign: a newer object file may write what this reader does not know.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use bufwatch_common::layout::{Wire, read};
use bufwatch_common::{
    AsyncOriginRecord, FRAMES_MAX, GcRecord, MappingRecord, RawFrame, RecordHeader, StackRecord,
    StoreRecord, kind,
};

use crate::base::{AsyncOriginId, Bytes, Nanos, StackId, StoreKey, Tid};
use crate::event::{AsyncOriginSeen, Creates, Event, GcKind, Payload, StoreCreated};

/// Why bytes are not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeIssue {
    /// Fewer bytes than the record's kind needs.
    Truncated { kind: u16 },
    /// A kind that this version does not know.
    UnknownKind(u16),
    /// A change of the address space that the system call refused: nothing happened.
    SyscallFailed,
}

/// Highest return value of a system call that is not an error (errno goes up to 4095).
const SYSCALL_ERROR_MIN: u64 = u64::MAX - 4094;

/// Decodes one record; the header comes along for loss accounting.
pub fn decode(bytes: &[u8]) -> Result<(RecordHeader, Event), DecodeIssue> {
    let header: RecordHeader = read(bytes).ok_or(DecodeIssue::Truncated { kind: 0 })?;
    let payload = decode_payload(&header, bytes)?;
    Ok((header, Event { at: Nanos(header.ktime_ns), payload }))
}

fn decode_payload(header: &RecordHeader, bytes: &[u8]) -> Result<Payload, DecodeIssue> {
    let tid = Tid(header.tid);
    Ok(match header.kind {
        kind::STORE_CREATED
        | kind::STORE_REATTACHED
        | kind::STORE_RESIZED
        | kind::STORE_DESTROYED
        | kind::STORE_DESTROYED_UNKNOWN => decode_store(&take(header, bytes)?),
        kind::STACK_CAPTURED => decode_stack(header, bytes, Creates::Store)?,
        kind::ASYNC_STACK_CAPTURED => decode_stack(header, bytes, Creates::AsyncResource)?,
        kind::ASYNC_ORIGIN => {
            let record: AsyncOriginRecord = take(header, bytes)?;
            Payload::AsyncOriginSeen(AsyncOriginSeen {
                id: AsyncOriginId(record.origin_id),
                stack: StackId(record.stack_id),
                parent: AsyncOriginId(record.parent_id),
            })
        }
        kind::GC_STARTED => {
            let record: GcRecord = take(header, bytes)?;
            // GarbageCollector: 0 scavenger, 1 mark-compact, 2 minor mark-sweep.
            let kind = if record.collector & 0xff == 1 { GcKind::Major } else { GcKind::Minor };
            Payload::GcStarted { tid, kind }
        }
        kind::GC_FINISHED => Payload::GcFinished { tid },
        kind::MAPPED | kind::UNMAPPED | kind::REMAPPED | kind::ADVISED | kind::BREAK_MOVED => {
            decode_mapping(&take(header, bytes)?)?
        }
        kind::EXECED => Payload::Execed,
        kind::THREAD_EXITED => Payload::ThreadExited { tid },
        kind::TEARDOWN => Payload::TearingDown { tid },
        kind::TASK_FORKED => Payload::TaskForked,
        unknown => return Err(DecodeIssue::UnknownKind(unknown)),
    })
}

fn take<T: Wire>(header: &RecordHeader, bytes: &[u8]) -> Result<T, DecodeIssue> {
    read(bytes).ok_or(DecodeIssue::Truncated { kind: header.kind })
}

fn decode_store(record: &StoreRecord) -> Payload {
    let key = StoreKey { address: record.address, id: record.id };
    let tid = Tid(record.header.tid);
    let size = Bytes(record.size_bytes);
    match record.header.kind {
        kind::STORE_REATTACHED => Payload::StoreReattached { key, tid, size },
        kind::STORE_RESIZED => Payload::StoreResized { key, size, data: record.data },
        kind::STORE_DESTROYED => Payload::StoreDestroyed { key },
        kind::STORE_DESTROYED_UNKNOWN => Payload::StoreDestroyedUnknown { size },
        _ => Payload::StoreCreated(StoreCreated {
            key,
            data: record.data,
            size,
            max_size: Bytes(record.max_size_bytes),
            flags: record.flags,
            tid,
            stack: StackId(record.stack_id),
            async_origin: AsyncOriginId(record.origin_id),
        }),
    }
}

/// A stack record is cut after its frames, so it is shorter than the type.
fn decode_stack(
    header: &RecordHeader,
    bytes: &[u8],
    creates: Creates,
) -> Result<Payload, DecodeIssue> {
    let truncated = DecodeIssue::Truncated { kind: header.kind };
    let word = |at: usize| -> Option<[u8; 8]> {
        bytes.get(at..at.checked_add(8)?).and_then(|slice| slice.try_into().ok())
    };
    let stack_id = u64::from_le_bytes(word(24).ok_or(truncated)?);
    let counts = u64::from_le_bytes(word(32).ok_or(truncated)?);
    let n_frames = (counts & u64::from(u32::MAX)) as usize;
    let is_cut = counts.checked_shr(32).unwrap_or(0) != 0;
    if n_frames > FRAMES_MAX {
        return Err(truncated);
    }
    let tail = bytes.get(StackRecord::HEADER_BYTES..).ok_or(truncated)?;
    let frames: Vec<RawFrame> =
        tail.chunks_exact(size_of::<RawFrame>()).take(n_frames).filter_map(read).collect();
    if frames.len() != n_frames {
        return Err(truncated);
    }
    let (id, tid) = (StackId(stack_id), Tid(header.tid));
    Ok(Payload::StackCaptured { id, tid, frames: frames.into(), is_cut, creates })
}

fn decode_mapping(record: &MappingRecord) -> Result<Payload, DecodeIssue> {
    if record.result >= SYSCALL_ERROR_MIN {
        return Err(DecodeIssue::SyscallFailed);
    }
    let len = Bytes(record.len_bytes);
    Ok(match record.header.kind {
        kind::MAPPED => Payload::Mapped { start: record.result, len },
        kind::UNMAPPED => Payload::Unmapped { start: record.address, len },
        kind::BREAK_MOVED => Payload::BreakMoved { to: record.result },
        kind::REMAPPED => Payload::Remapped {
            old_start: record.address,
            old_len: len,
            start: record.result,
            len: Bytes(record.new_len_bytes),
        },
        _ => Payload::Advised { start: record.address, len, advice: record.detail },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_decode_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_000), kind in 0u16..20) {
            let mut bytes = bytes;
            if let Some(slot) = bytes.get_mut(16..18) {
                slot.copy_from_slice(&kind.to_le_bytes());
            }
            let outcome = decode(&bytes);
            prop_assert!(bytes.len() >= 24 || outcome.is_err());
        }
    }

    fn header_bytes(kind: u16) -> Vec<u8> {
        let mut bytes = vec![0; 24];
        bytes[..8].copy_from_slice(&77u64.to_le_bytes());
        bytes[12..16].copy_from_slice(&9u32.to_le_bytes());
        bytes[16..18].copy_from_slice(&kind.to_le_bytes());
        bytes
    }

    #[test]
    fn an_origin_names_its_stack_and_its_parent() {
        let mut bytes = header_bytes(kind::ASYNC_ORIGIN);
        for word in [5u64, 6, 7] {
            bytes.extend(word.to_le_bytes());
        }
        let (_, event) = decode(&bytes).unwrap();
        let Payload::AsyncOriginSeen(seen) = event.payload else { panic!("not an origin") };
        assert_eq!((seen.id.0, seen.stack.0, seen.parent.0), (5, 6, 7));
        bytes.pop();
        assert!(decode(&bytes).is_err());
    }

    #[test]
    fn a_stack_is_as_long_as_it_says() {
        let mut bytes = header_bytes(kind::STACK_CAPTURED);
        bytes.extend(5u64.to_le_bytes());
        bytes.extend(2u32.to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(vec![1u8; 64]);
        let (_, event) = decode(&bytes).unwrap();
        let Payload::StackCaptured { id, frames, is_cut, .. } = event.payload else {
            panic!("not a stack");
        };
        assert_eq!((id, frames.len(), is_cut), (StackId(5), 2, true));
        bytes.truncate(100);
        assert_eq!(decode(&bytes).unwrap_err(), DecodeIssue::Truncated { kind: 5 });
    }

    #[test]
    fn a_refused_mmap_is_no_event() {
        let mut bytes = header_bytes(kind::MAPPED);
        bytes.extend([0; 16]);
        bytes.extend((-12i64).to_le_bytes());
        bytes.extend([0; 16]);
        assert_eq!(decode(&bytes).unwrap_err(), DecodeIssue::SyscallFailed);
    }
}
