//! Room for large arrays, with a wish about the memory behind them. Knows nothing of what is put there.
//!
//! A census looks up millions of words at random places: with pages of 4 KiB each of them costs a second access, to the page tables,
//! and each new page a fault. Asking for large pages is the kernel's business, so the caller brings the function.

/// Makes large arrays.
#[derive(Clone, Copy, Debug, Default)]
pub struct Room {
    prepare: Option<fn(&mut [u8])>,
}

impl Room {
    /// `prepare` sees each array before it is used, and must not change it.
    pub const fn new(prepare: fn(&mut [u8])) -> Self {
        Self { prepare: Some(prepare) }
    }

    /// Zeroes.
    pub fn words(self, n: usize) -> Vec<u64> {
        self.prepared(vec![0_u64; n])
    }

    /// Zeroes.
    pub fn numbers(self, n: usize) -> Vec<u32> {
        self.prepared(vec![0_u32; n])
    }

    fn prepared<T: object::pod::Pod>(self, mut array: Vec<T>) -> Vec<T> {
        if let Some(prepare) = self.prepare {
            prepare(object::pod::bytes_of_slice_mut(&mut array));
        }
        array
    }
}
