//! One pass over the symbols of a Node image: everything that identity and plan need of them, and the versions
//! that the binary itself states. Runs nothing of the binary.

use std::fmt;

use crate::base::{FastMap, Svma};
use crate::elf::{Image, Pattern, Symbol};
use crate::node::identity::IdentityError;
use crate::node::plan::catalog;
use crate::node::plan::instruction::find_address_taken;
use crate::v8::{Release, StatedNumbers};

/// A released version of Node; `v24.1.0` as text.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(into = "String", try_from = "String")]
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

/// A version of V8; layouts depend on major and minor. `13.6.233.17` as text.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(into = "String", try_from = "String")]
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

impl From<V8Version> for Release {
    fn from(version: V8Version) -> Self {
        Self { major: version.major, minor: version.minor }
    }
}

impl From<NodeVersion> for String {
    fn from(version: NodeVersion) -> Self {
        version.to_string()
    }
}

impl TryFrom<String> for NodeVersion {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let [major, minor, patch] =
            text.strip_prefix('v').and_then(parse_numbers).ok_or("not a version of Node")?;
        Ok(Self { major, minor, patch })
    }
}

impl From<V8Version> for String {
    fn from(version: V8Version) -> Self {
        version.to_string()
    }
}

impl TryFrom<String> for V8Version {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let [major, minor, build, patch] = parse_numbers(&text).ok_or("not a version of V8")?;
        Ok(Self { major, minor, build, patch })
    }
}

/// Exactly `N` numbers with dots between them.
fn parse_numbers<const N: usize>(text: &str) -> Option<[u32; N]> {
    let numbers: Option<Vec<u32>> = text.split('.').map(|part| part.parse().ok()).collect();
    numbers?.try_into().ok()
}

/// Bytes of a word of V8's heap that bufwatch understands: no pointer compression.
const TAGGED_BYTES: u32 = 8;
/// Of `napi_get_node_version`, decoded.
const VERSION_FUNCTION_BYTES: usize = 128;

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
        match survey.stated(image, "TaggedSize") {
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

    /// A number that V8 states of itself, by its name without `v8dbg_`.
    pub fn stated(&self, image: &Image, name: &str) -> Option<u32> {
        let (value, _) = Stated { survey: self, image }.stated(&[name])?;
        Some(value)
    }

    /// A 32-bit constant that a data symbol points at.
    pub fn read_constant(&self, image: &Image, pattern: Pattern) -> Option<u32> {
        image.read_u32(self.find(pattern).first()?.svma).ok()
    }

    /// The static structure that `napi_get_node_version` hands out begins with three numbers.
    fn read_node_version(&self, image: &Image) -> Option<NodeVersion> {
        let start =
            self.address(catalog::NAPI_VERSION_DATA).or_else(|| self.find_version_data(image))?;
        let word = |at: u64| image.read_u32(start.checked_add(at)?).ok();
        let version = NodeVersion { major: word(0)?, minor: word(4)?, patch: word(8)? };
        is_plausible(&[version.major, version.minor, version.patch]).then_some(version)
    }

    /// In a stripped binary the structure has no symbol, but the exported function takes its address.
    fn find_version_data(&self, image: &Image) -> Option<Svma> {
        let function = self.address(catalog::NAPI_GET_NODE_VERSION)?;
        let code = image.read_up_to(function, VERSION_FUNCTION_BYTES).ok()?;
        find_address_taken(&code, function.0).map(Svma)
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

/// The `v8dbg_*` numbers of an image.
pub(super) struct Stated<'a> {
    pub(super) survey: &'a Survey,
    pub(super) image: &'a Image,
}

impl StatedNumbers for Stated<'_> {
    fn stated(&self, names: &[&str]) -> Option<(u32, String)> {
        let symbols = self.survey.find(catalog::STATED_NUMBERS);
        names.iter().find_map(|wanted| {
            let symbol = symbols.iter().find(|symbol| {
                let name = symbol.name.strip_prefix(catalog::STATED_NUMBERS.text());
                match wanted.strip_suffix('*') {
                    Some(beginning) => name.is_some_and(|name| name.starts_with(beginning)),
                    None => name == Some(wanted),
                }
            })?;
            let value = self.image.read_u32(symbol.svma).ok()?;
            let name = symbol.name.strip_prefix(catalog::STATED_NUMBERS.text())?;
            Some((value, name.to_owned()))
        })
    }
}

fn is_plausible(parts: &[u32]) -> bool {
    parts.iter().all(|part| *part < 10_000) && parts.first().is_some_and(|major| *major > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_the_same_after_text() {
        let node = NodeVersion { major: 24, minor: 1, patch: 0 };
        assert_eq!(String::from(node), "v24.1.0");
        assert_eq!(NodeVersion::try_from(String::from(node)), Ok(node));
        let v8 = V8Version { major: 13, minor: 6, build: 233, patch: 17 };
        assert_eq!(V8Version::try_from(String::from(v8)), Ok(v8));
        for text in ["", "v", "24.1.0", "v24.1", "v24.1.0.1", "v24.1.-1"] {
            assert!(NodeVersion::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
