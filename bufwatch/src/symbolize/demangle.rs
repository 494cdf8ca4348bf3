//! Symbols of C++ and Rust as people say them: no parameters, no template arguments, no clone suffixes. Which
//! symbol an address belongs to is not known here.

use std::borrow::Cow;

use cpp_demangle::{DemangleOptions, Symbol};

use crate::base::sanitize;

/// Longer mangled names stay mangled: demangling can expand them without bound.
const MANGLED_BYTES_MAX: usize = 1_024;

/// What compilers append to the name of a function that they changed or split.
const CLONE_SUFFIXES: [&str; 9] = [
    ".cold",
    ".constprop.",
    ".isra.",
    ".llvm.",
    ".localalias",
    ".lto_priv.",
    ".part.",
    ".warm",
    "@",
];

/// What is called of a lambda: the call operator, and the function that it converts to.
const LAMBDA_CALLS: [&str; 3] = ["operator()", "_FUN", "__invoke"];

/// V8's functions for what builtins and generated code call, with the macros' decoration, and how they are
/// called among V8's people (`BUILTIN` and `RUNTIME_FUNCTION` in V8's `src`).
const V8_ENTRIES: [(&str, &str); 6] = [
    ("Builtin_Impl_Stats_", "builtin"),
    ("Builtin_Impl_", "builtin"),
    ("Builtin_", "builtin"),
    ("Stats_Runtime_", "runtime"),
    ("__RT_impl_Runtime_", "runtime"),
    ("Runtime_", "runtime"),
];

/// Short name of a symbol; what is neither C++ nor Rust stays as it is.
pub(super) fn short_name(symbol: &str) -> String {
    let symbol = without_clone_suffixes(symbol);
    if symbol.starts_with("_GLOBAL__sub_I_") {
        return "[static initializers]".to_owned();
    }
    if symbol.len() > MANGLED_BYTES_MAX || !symbol.starts_with('_') {
        return sanitize(symbol);
    }
    let name = if is_rust(symbol) {
        rust_name(symbol)
    } else {
        cpp_name(symbol).or_else(|| leading_names(symbol))
    };
    sanitize(name.filter(|name| !name.is_empty()).as_deref().unwrap_or(symbol))
}

/// Names of other languages have dots as well: only known suffixes go.
fn without_clone_suffixes(symbol: &str) -> &str {
    let first = CLONE_SUFFIXES.iter().filter_map(|suffix| symbol.find(suffix)).min();
    first.and_then(|at| symbol.get(..at)).filter(|rest| !rest.is_empty()).unwrap_or(symbol)
}

fn cpp_name(symbol: &str) -> Option<String> {
    let options = DemangleOptions::new().no_params().no_return_type();
    // Whatever other suffix there is, it is not part of a mangled name.
    let mangled = symbol.split('.').next()?;
    let mangled = behind_thunk(mangled).map_or_else(|| mangled.to_owned(), |it| format!("_Z{it}"));
    let full = Symbol::new(&mangled).ok()?.demangle_with_options(&options).ok()?;
    let name = without_lambda_calls(&without_arguments(&full));
    let Some(inner) = name.strip_prefix("v8::internal::") else { return Some(name) };
    let entry =
        V8_ENTRIES.iter().find_map(|(prefix, kind)| Some((inner.strip_prefix(prefix)?, kind)));
    Some(entry.map_or_else(|| name.clone(), |(rest, kind)| format!("{kind} {rest}")))
}

/// `a::b…` of a name that the demangler does not know to the end: constraints of C++20, 3 % of Node 26.
fn leading_names(symbol: &str) -> Option<String> {
    let mut rest = symbol.strip_prefix("_Z")?.trim_start_matches('Z');
    rest = rest.strip_prefix('N').unwrap_or(rest).trim_start_matches(['K', 'V', 'R', 'O']);
    let mut names: Vec<&str> = Vec::new();
    loop {
        rest = rest.strip_prefix('L').unwrap_or(rest);
        if let Some(after) = rest.strip_prefix("St").filter(|_| names.is_empty()) {
            names.push("std");
            rest = after;
            continue;
        }
        let n_digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, after) = rest.split_at_checked(n_digits)?;
        let Ok(len) = digits.parse() else { break };
        let (name, after) = after.split_at_checked(len)?;
        if !name.starts_with("_GLOBAL__N") {
            names.push(name);
        }
        rest = after;
    }
    (!names.is_empty()).then(|| format!("{}…", names.join("::")))
}

/// The function that a thunk, which only adjusts `this`, jumps to: `_ZThn88_f`, `_ZTv0_n24_f`.
fn behind_thunk(mangled: &str) -> Option<&str> {
    let is_offset = |text: &str| text.bytes().all(|it| it == b'n' || it.is_ascii_digit());
    let (rest, n_offsets) = match mangled.strip_prefix("_ZTh") {
        Some(rest) => (rest, 1),
        None => (mangled.strip_prefix("_ZTv")?, 2),
    };
    (0..n_offsets).try_fold(rest, |rest, _| {
        let (offset, rest) = rest.split_once('_')?;
        is_offset(offset).then_some(rest)
    })
}

/// `f::{lambda#1}::operator()` → `f::{lambda#1}`; clang's `$_1` is the same.
fn without_lambda_calls(name: &str) -> String {
    let mut parts: Vec<Cow<'_, str>> = Vec::new();
    let mut is_in_lambda = false;
    for part in name.split("::") {
        let clang_number = part.strip_prefix("$_").and_then(|number| number.parse::<u32>().ok());
        let is_call = LAMBDA_CALLS.contains(&part);
        if is_in_lambda && is_call {
            continue;
        }
        is_in_lambda = clang_number.is_some() || part.starts_with("{lambda");
        parts.push(clang_number.map_or_else(
            || Cow::Borrowed(part),
            |number| format!("{{lambda#{}}}", number.saturating_add(1)).into(),
        ));
    }
    parts.join("::")
}

/// The new scheme, or the old one, which looks like C++ but for the hash at the end.
fn is_rust(symbol: &str) -> bool {
    let hash = symbol.strip_suffix('E').and_then(|it| it.get(it.len().checked_sub(19)?..));
    let is_old = hash
        .and_then(|it| it.strip_prefix("17h"))
        .is_some_and(|hash| hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    symbol.starts_with("_R") || (is_old && symbol.starts_with("_ZN"))
}

fn rust_name(symbol: &str) -> Option<String> {
    let full = format!("{:#}", rustc_demangle::try_demangle(symbol).ok()?);
    let (own_type, rest) = split_impl(&full);
    // Of `f::<T>` the colons stay.
    let name = without_arguments(&format!("{own_type}{rest}")).replace("::::", "::");
    Some(name.trim_end_matches("::").to_owned())
}

/// `<a::B<C> as d::E>::f` → `a::B<C>`, `::f`; other names have no first part.
fn split_impl(name: &str) -> (&str, &str) {
    let unsplit = ("", name);
    let Some(inside) = name.strip_prefix('<') else { return unsplit };
    let mut depth = 1_u32;
    let mut as_at = None;
    let mut before = ' ';
    for (at, c) in inside.char_indices() {
        match c {
            '<' => depth += 1,
            '>' if before != '-' => depth -= 1,
            ' ' if depth == 1 && as_at.is_none() => {
                as_at = inside.get(at..).filter(|it| it.starts_with(" as ")).map(|_| at);
            }
            _ => {}
        }
        if depth == 0 {
            let own_type = inside.get(..as_at.unwrap_or(at)).unwrap_or_default();
            let own_type = own_type.trim_start_matches('&').trim_start_matches("mut ");
            // The type may be an associated one, in brackets again.
            let own_type =
                if own_type.starts_with('<') { split_impl(own_type).0 } else { own_type };
            return (own_type, inside.get(at + 1..).unwrap_or_default());
        }
        before = c;
    }
    unsplit
}

/// `a<b<c>>::(anonymous namespace)::d(e)::{lambda(f)#1}` → `a::d::{lambda#1}`; `operator<`, `operator<<` and
/// `operator()` keep theirs.
fn without_arguments(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut depth = 0_usize;
    let mut rest = name.chars();
    while let Some(c) = rest.next() {
        let tail = rest.as_str();
        match c {
            '(' if depth == 0 && tail.starts_with("anonymous namespace)") => {
                rest = tail.get("anonymous namespace)".len()..).unwrap_or_default().chars();
                skip(&mut rest, "::");
            }
            '(' if depth == 0 && out.ends_with("operator") && tail.starts_with(')') => {
                out.push_str("()");
                skip(&mut rest, ")");
            }
            '[' if depth == 0 && tail.starts_with("abi:") => {
                rest = tail.split_once(']').map_or("", |(_, after)| after).chars();
            }
            '<' if depth == 0 && is_operator(&out) => out.push(c),
            '(' | '<' => depth += 1,
            // The arrow of a function type closes nothing.
            '>' if depth > 0 && out_of_arrow(name, tail) => depth -= 1,
            ')' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    // Of a member function; its own qualifiers are left out by the demangler.
                    skip(&mut rest, " const");
                    skip(&mut rest, " &&");
                    skip(&mut rest, " &");
                }
            }
            _ if depth == 0 => out.push(c),
            _ => {}
        }
    }
    let out = out.trim_end_matches(" &&").trim_end_matches(" &").trim_end_matches(" const");
    // Arguments of an operator come after a blank.
    out.trim_end().to_owned()
}

/// True if the `>` before `tail` is not that of `->`.
fn out_of_arrow(name: &str, tail: &str) -> bool {
    let before = name.len().checked_sub(tail.len() + 2);
    before.and_then(|at| name.as_bytes().get(at)) != Some(&b'-')
}

fn skip(rest: &mut std::str::Chars<'_>, text: &str) {
    if let Some(after) = rest.as_str().strip_prefix(text) {
        *rest = after.chars();
    }
}

/// The operators with `<` have it first or twice; behind others it begins arguments.
fn is_operator(text: &str) -> bool {
    text.strip_suffix('<').unwrap_or(text).ends_with("operator")
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
            ("Builtins_ArrayMap", "Builtins_ArrayMap"),
            ("_Znonsense", "_Znonsense"),
            ("_Z", "_Z"),
            ("", ""),
            ("inflate", "inflate"),
            ("main.(*Store).Put", "main.(*Store).Put"),
            ("chacha20_set_ctx_params.part.0", "chacha20_set_ctx_params"),
            ("_ZN2v88internal7Isolate5ThrowENS0_6TaggedE.cold", "v8::internal::Isolate::Throw"),
            ("_ZN1a1bEv.constprop.0.isra.1", "a::b"),
            (
                "_ZN4node6crypto12_GLOBAL__N_114SecureHeapUsedERKN2v820FunctionCallbackInfoINS2_5ValueEEE",
                "node::crypto::SecureHeapUsed",
            ),
            (
                "_ZN2v88internal12_GLOBAL__N_120ElementsAccessorBaseINS1_33SlowStringWrapperElementsAccessorENS1_18ElementsKindTraitsILNS0_12ElementsKindE17EEEE9SetAtomicENS0_6HandleINS0_8JSObjectEEENS0_13InternalIndexENS0_6TaggedINS0_6ObjectEEENS_15SeqCstAccessTagE",
                "v8::internal::ElementsAccessorBase::SetAtomic",
            ),
            ("_ZThn80_N4node7ReqWrapI10uv_write_sE12GetAsyncWrapEv", "node::ReqWrap::GetAsyncWrap"),
            ("_ZTv0_n24_N1a1bEv", "a::b"),
            (
                "_ZN6icu_7813LocaleBuilder5buildB5cxx11ER10UErrorCode",
                "icu_78::LocaleBuilder::build",
            ),
            ("_ZNO6icu_7815MeasureUnitImpl5buildER10UErrorCode", "icu_78::MeasureUnitImpl::build"),
            (
                "_GLOBAL__sub_I__ZN2v88internal27Builtin_StringFromCodePointEiPmPNS0_7IsolateE",
                "[static initializers]",
            ),
        ];
        for (symbol, name) in cases {
            assert_eq!(short_name(symbol), name);
        }
    }

    #[test]
    fn what_builtins_call() {
        let cases = [
            (
                "_ZN2v88internal30Runtime_TypedArrayCopyElementsEiPmPNS0_7IsolateE",
                "runtime TypedArrayCopyElements",
            ),
            (
                "_ZN2v88internal30Builtin_ArrayBufferConstructorEiPmPNS0_7IsolateE",
                "builtin ArrayBufferConstructor",
            ),
            (
                "_ZN2v88internalL40Builtin_Impl_SharedStructTypeConstructorENS0_16BuiltinArgumentsEPNS0_7IsolateE.cold",
                "builtin SharedStructTypeConstructor",
            ),
            (
                "_ZN2v88internalL30Builtin_Impl_Stats_ArrayConcatEiPmPNS0_7IsolateE",
                "builtin ArrayConcat",
            ),
        ];
        for (symbol, name) in cases {
            assert_eq!(short_name(symbol), name);
        }
    }

    #[test]
    fn operators_keep_their_signs() {
        let cases = [
            ("_ZN1alsERK1b", "a::operator<<"),
            ("_ZStlsIN2v88internal12StdoutStreamEPcEOT_S5_RKT0_", "std::operator<<"),
            ("_ZN1altERK1b", "a::operator<"),
            ("_ZN1assERK1b", "a::operator<=>"),
            ("_ZN1aptEv", "a::operator->"),
            ("_ZN1aclIiEEvT_", "a::operator()"),
            ("_ZN1aaSIiEERS_T_", "a::operator="),
            ("_ZN2v820EscapableHandleScopenaEm", "v8::EscapableHandleScope::operator new[]"),
            ("_ZNK4node5http211Http2StreamdeEv.cold.711", "node::http2::Http2Stream::operator*"),
        ];
        for (symbol, name) in cases {
            assert_eq!(short_name(symbol), name);
        }
    }

    #[test]
    fn lambdas_are_short() {
        let cases = [
            (
                "_ZZN4node6worker16WorkerThreadDataD4EvENUlPvE_4_FUNES2_",
                "node::worker::WorkerThreadData::~WorkerThreadData::{lambda#1}",
            ),
            (
                "_ZNSt17_Function_handlerIFvvEZN2v88internal17MemoryMeasurement14ScheduleGCTaskENS1_22MeasureMemoryExecutionEEUlvE_E10_M_managerERSt9_Any_dataRKS7_St18_Manager_operation",
                "std::_Function_handler::_M_manager",
            ),
            (
                "_ZZZN4node2fsL12ReadFileUtf8ERKN2v820FunctionCallbackInfoINS1_5ValueEEEENKUlvE_clEvE20error_and_abort_args",
                "node::fs::ReadFileUtf8::{lambda#1}::error_and_abort_args",
            ),
            (
                "_ZZN4node5http212Http2Session14EmitStatisticsEvENK3$_0clEv",
                "node::http2::Http2Session::EmitStatistics::{lambda#1}",
            ),
        ];
        for (symbol, name) in cases {
            assert_eq!(short_name(symbol), name);
        }
    }

    #[test]
    fn what_the_demangler_does_not_know_is_cut() {
        let cases = [
            (
                "_ZN2v88internal6Object8ToNumberIS1_NS0_12DirectHandleEQsr3stdE16is_convertible_vIT0_IT_ENS3_IS5_EEEEENS4_INS0_5UnionIJNS0_3SmiENS0_10HeapNumberEEEEE9MaybeTypeEPNS0_7IsolateES6_",
                "v8::internal::Object::ToNumber…",
            ),
            ("_ZNKSt12_GLOBAL__N_13absIQaaE", "std::abs…"),
            ("_ZN99shortE", "_ZN99shortE"),
        ];
        for (symbol, name) in cases {
            assert_eq!(short_name(symbol), name);
        }
    }

    #[test]
    fn add_ons_in_rust() {
        let cases = [
            (
                "_ZN3std9panicking11begin_panic28_$u7b$$u7b$closure$u7d$$u7d$17h835d4c2f592c418cE",
                "std::panicking::begin_panic::{{closure}}",
            ),
            (
                "_ZN59_$LT$dyn$u20$core..any..Any$u20$as$u20$core..fmt..Debug$GT$3fmt17h879e28c2ac141321E",
                "dyn core::any::Any::fmt",
            ),
            (
                "_ZN9addr2line4unit16ResUnit$LT$R$GT$25find_function_or_location17h7b7fe41a989e8ab8E.llvm.123",
                "addr2line::unit::ResUnit::find_function_or_location",
            ),
            ("_RNvCs1234_7mycrate3foo", "mycrate::foo"),
            ("_RINvNtC3std3mem8align_ofjE", "std::mem::align_of"),
            ("_RNvXs_C4snapNtB4_6EngineNtNtC4core3ops4Drop4drop", "snap::Engine::drop"),
            ("_R", "_R"),
        ];
        for (symbol, name) in cases {
            assert_eq!(short_name(symbol), name);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_symbol_is_survived(symbol in "(_ZN|_Z|_R|_ZThn)?[A-Za-z0-9_$<>(){}.@ü-]{0,80}(17h0123456789abcdefE)?") {
            let _name = short_name(&symbol);
            let _name = without_arguments(&symbol);
            let _parts = split_impl(&symbol);
        }
    }
}
