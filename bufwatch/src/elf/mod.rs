//! Layer 1: ELF bytes → facts. Opens no files: bytes come through [`ReadAt`], in the ranges asked for, since
//! a Node binary has up to 150 MB and nobody should hold it. The bytes are foreign: every size is limited.

pub mod image;
mod imports;
mod records;
pub mod symbols;

use std::io;

pub use image::{BuildId, FileKind, Image, Segment};
pub use symbols::{Pattern, Symbol, SymbolIndex, SymbolKind};

/// Random access to the bytes of a file.
pub trait ReadAt: Send + Sync {
    /// Fills `out` from `offset` on, all of it or an error (`UnexpectedEof` past the end).
    fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Size in bytes.
    fn size(&self) -> u64;
}

impl ReadAt for Vec<u8> {
    fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..)?.get(..out.len()))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn size(&self) -> u64 {
        self.len() as u64
    }
}

/// A file that cannot be used as an image.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    #[error("not an ELF file")]
    NotElf,
    #[error("a 32-bit ELF file")]
    Class32,
    #[error("a big-endian ELF file")]
    BigEndian,
    #[error("the ELF file is damaged: {0} out of range")]
    Damaged(&'static str),
    #[error("the file could not be read")]
    Read(#[from] io::Error),
}

/// Reads `len` bytes; `limit` guards against a header that claims the impossible.
fn read_vec(
    source: &dyn ReadAt,
    offset: u64,
    len: u64,
    limit: usize,
    what: &'static str,
) -> Result<Vec<u8>, ElfError> {
    let n = usize::try_from(len).ok().filter(|n| *n <= limit).ok_or(ElfError::Damaged(what))?;
    if offset.checked_add(len).is_none_or(|end| end > source.size()) {
        return Err(ElfError::Damaged(what));
    }
    let mut bytes = vec![0; n];
    source.read_exact_at(offset, &mut bytes)?;
    Ok(bytes)
}
