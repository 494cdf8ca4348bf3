//! Makes small ELF images, whole ones: what is wrong with them is up to the test.

/// Address of the only segment, which is executable and 0x100 bytes long, at 0x1000 in the file.
pub(crate) const TEXT: u64 = 0x40_1000;

pub(crate) struct SyntheticElf {
    pub(crate) machine: u16,
    pub(crate) interpreter: &'static str,
    pub(crate) symbols: Vec<(&'static str, u64)>,
    /// The segment's first bytes.
    pub(crate) text: Vec<u8>,
}

impl Default for SyntheticElf {
    fn default() -> Self {
        let interpreter = "/lib64/ld-linux-x86-64.so.2";
        Self { machine: 62, interpreter, symbols: Vec::new(), text: Vec::new() }
    }
}

impl SyntheticElf {
    /// File header; at 0x200 a build id, 0x280 the interpreter, 0x300 symbols, 0x500 section headers, 0x600
    /// names, 0x1000 the segment.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut bytes = vec![0_u8; 0x1100];
        let mut put = |at: usize, what: &[u8]| bytes[at..at + what.len()].copy_from_slice(what);
        put(0, b"\x7fELF\x02\x01\x01");
        put(16, &2_u16.to_le_bytes());
        put(18, &self.machine.to_le_bytes());
        put(32, &64_u64.to_le_bytes());
        put(40, &0x500_u64.to_le_bytes());
        put(54, &56_u16.to_le_bytes());
        put(56, &3_u16.to_le_bytes());
        put(58, &64_u16.to_le_bytes());
        put(60, &3_u16.to_le_bytes());
        let interpreter_len = self.interpreter.len() as u64 + 1;
        // PT_LOAD r-x, PT_NOTE, PT_INTERP.
        for (index, kind, flags, offset, svma, len) in [
            (0_usize, 1_u32, 5_u32, 0x1000_u64, TEXT, 0x100_u64),
            (1, 4, 4, 0x200, 0, 24),
            (2, 3, 4, 0x280, 0, interpreter_len),
        ] {
            let at = 64 + index * 56;
            put(at, &kind.to_le_bytes());
            put(at + 4, &flags.to_le_bytes());
            put(at + 8, &offset.to_le_bytes());
            put(at + 16, &svma.to_le_bytes());
            put(at + 32, &len.to_le_bytes());
            put(at + 40, &len.to_le_bytes());
        }
        put(0x200, &4_u32.to_le_bytes());
        put(0x204, &8_u32.to_le_bytes());
        put(0x208, &3_u32.to_le_bytes());
        put(0x20c, b"GNU\0\x01\x02\x03\x04\x05\x06\x07\x08");
        put(0x280, self.interpreter.as_bytes());
        let mut names = vec![0_u8];
        for (index, (name, svma)) in self.symbols.iter().enumerate() {
            let at = 0x300 + (index + 1) * 24;
            put(at, &(names.len() as u32).to_le_bytes());
            // STB_GLOBAL, STT_FUNC, defined.
            put(at + 4, &[0x12]);
            put(at + 6, &1_u16.to_le_bytes());
            put(at + 8, &svma.to_le_bytes());
            put(at + 16, &0x20_u64.to_le_bytes());
            names.extend(name.as_bytes());
            names.push(0);
        }
        put(0x600, &names);
        put(0x1000, &self.text);
        let symbols_len = (self.symbols.len() as u64 + 1) * 24;
        // None, .symtab, .strtab.
        for (index, kind, offset, len, link) in
            [(1_usize, 2_u32, 0x300_u64, symbols_len, 2_u32), (2, 3, 0x600, names.len() as u64, 0)]
        {
            let at = 0x500 + index * 64;
            put(at + 4, &kind.to_le_bytes());
            put(at + 24, &offset.to_le_bytes());
            put(at + 32, &len.to_le_bytes());
            put(at + 40, &link.to_le_bytes());
        }
        bytes
    }
}
