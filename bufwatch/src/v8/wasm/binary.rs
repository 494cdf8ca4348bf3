//! The binary of a WebAssembly module, as the target keeps it: how many functions it imports, where the bodies of the others lie, and
//! what its name section calls them. Knows nothing of V8.
//!
//! Format: WebAssembly Core Specification 2.0, §5 "Binary Format"; names: its appendix "Custom Sections".
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::cell::RefCell;

use crate::base::{Avma, ReadMemory};

/// Read at once.
const WINDOW_BYTES: usize = 64 << 10;

/// V8 refuses larger modules (`kV8MaxWasmModuleSize`, src/wasm/wasm-limits.h).
const BINARY_BYTES_MAX: u64 = 1 << 30;

/// V8 refuses more functions, and more imports (`kV8MaxWasmTotalFunctions`, the same file).
const FUNCTIONS_MAX: u32 = 1_000_000;

/// Sections of one module; custom ones may come any number of times.
const SECTIONS_MAX: usize = 10_000;

/// Longest function name read.
const NAME_BYTES_MAX: u32 = 4_096;

const MAGIC_AND_VERSION: u64 = u64::from_le_bytes(*b"\0asm\x01\0\0\0");

mod section {
    pub(super) const CUSTOM: u8 = 0;
    pub(super) const IMPORT: u8 = 2;
    pub(super) const CODE: u8 = 10;
}

/// What is known of a module from its binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WasmBinary {
    start: Avma,
    len: u32,
    pub n_imported: u32,
    /// Of the functions that are not imported: first byte and length of the body.
    bodies: Vec<(u32, u32)>,
    /// Contents of the section `name`.
    names: Option<(u32, u32)>,
}

impl WasmBinary {
    /// Reads what lies at `start`.
    pub fn read<M: ReadMemory>(memory: &M, start: Avma, len: u64) -> Option<Self> {
        (len <= BINARY_BYTES_MAX).then_some(())?;
        (memory.read_u64(start).ok()? == MAGIC_AND_VERSION).then_some(())?;
        let len = u32::try_from(len).ok()?;
        let mut binary = Self { start, len, n_imported: 0, bodies: Vec::new(), names: None };
        let window = RefCell::default();
        let mut at = Cursor { memory, window: &window, start, at: 8, end: len };
        for _ in 0..SECTIONS_MAX {
            if at.is_at_end() {
                return Some(binary);
            }
            let id = at.byte()?;
            let mut content = at.sized()?;
            match id {
                section::CUSTOM
                    if binary.names.is_none()
                        && content.text(NAME_BYTES_MAX).as_deref() == Some("name") =>
                {
                    binary.names = Some((content.at, content.end));
                }
                section::IMPORT => binary.n_imported = imported_functions(&mut content)?,
                section::CODE => binary.bodies = bodies(&mut content)?,
                _ => {}
            }
        }
        None
    }

    pub fn n_declared(&self) -> usize {
        self.bodies.len()
    }

    /// Place of a function among those that are not imported.
    pub fn declared(&self, index: u32) -> Option<u32> {
        let declared = index.checked_sub(self.n_imported)?;
        (usize::try_from(declared).ok()? < self.bodies.len()).then_some(declared)
    }

    /// Offset in the module of what V8 calls a position in a function: bytes behind the start of its body.
    pub fn offset(&self, index: u32, position: u32) -> Option<u32> {
        let declared = usize::try_from(self.declared(index)?).ok()?;
        let (start, len) = *self.bodies.get(declared)?;
        (position < len).then(|| start.checked_add(position))?
    }

    /// The name of a function in the name section.
    pub fn name<M: ReadMemory>(&self, memory: &M, index: u32) -> Option<String> {
        const FUNCTION_NAMES: u8 = 1;
        let (at, end) = self.names?;
        let window = RefCell::default();
        let mut names = Cursor { memory, window: &window, start: self.start, at, end };
        for _ in 0..SECTIONS_MAX {
            let id = names.byte()?;
            let mut content = names.sized()?;
            if id != FUNCTION_NAMES {
                continue;
            }
            for _ in 0..content.number()?.min(FUNCTIONS_MAX) {
                if content.number()? == index {
                    return content.text(NAME_BYTES_MAX).filter(|name| !name.is_empty());
                }
                content.skip_sized()?;
            }
            return None;
        }
        None
    }
}

fn imported_functions<M: ReadMemory>(imports: &mut Cursor<'_, M>) -> Option<u32> {
    let mut n_functions = 0_u32;
    let n_imports = imports.number()?;
    (n_imports <= FUNCTIONS_MAX).then_some(())?;
    for _ in 0..n_imports {
        imports.skip_sized()?;
        imports.skip_sized()?;
        match imports.byte()? {
            0 => {
                imports.number()?;
                n_functions = n_functions.checked_add(1)?;
            }
            1 => {
                imports.skip_value_type()?;
                imports.skip_limits()?;
            }
            2 => imports.skip_limits()?,
            3 => {
                imports.skip_value_type()?;
                imports.byte()?;
            }
            // A tag of the exception handling proposal.
            4 => {
                imports.byte()?;
                imports.number()?;
            }
            _ => return None,
        }
    }
    // Something that is not known here was skipped wrongly.
    imports.is_at_end().then_some(n_functions)
}

fn bodies<M: ReadMemory>(code: &mut Cursor<'_, M>) -> Option<Vec<(u32, u32)>> {
    let n_bodies = code.number()?;
    (n_bodies <= FUNCTIONS_MAX).then_some(())?;
    let mut bodies = Vec::new();
    for _ in 0..n_bodies {
        let body = code.sized()?;
        bodies.push((body.at, body.end.checked_sub(body.at)?));
    }
    code.is_at_end().then_some(bodies)
}

/// What has been read last, and where in the binary it begins.
#[derive(Debug, Default)]
struct Window {
    at: u32,
    bytes: Vec<u8>,
}

/// A part of the binary that is read on from its beginning; what is skipped is not read.
#[derive(Debug)]
struct Cursor<'a, M> {
    memory: &'a M,
    window: &'a RefCell<Window>,
    /// Of the binary.
    start: Avma,
    /// Offsets in the binary.
    at: u32,
    end: u32,
}

impl<M: ReadMemory> Cursor<'_, M> {
    const fn is_at_end(&self) -> bool {
        self.at >= self.end
    }

    fn byte(&mut self) -> Option<u8> {
        (!self.is_at_end()).then_some(())?;
        let mut window = self.window.borrow_mut();
        let known = self.at.checked_sub(window.at).and_then(|at| usize::try_from(at).ok());
        let byte = known.and_then(|at| window.bytes.get(at).copied());
        let byte = match byte {
            Some(byte) => byte,
            None => {
                let rest = usize::try_from(self.end.checked_sub(self.at)?).ok()?;
                let mut bytes = vec![0; rest.min(WINDOW_BYTES)];
                self.memory.read(self.start.checked_add(self.at.into())?, &mut bytes).ok()?;
                *window = Window { at: self.at, bytes };
                *window.bytes.first()?
            }
        };
        self.at = self.at.checked_add(1)?;
        Some(byte)
    }

    /// An unsigned number in LEB128.
    fn long(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn number(&mut self) -> Option<u32> {
        u32::try_from(self.long()?).ok()
    }

    fn skip(&mut self, n_bytes: u32) -> Option<()> {
        self.at = self.at.checked_add(n_bytes).filter(|at| *at <= self.end)?;
        Some(())
    }

    /// What comes with its length in front; goes behind it.
    fn sized(&mut self) -> Option<Self> {
        let len = self.number()?;
        let at = self.at;
        self.skip(len)?;
        Some(Self { at, end: self.at, ..*self })
    }

    fn skip_sized(&mut self) -> Option<()> {
        let len = self.number()?;
        self.skip(len)
    }

    fn text(&mut self, limit: u32) -> Option<String> {
        let len = self.number()?;
        (len <= limit).then_some(())?;
        let bytes: Option<Vec<u8>> = (0..len).map(|_| self.byte()).collect();
        String::from_utf8(bytes?).ok()
    }

    /// A number or reference type; a reference to a declared type is followed by which.
    fn skip_value_type(&mut self) -> Option<()> {
        if matches!(self.byte()?, 0x63 | 0x64) {
            self.long()?;
        }
        Some(())
    }

    fn skip_limits(&mut self) -> Option<()> {
        const HAS_MAXIMUM: u8 = 1;
        /// Custom page sizes proposal.
        const HAS_PAGE_SIZE: u8 = 8;
        let flags = self.byte()?;
        self.long()?;
        if flags & HAS_MAXIMUM != 0 {
            self.long()?;
        }
        if flags & HAS_PAGE_SIZE != 0 {
            self.number()?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::MemoryError;

    const START: u64 = 0x1000;

    struct Bytes(Vec<u8>);

    impl ReadMemory for Bytes {
        fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
            let at = address.0.checked_sub(START).and_then(|at| usize::try_from(at).ok());
            let found = at.and_then(|at| self.0.get(at..at.checked_add(out.len())?));
            out.copy_from_slice(found.ok_or(MemoryError::Unmapped(address))?);
            Ok(())
        }
    }

    fn section(id: u8, content: &[u8]) -> Vec<u8> {
        [&[id, u8::try_from(content.len()).unwrap()], content].concat()
    }

    /// Imports a table, a function, a memory and a tag; has two functions, the second named.
    fn module() -> Vec<u8> {
        let imports: [&[u8]; 5] = [
            &[4],
            &[1, b'm', 1, b't', 1, 0x70, 1, 0, 1],
            &[1, b'm', 1, b'f', 0, 0],
            &[1, b'm', 1, b'g', 2, 8, 1, 16],
            &[1, b'm', 1, b'e', 4, 0, 0],
        ];
        let names: [&[u8]; 4] =
            [&[4], b"name", &[0, 2, 1, b'm'], &[1, 9, 2, 0, 1, b'i', 2, 3, b'o', b'n', b'e']];
        let sections: [&[u8]; 4] = [
            b"\0asm\x01\0\0\0",
            &section(section::IMPORT, &imports.concat()),
            &section(section::CODE, &[2, 2, 0, 0x0b, 3, 0, 1, 0x0b]),
            &section(section::CUSTOM, &names.concat()),
        ];
        sections.concat()
    }

    fn read(bytes: Vec<u8>) -> Option<WasmBinary> {
        let len = bytes.len() as u64;
        WasmBinary::read(&Bytes(bytes), Avma(START), len)
    }

    #[test]
    fn functions_are_counted_placed_and_named() {
        let bytes = module();
        let binary = read(bytes.clone()).unwrap();
        assert_eq!((binary.n_imported, binary.n_declared()), (1, 2));
        assert_eq!(
            [0, 1, 2, 3].map(|index| binary.declared(index)),
            [None, Some(0), Some(1), None]
        );
        let body = bytes.windows(4).position(|it| it == [3, 0, 1, 0x0b]).unwrap() + 1;
        let offset = |position| binary.offset(2, position).map(|at| at as usize);
        assert_eq!((offset(0), offset(2), offset(3)), (Some(body), Some(body + 2), None));
        let memory = Bytes(bytes);
        assert_eq!(binary.name(&memory, 2).as_deref(), Some("one"));
        assert_eq!(binary.name(&memory, 1), None);
    }

    #[test]
    fn an_import_of_an_unknown_kind_refuses_the_module() {
        let mut bytes = module();
        let kind = bytes.windows(2).position(|it| it == [b'f', 0]).unwrap() + 1;
        bytes.splice(kind..=kind, [7]);
        assert_eq!(read(bytes), None);
    }

    #[test]
    fn a_module_that_is_cut_is_refused() {
        let bytes = module();
        for len in 9..bytes.len() {
            let cut = bytes.get(..len).unwrap_or_default().to_vec();
            let whole = read(cut).map_or(0, |binary| binary.n_declared());
            assert!(whole == 0 || len > 40, "{len}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(mut bytes in prop::collection::vec(any::<u8>(), 8..300), index in 0u32..9) {
            bytes.splice(..8, MAGIC_AND_VERSION.to_le_bytes());
            let memory = Bytes(bytes.clone());
            if let Some(binary) = read(bytes) {
                let _name = binary.name(&memory, index);
                let _offset = binary.offset(index, index);
            }
        }

        #[test]
        fn any_damage_is_survived(at in 8usize..90, with in any::<u8>()) {
            let mut bytes = module();
            if let Some(byte) = bytes.get_mut(at) {
                *byte = with;
            }
            let memory = Bytes(bytes.clone());
            if let Some(binary) = read(bytes) {
                let _names = [0, 1, 2].map(|index| binary.name(&memory, index));
            }
        }
    }
}
