//! Layer 3: the fold.
