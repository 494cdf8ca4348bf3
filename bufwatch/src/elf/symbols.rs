//! Symbols of an image: a search for many names in one pass that retains nothing, and a compact index from
//! address to name. Names are not interpreted here.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use object::elf;

use crate::base::{FileOffset, Svma};
use crate::elf::image::SymbolTable;
use crate::elf::records::{E, RawSymbol, records};
use crate::elf::{ElfError, Image, ReadAt, read_vec};

/// Most symbols looked at in one table; node 26 has 210,000.
const SYMBOLS_MAX: u64 = 2_000_000;
/// Most symbols returned for one pattern: functions have a handful of clones, V8 states 600 numbers.
const MATCHES_MAX: usize = 2_048;
/// Symbols read at a time.
const SYMBOLS_PER_READ: u64 = 8192;
const SYMBOL_BYTES: u64 = size_of::<RawSymbol>() as u64;
/// Bytes of the name table held at a time.
const NAME_WINDOW_BYTES: u64 = 256 << 10;
/// Longest name compared with patterns; V8 has templates of more than 10,000 characters, which nobody looks for.
const SEARCHED_NAME_BYTES_MAX: usize = 1024;
/// Functions looked at before an address: one may lie inside another.
const ENCLOSING_MAX: usize = 16;
/// Longest name returned for an address.
const NAME_BYTES_MAX: usize = 16 << 10;

/// What to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    Exact(&'static str),
    Prefix(&'static str),
}

impl Pattern {
    pub const fn text(self) -> &'static str {
        match self {
            Self::Exact(text) | Self::Prefix(text) => text,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SymbolKind {
    Function,
    Object,
    ThreadLocal,
    Other,
}

/// A defined symbol. `Debug` output may contain foreign text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// As the file spells it, mangled, without a version suffix.
    pub name: String,
    pub svma: Svma,
    /// Bytes; zero if the file does not say.
    pub size: u64,
    pub kind: SymbolKind,
}

/// What [`Image::find_symbols`] found: per pattern, in the order asked, all symbols that match.
pub type Found = Vec<Vec<Symbol>>;

impl Image {
    /// Finds all symbols that match, in `.symtab` or, where that has been stripped, in `.dynsym`.
    ///
    /// Memory: 8 bytes per symbol and a window on the names, both released at the end.
    pub fn find_symbols(&self, patterns: &[Pattern]) -> Result<Found, ElfError> {
        let mut found: Found = vec![Vec::new(); patterns.len()];
        let Some(table) = self.symtab.as_ref().or(self.dynsym.as_ref()) else {
            return Ok(found);
        };
        let mut sorted: Vec<(usize, Pattern)> = patterns.iter().copied().enumerate().collect();
        sorted.sort_unstable_by_key(|(_, pattern)| pattern.text());

        let mut by_name: Vec<(u32, u32)> = Vec::new();
        for_each_symbol(&*self.source, table, |index, symbol| {
            if is_defined(symbol) {
                by_name.push((symbol.st_name.get(E), index));
            }
        })?;
        // In the order of their names, so that the name table is read once from start to end.
        by_name.sort_unstable();

        let mut names = NameWindow::new(&*self.source, table);
        for (name_offset, index) in by_name {
            let Some(name) = names.name_at(name_offset)? else { continue };
            let Some(at) = find_pattern(&sorted, name) else { continue };
            if found.get(at).is_none_or(|list| list.len() >= MATCHES_MAX) {
                continue;
            }
            let name = String::from_utf8_lossy(name).into_owned();
            let offset = u64::from(index)
                .checked_mul(SYMBOL_BYTES)
                .and_then(|distance| table.symbols.start.checked_add(distance))
                .ok_or(ElfError::Damaged("symbol"))?;
            let bytes = read_vec(&*self.source, offset, SYMBOL_BYTES, 64, "symbol")?;
            for symbol in records::<RawSymbol>(&bytes) {
                if let Some(list) = found.get_mut(at) {
                    list.push(to_symbol(name.clone(), symbol));
                }
            }
        }
        Ok(found)
    }
}

/// The pattern that `name` matches. `sorted` must not hold a prefix pattern that another pattern continues.
fn find_pattern(sorted: &[(usize, Pattern)], name: &[u8]) -> Option<usize> {
    let after = sorted.partition_point(|(_, pattern)| pattern.text().as_bytes() <= name);
    let (index, pattern) = sorted.get(after.checked_sub(1)?)?;
    let is_match = match pattern {
        Pattern::Exact(text) => text.as_bytes() == name,
        Pattern::Prefix(text) => name.starts_with(text.as_bytes()),
    };
    is_match.then_some(*index)
}

pub(super) fn is_defined(symbol: &RawSymbol) -> bool {
    // Thread-local symbols are offsets and may be zero.
    symbol.st_shndx.get(E).0 != elf::SHN_UNDEF.0 && symbol.st_name.get(E) != 0
}

fn to_symbol(name: String, symbol: &RawSymbol) -> Symbol {
    Symbol {
        name,
        svma: Svma(symbol.st_value.get(E)),
        size: symbol.st_size.get(E),
        kind: kind_of(symbol),
    }
}

fn kind_of(symbol: &RawSymbol) -> SymbolKind {
    let kind = symbol.st_info.0 & 0xf;
    if kind == elf::STT_FUNC.0 || kind == elf::STT_GNU_IFUNC.0 {
        SymbolKind::Function
    } else if kind == elf::STT_OBJECT.0 {
        SymbolKind::Object
    } else if kind == elf::STT_TLS.0 {
        SymbolKind::ThreadLocal
    } else {
        SymbolKind::Other
    }
}

pub(super) fn for_each_symbol(
    source: &dyn ReadAt,
    table: &SymbolTable,
    mut visit: impl FnMut(u32, &RawSymbol),
) -> Result<(), ElfError> {
    let n = (table.symbols.end.saturating_sub(table.symbols.start) / SYMBOL_BYTES).min(SYMBOLS_MAX);
    let mut index = 0_u64;
    while index < n {
        let n_now = n.saturating_sub(index).min(SYMBOLS_PER_READ);
        let offset = table.symbols.start.saturating_add(index.saturating_mul(SYMBOL_BYTES));
        let len = n_now.saturating_mul(SYMBOL_BYTES);
        let bytes = read_vec(source, offset, len, 1 << 20, "symbol table")?;
        for symbol in records::<RawSymbol>(&bytes) {
            visit(index as u32, symbol);
            index = index.saturating_add(1);
        }
    }
    Ok(())
}

/// A part of the name table that moves forward.
pub(super) struct NameWindow<'a> {
    source: &'a dyn ReadAt,
    table: &'a SymbolTable,
    /// Offset of `bytes` in the name table.
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> NameWindow<'a> {
    pub(super) fn new(source: &'a dyn ReadAt, table: &'a SymbolTable) -> Self {
        Self { source, table, start: 0, bytes: Vec::new() }
    }

    /// The name at an offset of the name table; none if it is outside, endless or absurdly long.
    pub(super) fn name_at(&mut self, name_offset: u32) -> Result<Option<&[u8]>, ElfError> {
        let name_offset = u64::from(name_offset);
        let len = self.table.names.end.saturating_sub(self.table.names.start);
        let window_end = self.start.saturating_add(self.bytes.len() as u64);
        let wanted_end = name_offset.saturating_add(SEARCHED_NAME_BYTES_MAX as u64).min(len);
        // Moves only where the window ends, else a table without terminators would be read for each symbol.
        if name_offset < self.start || window_end < wanted_end {
            let Some(rest) = len.checked_sub(name_offset) else { return Ok(None) };
            let from = self.table.names.start.saturating_add(name_offset);
            self.bytes = read_vec(
                self.source,
                from,
                rest.min(NAME_WINDOW_BYTES),
                NAME_WINDOW_BYTES as usize,
                "symbol names",
            )?;
            self.start = name_offset;
        }
        Ok(self.find_end(name_offset).and_then(|range| self.bytes.get(range)))
    }

    fn find_end(&self, name_offset: u64) -> Option<std::ops::Range<usize>> {
        let from = usize::try_from(name_offset.checked_sub(self.start)?).ok()?;
        let len =
            self.bytes.get(from..)?.iter().take(SEARCHED_NAME_BYTES_MAX).position(|it| *it == 0)?;
        Some(from..from.checked_add(len)?)
    }
}

fn read_functions(
    image: &Image,
    table: &SymbolTable,
    base: Svma,
) -> Result<Vec<Function>, ElfError> {
    let mut functions: Vec<Function> = Vec::new();
    for_each_symbol(&*image.source, table, |_, symbol| {
        let svma = Svma(symbol.st_value.get(E));
        let distance = svma.0.checked_sub(base.0).and_then(|it| u32::try_from(it).ok());
        if let Some(distance) = distance
            && kind_of(symbol) == SymbolKind::Function
            && is_defined(symbol)
            && image.is_executable(svma)
        {
            functions.push(Function {
                distance,
                is_local: symbol.st_info.0 >> 4 == elf::STB_LOCAL.0,
                name: symbol.st_name.get(E),
                size: u32::try_from(symbol.st_size.get(E)).unwrap_or(u32::MAX),
            });
        }
    })?;
    // Of several names for one address the exported one stays.
    functions.sort_unstable();
    functions.dedup_by(|later, kept| {
        let is_same = later.distance == kept.distance;
        if is_same {
            kept.size = kept.size.max(later.size);
        }
        is_same
    });
    Ok(functions)
}

/// A function; the address is a distance from the lowest segment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Function {
    distance: u32,
    is_local: bool,
    name: u32,
    size: u32,
}

/// Function symbols by address: 16 bytes each; names stay in the file.
pub struct SymbolIndex {
    image: Image,
    names: std::ops::Range<u64>,
    base: Svma,
    /// Sorted.
    functions: Vec<Function>,
}

impl std::fmt::Debug for SymbolIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SymbolIndex")
            .field("n_functions", &self.functions.len())
            .finish_non_exhaustive()
    }
}

impl SymbolIndex {
    /// Reads the symbol table once. Local labels without a type are left out: they would shadow the builtins
    /// they are in.
    pub fn build(image: &Image) -> Result<Self, ElfError> {
        let base = image.segments.iter().map(|segment| segment.svma).min().unwrap_or_default();
        for table in [&image.symtab, &image.dynsym].into_iter().flatten() {
            let functions = read_functions(image, table, base)?;
            // A stripped file may keep a table without functions.
            if !functions.is_empty() {
                let names = table.names.clone();
                return Ok(Self { image: image.clone(), names, base, functions });
            }
        }
        Ok(Self { image: image.clone(), names: 0..0, base, functions: Vec::new() })
    }

    pub const fn n_functions(&self) -> usize {
        self.functions.len()
    }

    /// The function that `svma` is in, mangled, and how many bytes into it. A file that was stripped tells only
    /// some functions: what lies behind the end of one is not its code.
    pub fn nearest(&self, svma: Svma) -> Option<(String, u64)> {
        if !self.image.is_executable(svma) {
            return None;
        }
        let distance = u32::try_from(svma.0.checked_sub(self.base.0)?).ok()?;
        let after = self.functions.partition_point(|function| function.distance <= distance);
        let before = self.functions.get(..after)?.iter().rev().take(ENCLOSING_MAX);
        let (into, function) = before
            .filter_map(|function| Some((distance.checked_sub(function.distance)?, function)))
            // Hand-written assembly may have no size.
            .find(|(into, function)| function.size == 0 || *into < function.size)?;
        Some((self.read_name(function.name)?, u64::from(into)))
    }

    fn read_name(&self, name_offset: u32) -> Option<String> {
        /// Most names fit; a longer one is read again.
        const FIRST_READ: u64 = 512;
        let start = self.names.start.checked_add(u64::from(name_offset))?;
        let rest = self.names.end.checked_sub(start)?;
        for len in [FIRST_READ, NAME_BYTES_MAX as u64] {
            let len = len.min(rest);
            let bytes =
                read_vec(&*self.image.source, start, len, NAME_BYTES_MAX, "symbol name").ok()?;
            if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
                return Some(String::from_utf8_lossy(bytes.get(..end)?).into_owned());
            }
        }
        None
    }

    /// Where in the file an address is; for the caller that knows only this index.
    pub fn file_offset_of(&self, svma: Svma) -> Option<FileOffset> {
        self.image.file_offset_of(svma)
    }

    pub fn svma_of(&self, offset: FileOffset) -> Option<Svma> {
        self.image.svma_of(offset)
    }
}
