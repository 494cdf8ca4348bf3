//! The hash map of the project: foldhash, randomly seeded, so that hostile keys cannot make it slow.
#![expect(clippy::disallowed_types, reason = "this is where the alias is made")]

pub type FastMap<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;
pub type FastSet<K> = std::collections::HashSet<K, foldhash::fast::RandomState>;
