//! Layer 2: V8 over any `ReadMemory`. Pure: what is read comes through the trait, so that tests need no Node.

pub mod allocator;
