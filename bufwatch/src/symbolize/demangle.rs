//! C++ symbols as people say them: no parameters, no template arguments, no clone suffixes.

use cpp_demangle::{DemangleOptions, Symbol};

use crate::base::sanitize;

/// Longer mangled names stay mangled: demangling can expand them without bound.
const MANGLED_BYTES_MAX: usize = 1_024;

/// Short name of a symbol; what is not C++ stays as it is.
pub(super) fn short_name(symbol: &str) -> String {
    let mangled = symbol.split_once('.').map_or(symbol, |(name, _clone)| name);
    if mangled.len() > MANGLED_BYTES_MAX || !mangled.starts_with("_Z") {
        return sanitize(mangled);
    }
    let options = DemangleOptions::new().no_params().no_return_type();
    let full = Symbol::new(mangled).ok().and_then(|s| s.demangle_with_options(&options).ok());
    full.map_or_else(|| sanitize(mangled), |full| sanitize(&without_template_arguments(&full)))
}

/// `a<b<c>>::d` → `a::d`; `operator<` and `operator<<` keep theirs.
fn without_template_arguments(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut depth = 0usize;
    for c in name.chars() {
        match c {
            '<' if depth > 0 || !is_operator(&out) => depth += 1,
            '>' if depth > 0 => depth -= 1,
            _ if depth == 0 => out.push(c),
            _ => {}
        }
    }
    out
}

fn is_operator(text: &str) -> bool {
    text.trim_end_matches(['<', '=', '-']).ends_with("operator")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_nobody_reads() {
        let cases = [
            (
                "_ZN2v88internal13JSArrayBuffer6AttachESt10shared_ptrINS0_12BackingStoreEE",
                "v8::internal::JSArrayBuffer::Attach",
            ),
            ("_ZN4node6Buffer3NewEPN2v87IsolateEm", "node::Buffer::New"),
            ("_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector::push_back"),
            ("_ZN1alsERK1b", "a::operator<<"),
            ("Builtins_ArrayMap", "Builtins_ArrayMap"),
            ("_ZN1a1bEv.constprop.0", "a::b"),
            ("_Znonsense", "_Znonsense"),
        ];
        for (symbol, name) in cases {
            assert_eq!(short_name(symbol), name);
        }
    }
}
