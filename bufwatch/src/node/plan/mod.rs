//! The probe plan of one binary: where to put which probe, the layouts its records are read with, and what is
//! missing. All addresses are stated ones or file positions, so a plan holds for every process of the binary.

pub mod cache;
pub mod catalog;
mod census;
mod explain;
pub mod instruction;
pub mod layout;
mod resolve;

use crate::base::{Avma, Bias, FileOffset, Svma};
use crate::elf::BuildId;
use crate::node::identity::{self, IdentityError, MappedImage, NodeIdentity};
use crate::node::survey::{NodeVersion, Survey, V8Version};
use crate::v8::Metadata;
use crate::v8::allocator;
use crate::v8::page::PageLayout;

pub use crate::base::Constant;
pub use cache::PlanCache;
pub use catalog::ProbePurpose;
pub use census::CensusSymbols;
pub use instruction::Cost;
pub use layout::{AllocatorFacts, CodeRange, FlagBits, FrameConstants, HeapPointer, StoreLayout};

/// Which file a probe is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeImage {
    Node,
    Libc,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Probe {
    pub purpose: ProbePurpose,
    pub image: ProbeImage,
    /// As the file spells it.
    pub mangled: String,
    /// For people; not sanitized.
    pub symbol: String,
    /// The first choice was not there.
    pub is_substitute: bool,
    /// Of the probed instruction.
    pub svma: Svma,
    /// Of the probed instruction, from the symbol.
    pub offset_in_function: u64,
    /// Of the probed instruction; what the kernel takes.
    pub file_offset: FileOffset,
    /// Disassembled.
    pub instruction: String,
    pub cost: Cost,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Missing {
    pub purpose: ProbePurpose,
    /// Names looked for.
    pub tried: Vec<String>,
    pub reason: String,
    /// What the user loses.
    pub consequence: String,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ProbePlan {
    pub build_id: Option<BuildId>,
    /// Size of the binary in bytes.
    pub file_bytes: u64,
    pub node_version: Option<NodeVersion>,
    pub v8_version: Option<V8Version>,
    pub probes: Vec<Probe>,
    pub missing: Vec<Missing>,
    /// The whole code of the probed functions that run callbacks of async resources.
    pub callback_functions: Vec<CodeRange>,
    pub layout: StoreLayout,
    pub frames: FrameConstants,
    pub allocator: Option<AllocatorFacts>,
    /// How V8's objects are laid out in this binary.
    pub v8: Metadata,
    pub census: CensusSymbols,
}

impl ProbePlan {
    /// The probes for one purpose; Node 18 has two for the start of a GC.
    pub fn probes_for(&self, purpose: ProbePurpose) -> impl Iterator<Item = &Probe> {
        self.probes.iter().filter(move |probe| probe.purpose == purpose)
    }

    /// Async origins can be told: where resources are created, and what most of them call back by.
    pub fn has_async_origins(&self) -> bool {
        let mut needed = [ProbePurpose::AsyncCreated, ProbePurpose::AsyncCallback].into_iter();
        needed.all(|purpose| self.probes_for(purpose).next().is_some())
    }

    /// How headers of V8's pages are laid out.
    pub fn page_layout(&self) -> Option<PageLayout> {
        Some(match self.allocator.as_ref()?.heap_pointer.get()? {
            HeapPointer::InPage { offset: 16 } => PageLayout::Plain,
            HeapPointer::InPage { .. } => PageLayout::SelfPointer,
            HeapPointer::InMetadata { .. } => PageLayout::Metadata,
        })
    }

    /// How the array buffer allocators of a process are found.
    pub fn allocator_facts(&self, bias: Bias) -> Option<allocator::AllocatorFacts> {
        let facts = self.allocator.as_ref()?;
        let Avma(vtable) = bias.to_avma(facts.vtable_pointer());
        let total_offset = u64::from(facts.total_offset.get()?);
        Some(allocator::AllocatorFacts { vtable: Avma(vtable), total_offset })
    }

    /// Creation and destruction of stores can be seen and read.
    pub fn is_usable(&self) -> bool {
        self.missing.iter().all(|missing| !missing.purpose.is_required())
            && self.layout.flags_offset.get().is_some()
    }
}

/// A Node process with its plan.
#[derive(Clone, Debug)]
pub struct Planned {
    pub identity: NodeIdentity,
    pub plan: ProbePlan,
    pub is_from_cache: bool,
}

/// Opens a process and resolves its plan, or takes it from the cache; a plan that cannot be stored is no error.
pub fn obtain(pid: u32, cache: Option<&PlanCache>) -> Result<Planned, IdentityError> {
    let mut identity = identity::open(pid)?;
    let (mut plan, is_from_cache) = obtain_for_image(&identity.node, cache)?;
    identity.node_version = plan.node_version;
    identity.v8_version = plan.v8_version;
    // Never from the cache: the C library is not part of the Node binary.
    resolve::add_libc(&mut plan, identity.libc.as_ref(), &identity.node);
    Ok(Planned { identity, plan, is_from_cache })
}

/// The plan of a file, without the C library's part; and whether it came from the cache.
pub fn obtain_for_image(
    node: &MappedImage,
    cache: Option<&PlanCache>,
) -> Result<(ProbePlan, bool), IdentityError> {
    let image = &node.image;
    let cached = image.build_id.as_ref().and_then(|id| cache?.load(id, image.file_bytes()));
    if let Some(plan) = cached {
        return Ok((plan, true));
    }
    let survey = Survey::take(&node.path, image)?;
    let plan = resolve::resolve(image, &survey);
    if let Some(cache) = cache {
        cache.store(&plan);
    }
    Ok((plan, false))
}
