//! Leaves the target its turns at the lock on its address space (`mmap_lock`), which most questions about its memory take for reading.
//!
//! One short question holds nobody up. Many in a row do: a thread of the target that maps or unmaps waits for the lock as a writer, is woken
//! when a question ends, and finds it taken by the next one, since readers need not wait for a writer that is still waking up; only after
//! 4 ms is the lock kept for it (kernel/locking/rwsem.c, `RWSEM_WAIT_TIMEOUT`). So who asks much rests now and then, for longer than waking
//! up takes.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::base::{Avma, MemoryError, Nanos, ReadMemory, ReadPart};
use crate::sys::clock;
use crate::sys::memory::ProcessMemory;

/// Questions without a rest: so long a writer waits at most, and the question that it came in after.
const ASKING_MAX: Nanos = Nanos::from_micros(300);

/// The kernel adds 50 µs of its own (`PR_SET_TIMERSLACK(2const)`); a thread wakes up in a tenth of that.
const REST: Duration = Duration::from_micros(50);

/// Ranges of one system call: about 30 µs.
const PARTS_MAX: usize = 64;

/// How long questions have been asked without a rest.
#[derive(Debug)]
pub struct Turns {
    /// [`Nanos`], by one thread at a time.
    rested_at: AtomicU64,
}

impl Turns {
    pub const fn new() -> Self {
        Self { rested_at: AtomicU64::new(0) }
    }

    /// A question was answered: rests if it is time.
    pub fn asked(&self) {
        if clock::now().since(Nanos(self.rested_at.load(Ordering::Relaxed))) >= ASKING_MAX {
            thread::sleep(REST);
            self.rested_at.store(clock::now().0, Ordering::Relaxed);
        }
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self::new()
    }
}

/// The memory of a process that runs, read without holding it up.
#[derive(Debug)]
pub struct UnhurriedMemory {
    memory: ProcessMemory,
    turns: Turns,
}

impl UnhurriedMemory {
    pub const fn new(memory: ProcessMemory) -> Self {
        Self { memory, turns: Turns::new() }
    }
}

impl ReadMemory for UnhurriedMemory {
    fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
        let answer = self.memory.read(address, out);
        self.turns.asked();
        answer
    }

    fn read_parts(&self, parts: &mut [ReadPart<'_>]) {
        for parts in parts.chunks_mut(PARTS_MAX) {
            self.memory.read_parts(parts);
            self.turns.asked();
        }
    }
}

/// A file of /proc for which the kernel takes the lock at each read, of a page of text each.
#[derive(Debug)]
pub struct UnhurriedText<R> {
    text: R,
    turns: Turns,
}

impl<R> UnhurriedText<R> {
    pub const fn new(text: R) -> Self {
        Self { text, turns: Turns::new() }
    }
}

impl<R: Read> Read for UnhurriedText<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let answer = self.text.read(out);
        self.turns.asked();
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_much_rests_and_reads_the_same() {
        let words: Vec<u64> = (0..1_000).collect();
        let memory = UnhurriedMemory::new(ProcessMemory::new(std::process::id()));
        let mut out = vec![[0_u8; 8]; words.len()];
        let mut parts: Vec<ReadPart<'_>> = out
            .iter_mut()
            .zip(&words)
            .map(|(out, word)| ReadPart::new(Avma(std::ptr::from_ref(word) as u64), out))
            .collect();
        memory.read_parts(&mut parts);
        assert!(parts.iter().all(|part| part.is_read));
        assert_eq!(out.iter().map(|word| u64::from_le_bytes(*word)).collect::<Vec<_>>(), words);
        let rested_at = memory.turns.rested_at.load(Ordering::Relaxed);
        assert_ne!(rested_at, 0);
        memory.turns.rested_at.store(0, Ordering::Relaxed);
        assert_eq!(memory.read_u64(Avma(std::ptr::from_ref(&words[7]) as u64)), Ok(7));
        assert!(memory.turns.rested_at.load(Ordering::Relaxed) > rested_at);
    }

    #[test]
    fn a_text_is_read_whole() {
        let mut text = String::new();
        UnhurriedText::new("a text".as_bytes()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "a text");
    }
}
