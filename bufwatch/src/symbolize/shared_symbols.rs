//! Symbol tables of files, built once for all processes that map them: that of Node has some ten megabytes. One that no process needs any
//! more is gone.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::base::FastMap;
use crate::elf::{BuildId, Image, SymbolIndex};

/// What tells files apart: two of one build id and size have the same symbols.
type Key = (BuildId, u64);

/// Handle on tables that sessions share.
#[derive(Clone, Debug, Default)]
pub struct SharedSymbols(Arc<Mutex<FastMap<Key, Weak<SymbolIndex>>>>);

impl SharedSymbols {
    /// The symbols of a file; `None` if they cannot be read. A file without a build id is not shared.
    pub(super) fn index(&self, image: &Image) -> Option<Arc<SymbolIndex>> {
        let build = || SymbolIndex::build(image).ok().map(Arc::new);
        let Some(build_id) = image.build_id.clone() else { return build() };
        // Held while it is built: who waits needs the same.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, index| index.strong_count() > 0);
        let key = (build_id, image.file_bytes());
        if let Some(index) = known.get(&key).and_then(Weak::upgrade) {
            return Some(index);
        }
        let index = build()?;
        known.insert(key, Arc::downgrade(&index));
        Some(index)
    }

    /// Tables that are in use.
    pub fn n_tables(&self) -> usize {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().filter(|index| index.strong_count() > 0).count()
    }
}
