//! One pass over the symbols of a Node image: everything that identity and plan need of them, and the versions
//! that the binary itself states. Runs nothing of the binary.

use std::fmt;

use crate::base::{FastMap, Svma};
use crate::elf::{Image, Pattern, Symbol};
use crate::node::identity::IdentityError;
use crate::node::plan::catalog;

/// A released version of Node.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct NodeVersion {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

impl fmt::Display for NodeVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("v{}.{}.{}", self.major, self.minor, self.patch))
    }
}

/// A version of V8; layouts depend on major and minor.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct V8Version {
    pub major: u32,
    pub minor: u32,
    pub build: u32,
    pub patch: u32,
}

impl fmt::Display for V8Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}.{}.{}", self.major, self.minor, self.build, self.patch))
    }
}

/// Bytes of a word of V8's heap that bufwatch understands: no pointer compression.
const TAGGED_BYTES: u32 = 8;

/// The symbols found, by the pattern they were asked for with.
#[derive(Debug)]
pub struct Survey {
    symbols: FastMap<&'static str, Vec<Symbol>>,
    pub node_version: Option<NodeVersion>,
    pub v8_version: Option<V8Version>,
}

impl Survey {
    /// Searches the image and refuses what is not a Node that bufwatch can read. `path` is for messages.
    pub fn take(path: &str, image: &Image) -> Result<Self, IdentityError> {
        let survey = Self::search(path, image)?;
        let is_node = !survey.find(catalog::NAPI_GET_NODE_VERSION).is_empty()
            || !survey.find(catalog::ALLOCATOR_VTABLE).is_empty();
        if !is_node {
            return Err(IdentityError::NotNode { path: path.to_owned() });
        }
        if survey.find(catalog::ATTACH).is_empty()
            && survey.find(catalog::CREATE_EXTENSION).is_empty()
        {
            return Err(IdentityError::Stripped { path: path.to_owned() });
        }
        match survey.read_constant(image, catalog::TAGGED_SIZE) {
            Some(tagged_bytes) if tagged_bytes != TAGGED_BYTES => {
                Err(IdentityError::CompressedPointers { path: path.to_owned(), tagged_bytes })
            }
            _ => Ok(survey),
        }
    }

    fn search(path: &str, image: &Image) -> Result<Self, IdentityError> {
        let found = image
            .find_symbols(catalog::PATTERNS)
            .map_err(|source| IdentityError::Image { path: path.to_owned(), source })?;
        let symbols = catalog::PATTERNS.iter().map(|it| it.text()).zip(found).collect();
        let mut survey = Self { symbols, node_version: None, v8_version: None };
        survey.node_version = survey.read_node_version(image);
        survey.v8_version = survey.read_v8_version(image);
        Ok(survey)
    }

    /// Symbols that match a pattern of the catalog.
    pub fn find(&self, pattern: Pattern) -> &[Symbol] {
        self.symbols.get(pattern.text()).map_or(&[], Vec::as_slice)
    }

    /// A 32-bit constant that a data symbol points at.
    pub fn read_constant(&self, image: &Image, pattern: Pattern) -> Option<u32> {
        image.read_u32(self.find(pattern).first()?.svma).ok()
    }

    /// The static structure that `napi_get_node_version` hands out begins with three numbers.
    fn read_node_version(&self, image: &Image) -> Option<NodeVersion> {
        let start = self.find(catalog::NAPI_VERSION_DATA).first()?.svma;
        let word = |at: u64| image.read_u32(start.checked_add(at)?).ok();
        let version = NodeVersion { major: word(0)?, minor: word(4)?, patch: word(8)? };
        is_plausible(&[version.major, version.minor, version.patch]).then_some(version)
    }

    fn read_v8_version(&self, image: &Image) -> Option<V8Version> {
        let [major, minor, build, patch] =
            catalog::V8_VERSION.map(|pattern| self.read_constant(image, pattern));
        let version = V8Version { major: major?, minor: minor?, build: build?, patch: patch? };
        is_plausible(&[version.major, version.minor, version.build, version.patch])
            .then_some(version)
    }

    /// Address of the first symbol that matches.
    pub fn address(&self, pattern: Pattern) -> Option<Svma> {
        self.find(pattern).first().map(|symbol| symbol.svma)
    }
}

fn is_plausible(parts: &[u32]) -> bool {
    parts.iter().all(|part| *part < 10_000) && parts.first().is_some_and(|major| *major > 0)
}
