//! Catalog + symbols + code → plan. Opens nothing and attaches nothing; what cannot be had becomes a `Missing`
//! with its consequence.

use cpp_demangle::DemangleOptions;

use crate::elf::{Image, Pattern, Symbol, SymbolKind};
use crate::node::identity::MappedImage;
use crate::node::plan::catalog::{self, ProbePurpose, SYSCALL_WRAPPERS};
use crate::node::plan::census::CensusSymbols;
use crate::node::plan::instruction::{
    Point, PointIssue, choose_after_syscall, choose_entry, choose_exact_entry,
};
use crate::node::plan::layout::{AllocatorFacts, CodeRange, FrameConstants, StoreLayout};
use crate::node::plan::{Missing, Probe, ProbeImage, ProbePlan};
use crate::node::survey::{Stated, Survey};
use crate::v8::Metadata;

/// Most code of one function that is decoded; the probed functions have less than 8 KiB.
const CODE_BYTES_MAX: usize = 16 << 10;
/// Decoded of a function whose symbol has no size.
const CODE_BYTES_UNSIZED: usize = 256;
/// Several copies of a function are probed; more than these would be a misread table.
const COPIES_MAX: usize = 4;

/// The plan of a Node image, without the C library.
pub(super) fn resolve(image: &Image, survey: &Survey) -> ProbePlan {
    let mut plan = ProbePlan {
        build_id: image.build_id.clone(),
        file_bytes: image.file_bytes(),
        node_version: survey.node_version,
        v8_version: survey.v8_version,
        probes: Vec::new(),
        missing: Vec::new(),
        callback_functions: Vec::new(),
        layout: StoreLayout::resolve(image, survey),
        frames: FrameConstants::resolve(image, survey),
        allocator: AllocatorFacts::resolve(survey),
        census: CensusSymbols::resolve(image, survey),
        v8: Metadata::resolve(&Stated { survey, image }, survey.v8_version.map(Into::into)),
    };
    add_creation(&mut plan, image, survey);
    let rows: [(ProbePurpose, &[Pattern]); 7] = [
        (ProbePurpose::StoreDestroyed, &[catalog::DESTRUCTOR_D1, catalog::DESTRUCTOR_D2]),
        (ProbePurpose::StoreResize, &[catalog::RESIZE]),
        (ProbePurpose::StoreGrow, &[catalog::GROW]),
        (ProbePurpose::WasmGrow, &[catalog::GROW_WASM]),
        (ProbePurpose::GcStarted, &[catalog::PERFORM_GC]),
        (ProbePurpose::GcFinished, &[catalog::GC_EPILOGUE_SAFEPOINT, catalog::GC_EPILOGUE]),
        (ProbePurpose::HeapTearDown, &[catalog::HEAP_TEAR_DOWN]),
    ];
    for (purpose, patterns) in rows {
        let chosen = patterns
            .iter()
            .enumerate()
            .map(|(rank, pattern)| (rank, functions(survey.find(*pattern))))
            .find(|(_, symbols)| !symbols.is_empty());
        let (rank, symbols) = chosen.unwrap_or_default();
        add_probes(&mut plan, image, purpose, &symbols, rank > 0, patterns);
    }
    add_async(&mut plan, image, survey);
    plan
}

/// What tells async origins: of each purpose all functions there are.
fn add_async(plan: &mut ProbePlan, image: &Image, survey: &Survey) {
    let rows: [(ProbePurpose, &[Pattern]); 6] = [
        (ProbePurpose::AsyncCreated, &[catalog::ASYNC_RESET]),
        (ProbePurpose::AsyncCallback, &[catalog::MAKE_CALLBACK]),
        (ProbePurpose::AsyncStreamRead, &[catalog::STREAM_READ]),
        (
            ProbePurpose::AsyncFile,
            &[catalog::PROMISE_RESOLVE, catalog::PROMISE_RESOLVE_STAT, catalog::READ_FILE_JOB],
        ),
        (ProbePurpose::AsyncMessage, &[catalog::PORT_MESSAGE]),
        (ProbePurpose::AsyncAccept, &[catalog::ACCEPT_TCP, catalog::ACCEPT_PIPE]),
    ];
    for (purpose, patterns) in rows {
        let symbols: Vec<&Symbol> =
            patterns.iter().flat_map(|pattern| functions(survey.find(*pattern))).collect();
        add_probes(plan, image, purpose, &symbols, false, patterns);
        if purpose.runs_callbacks() {
            let ranges = symbols.iter().filter_map(|symbol| {
                let end = symbol.svma.checked_add(symbol.size)?;
                Some(CodeRange { start: symbol.svma, end })
            });
            plan.callback_functions.extend(ranges);
        }
    }
}

/// The function that gives an array buffer its store; which register has it follows from the signature.
fn add_creation(plan: &mut ProbePlan, image: &Image, survey: &Survey) {
    let patterns = [catalog::ATTACH, catalog::CREATE_EXTENSION];
    for pattern in patterns {
        let symbols: Vec<&Symbol> = functions(survey.find(pattern))
            .into_iter()
            .filter(|symbol| symbol.name.contains("shared_ptr"))
            .collect();
        if let Some(first) = symbols.first() {
            let parameters = first.name.strip_prefix(pattern.text()).unwrap_or_default();
            let purpose = if parameters.starts_with("PNS0_7IsolateE") {
                ProbePurpose::StoreCreatedArg2
            } else {
                ProbePurpose::StoreCreatedArg1
            };
            add_probes(plan, image, purpose, &symbols, false, &patterns);
            return;
        }
    }
    add_probes(plan, image, ProbePurpose::StoreCreatedArg1, &[], false, &patterns);
}

/// Functions and their clones with a constant argument; not the cold parts of them, which have no entry.
fn functions(symbols: &[Symbol]) -> Vec<&Symbol> {
    let is_whole = |symbol: &&Symbol| match symbol.name.split_once('.') {
        None => true,
        Some((_, suffix)) => suffix.starts_with("constprop."),
    };
    let mut symbols: Vec<&Symbol> = symbols
        .iter()
        .filter(|symbol| symbol.kind == SymbolKind::Function)
        .filter(is_whole)
        .collect();
    symbols.sort_by_key(|symbol| (symbol.svma, &symbol.name));
    symbols.dedup_by_key(|symbol| symbol.svma);
    symbols.truncate(COPIES_MAX);
    symbols
}

fn add_probes(
    plan: &mut ProbePlan,
    image: &Image,
    purpose: ProbePurpose,
    symbols: &[&Symbol],
    is_substitute: bool,
    patterns: &[Pattern],
) {
    let mut reason = "the binary has no such symbol".to_owned();
    let mut is_found = false;
    for symbol in symbols {
        let choose = if purpose.has_return_probe() { choose_exact_entry } else { choose_entry };
        let point = read_code(image, symbol).and_then(|code| choose(&code, symbol.svma.0));
        match point.and_then(|point| to_probe(image, ProbeImage::Node, purpose, symbol, point)) {
            Ok(probe) => {
                is_found = true;
                plan.probes.push(Probe { is_substitute, ..probe });
            }
            Err(issue) => reason = issue.to_string(),
        }
    }
    if !is_found {
        plan.missing.push(to_missing(purpose, patterns, reason));
    }
}

/// Adds the system call wrappers: of the C library, or of the image itself if it is linked statically.
pub(super) fn add_libc(plan: &mut ProbePlan, libc: Option<&MappedImage>, node: &MappedImage) {
    let (image, probe_image) = match libc {
        Some(libc) => (&libc.image, ProbeImage::Libc),
        None => (&node.image, ProbeImage::Node),
    };
    let patterns: Vec<Pattern> =
        SYSCALL_WRAPPERS.iter().flat_map(|wrapper| wrapper.names).copied().collect();
    let found = image.find_symbols(&patterns).unwrap_or_default();
    for wrapper in SYSCALL_WRAPPERS {
        let symbol = wrapper.names.iter().find_map(|name| {
            let at = patterns.iter().position(|pattern| pattern == name)?;
            functions(found.get(at)?).first().copied()
        });
        let probe = symbol.map(|symbol| {
            let code = read_code(image, symbol)?;
            let point =
                choose_after_syscall(&code, symbol.svma.0, wrapper.number, wrapper.n_arguments)?;
            to_probe(image, probe_image, wrapper.purpose, symbol, point)
        });
        match probe {
            Some(Ok(probe)) => plan.probes.push(probe),
            Some(Err(issue)) => {
                plan.missing.push(to_missing(wrapper.purpose, wrapper.names, issue.to_string()));
            }
            None => {
                let reason = if libc.is_some() {
                    "the C library has no such symbol"
                } else {
                    "no glibc is mapped and the binary has no such symbol"
                };
                plan.missing.push(to_missing(wrapper.purpose, wrapper.names, reason.to_owned()));
            }
        }
    }
}

fn read_code(image: &Image, symbol: &Symbol) -> Result<Vec<u8>, PointIssue> {
    let len = match usize::try_from(symbol.size) {
        Ok(0) => CODE_BYTES_UNSIZED,
        Ok(size) => size.min(CODE_BYTES_MAX),
        Err(_) => CODE_BYTES_MAX,
    };
    image.read_up_to(symbol.svma, len).map_err(|_| PointIssue::NoCode)
}

fn to_probe(
    image: &Image,
    probe_image: ProbeImage,
    purpose: ProbePurpose,
    symbol: &Symbol,
    point: Point,
) -> Result<Probe, PointIssue> {
    let svma = symbol.svma.checked_add(point.offset).ok_or(PointIssue::NoCode)?;
    let file_offset = image.file_offset_of(svma).ok_or(PointIssue::NoCode)?;
    Ok(Probe {
        purpose,
        image: probe_image,
        mangled: symbol.name.clone(),
        symbol: demangle(&symbol.name),
        is_substitute: false,
        svma,
        offset_in_function: point.offset,
        file_offset,
        instruction: point.text,
        cost: point.cost,
    })
}

fn to_missing(purpose: ProbePurpose, patterns: &[Pattern], reason: String) -> Missing {
    Missing {
        purpose,
        tried: patterns
            .iter()
            .map(|pattern| match pattern {
                Pattern::Exact(text) => (*text).to_owned(),
                Pattern::Prefix(text) => format!("{text}…"),
            })
            .collect(),
        reason,
        consequence: purpose.consequence().to_owned(),
    }
}

/// Without parameters; the mangled name if it is none.
fn demangle(mangled: &str) -> String {
    let (name, suffix) = mangled.split_once('.').unwrap_or((mangled, ""));
    let options = DemangleOptions::new().no_params().no_return_type();
    let demangled = cpp_demangle::Symbol::new(name)
        .ok()
        .and_then(|symbol| symbol.demangle_with_options(&options).ok())
        .unwrap_or_else(|| name.to_owned());
    if suffix.is_empty() { demangled } else { format!("{demangled} [{suffix}]") }
}
