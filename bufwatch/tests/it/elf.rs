//! ELF bytes that lie: nothing they say may crash the reader or make it take memory.

use std::sync::Arc;

use bufwatch::base::{FileOffset, Svma};
use bufwatch::elf::{Image, Pattern, SymbolIndex};
use proptest::prelude::*;

use crate::synthetic::{SyntheticElf, TEXT};

/// Two functions and a build id.
fn small_image() -> Vec<u8> {
    SyntheticElf {
        symbols: vec![("wanted_one", TEXT + 0x10), ("other", TEXT + 0x40)],
        ..SyntheticElf::default()
    }
    .build()
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
    for at in [32, 40, 96, 152, 0x540 + 24, 0x540 + 32, 0x580 + 24, 0x580 + 32] {
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
        flips in prop::collection::vec((0_usize..0x640, 0_u8..8), 1..24),
    ) {
        let mut bytes = small_image();
        for (at, bit) in flips {
            bytes[at] ^= 1 << bit;
        }
        exercise(bytes);
    }
}
