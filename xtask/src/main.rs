//! Sets up, builds, runs, tests and benchmarks bufwatch; it is not part of the product.
fn main() {}
