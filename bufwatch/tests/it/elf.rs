//! ELF bytes that lie: nothing they say may crash the reader or make it take memory.

use std::sync::Arc;

use bufwatch::base::{FileOffset, Svma};
use bufwatch::elf::{Image, Pattern, SymbolIndex};
use proptest::prelude::*;

const TEXT: u64 = 0x40_1000;

/// A small but whole image: one executable segment, a build id, a symbol table with two functions.
fn small_image() -> Vec<u8> {
    let names = b"\0wanted_one\0other\0";
    let mut bytes = vec![0_u8; 0x1100];
    let mut put = |at: usize, what: &[u8]| bytes[at..at + what.len()].copy_from_slice(what);
    put(0, b"\x7fELF\x02\x01\x01");
    put(16, &2_u16.to_le_bytes());
    put(18, &62_u16.to_le_bytes());
    put(32, &64_u64.to_le_bytes());
    put(40, &0x400_u64.to_le_bytes());
    put(54, &56_u16.to_le_bytes());
    put(56, &2_u16.to_le_bytes());
    put(58, &64_u16.to_le_bytes());
    put(60, &3_u16.to_le_bytes());
    // Program headers: PT_LOAD r-x, PT_NOTE.
    put(64, &1_u32.to_le_bytes());
    put(68, &5_u32.to_le_bytes());
    put(72, &0x1000_u64.to_le_bytes());
    put(80, &TEXT.to_le_bytes());
    put(96, &0x100_u64.to_le_bytes());
    put(104, &0x100_u64.to_le_bytes());
    put(120, &4_u32.to_le_bytes());
    put(128, &0x200_u64.to_le_bytes());
    put(152, &24_u64.to_le_bytes());
    put(0x200, &4_u32.to_le_bytes());
    put(0x204, &8_u32.to_le_bytes());
    put(0x208, &3_u32.to_le_bytes());
    put(0x20c, b"GNU\0\x01\x02\x03\x04\x05\x06\x07\x08");
    // Symbols at 0x300, names at 0x380.
    for (at, name, value) in [(0x318, 1_u32, TEXT + 0x10), (0x330, 12, TEXT + 0x40)] {
        put(at, &name.to_le_bytes());
        put(at + 4, &[0x12]);
        put(at + 6, &1_u16.to_le_bytes());
        put(at + 8, &value.to_le_bytes());
        put(at + 16, &0x20_u64.to_le_bytes());
    }
    put(0x380, names);
    // Section headers at 0x400: none, .symtab, .strtab.
    for (index, kind, offset, size, link) in
        [(1_usize, 2_u32, 0x300_u64, 72_u64, 2_u32), (2, 3, 0x380, names.len() as u64, 0)]
    {
        let at = 0x400 + index * 64;
        put(at + 4, &kind.to_le_bytes());
        put(at + 24, &offset.to_le_bytes());
        put(at + 32, &size.to_le_bytes());
        put(at + 40, &link.to_le_bytes());
    }
    bytes
}

const PATTERNS: &[Pattern] =
    &[Pattern::Prefix("wanted"), Pattern::Exact("other"), Pattern::Exact("oth")];

/// Everything that reads; the result does not matter.
fn exercise(bytes: Vec<u8>) {
    let Ok(image) = Image::open(Arc::new(bytes)) else { return };
    let _found = image.find_symbols(PATTERNS);
    let _text = image.text();
    let _offset = image.file_offset_of(Svma(TEXT + 5));
    let _svma = image.svma_of(FileOffset(0x1005));
    let _bias = image.bias_of_mapping(0x7f00_0000_0000, 0x1000);
    let _code = image.read_up_to(Svma(TEXT), 1 << 14);
    if let Ok(index) = SymbolIndex::build(&image) {
        let _nearest = index.nearest(Svma(TEXT + 0x45));
    }
}

#[test]
fn a_whole_image_is_read() {
    let image = Image::open(Arc::new(small_image())).unwrap();
    assert_eq!(image.build_id.as_ref().unwrap().0, "0102030405060708");
    assert_eq!(image.file_offset_of(Svma(TEXT + 0x10)), Some(FileOffset(0x1010)));
    assert_eq!(image.svma_of(FileOffset(0x1010)), Some(Svma(TEXT + 0x10)));
    assert_eq!(image.file_offset_of(Svma(TEXT + 0x100)), None);
    let found = image.find_symbols(PATTERNS).unwrap();
    assert_eq!(found[0][0].name, "wanted_one");
    assert_eq!(found[1][0].svma, Svma(TEXT + 0x40));
    assert_eq!(found[2], []);
    let index = SymbolIndex::build(&image).unwrap();
    assert_eq!(index.nearest(Svma(TEXT + 0x15)), Some(("wanted_one".to_owned(), 5)));
    assert_eq!(index.nearest(Svma(TEXT + 0x45)), Some(("other".to_owned(), 5)));
    assert_eq!(index.nearest(Svma(TEXT + 0x5)), None);
    assert_eq!(index.nearest(Svma(TEXT - 1)), None);
}

#[test]
fn every_truncation_is_survived() {
    let whole = small_image();
    for len in (0..whole.len()).step_by(7) {
        exercise(whole[..len].to_vec());
    }
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    // e_phoff, e_shoff, p_filesz, sh_size of .symtab and .strtab.
    for at in [32, 40, 96, 152, 0x440 + 24, 0x440 + 32, 0x480 + 24, 0x480 + 32] {
        for value in [u64::MAX, u64::MAX - 7, 1 << 63, 1 << 40, 0x10_ff] {
            let mut bytes = small_image();
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            exercise(bytes);
        }
    }
}

proptest! {
    #[test]
    fn flipped_bits_are_survived(
        flips in prop::collection::vec((0_usize..0x500, 0_u8..8), 1..24),
    ) {
        let mut bytes = small_image();
        for (at, bit) in flips {
            bytes[at] ^= 1 << bit;
        }
        exercise(bytes);
    }
}
