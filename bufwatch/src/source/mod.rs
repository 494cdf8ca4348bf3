//! Layer 5: producers of events. Nothing above asks which one runs; what they can and cannot see, they declare.

pub mod census;
pub mod census_cassette;
pub mod ebpf;
mod page_search;
pub mod replay;
pub mod residency;
pub mod sampler;
mod standstill;

pub use ebpf::EbpfSource;
