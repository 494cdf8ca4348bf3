//! How a view reads its bytes, by the name of its class. What JavaScript does with it is not known.

/// What a view makes of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ViewKind {
    /// Each byte for itself.
    Buffer,
    Bytes,
    /// Several bytes are one number: `Float64Array`.
    Numbers(&'static str),
    /// Says for each access how; or a class of the application.
    DataView,
    Other,
}

/// Names of V8's typed arrays whose elements are longer than a byte.
const NUMBERS: [&str; 9] = [
    "Int16Array",
    "Uint16Array",
    "Float16Array",
    "Int32Array",
    "Uint32Array",
    "Float32Array",
    "Float64Array",
    "BigInt64Array",
    "BigUint64Array",
];

impl ViewKind {
    pub(super) fn of(type_name: &str) -> Self {
        match type_name {
            "Buffer" | "FastBuffer" => Self::Buffer,
            "Uint8Array" | "Int8Array" | "Uint8ClampedArray" => Self::Bytes,
            "DataView" => Self::DataView,
            name => NUMBERS
                .iter()
                .find(|known| **known == name)
                .map_or(Self::Other, |name| Self::Numbers(name)),
        }
    }

    /// Writing through one changes what the other reads in a way that neither can see.
    pub(super) fn conflicts_with(self, other: Self) -> bool {
        let as_elements = |kind| match kind {
            Self::Buffer | Self::Bytes => Some("bytes"),
            Self::Numbers(name) => Some(name),
            // A DataView is made to read what others wrote, and what a class of the application does is not known.
            Self::DataView | Self::Other => None,
        };
        match (as_elements(self), as_elements(other)) {
            (Some(a), Some(b)) => a != b,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_kinds_of_elements_conflict() {
        let conflict = |a, b| ViewKind::of(a).conflicts_with(ViewKind::of(b));
        assert!(conflict("Float64Array", "Uint8Array"));
        assert!(conflict("Buffer", "Int32Array"));
        assert!(conflict("Float32Array", "Int32Array"));
        assert!(!conflict("Buffer", "Uint8Array"));
        assert!(!conflict("Float32Array", "Float32Array"));
        assert!(!conflict("DataView", "Uint8Array"));
        assert!(!conflict("Packet", "Float64Array"));
    }
}
