//! One look for Node processes, with what rules ask of them. Runs where it may block; who is watched is decided by the fleet.

use std::io;
use std::sync::Arc;

use nix::unistd::{Uid, User};

use crate::base::{FastMap, FastSet, Nanos, ProcessKey, sanitize};
use crate::daemon::coming::Due;
use crate::daemon::selection::Traits;
use crate::node::identity::IdentityError;
use crate::node::plan::PlanCache;
use crate::node::processes::{Finder, NodeProcess};
use crate::sys::{clock, procfs};

/// A Node process that is not watched.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub key: ProcessKey,
    pub traits: Traits,
    pub node_version: Option<String>,
    /// Why it cannot be watched, if so.
    pub obstacle: Option<Arc<IdentityError>>,
}

/// Looks again and again.
#[derive(Debug, Default)]
pub struct Discovery {
    finder: Finder,
    users: FastMap<u32, Option<String>>,
}

/// What a look has found.
#[derive(Debug)]
pub struct Found {
    pub candidates: Vec<Candidate>,
    /// How long it took to look at all processes, if that was done.
    pub scan_took: Option<Nanos>,
    /// Of those that were to be looked at, named as Node and over by then.
    pub n_gone: u64,
}

impl Discovery {
    /// Processes that are not `known` and at least `min_age` old.
    pub fn look(
        &mut self,
        cache: Option<&PlanCache>,
        known: &FastSet<u32>,
        min_age: Nanos,
    ) -> io::Result<Found> {
        let started_at = clock::now();
        let own = std::process::id();
        let processes = self.finder.look(cache, |pid| pid == own || known.contains(&pid))?;
        let candidates = processes.into_iter().filter_map(|it| self.candidate(it, min_age));
        let candidates = candidates.collect();
        let scan_took = Some(clock::now().since(started_at));
        Ok(Found { candidates, scan_took, n_gone: 0 })
    }

    /// These processes, however young.
    pub fn look_at(&mut self, cache: Option<&PlanCache>, due: &[Due]) -> Found {
        let mut found = Found { candidates: Vec::new(), scan_took: None, n_gone: 0 };
        for Due { pid, is_named_node } in due {
            let candidate = self
                .finder
                .look_at(cache, *pid)
                .and_then(|process| self.candidate(process, Nanos(0)));
            let is_gone = || *is_named_node && procfs::exe_path(*pid).is_err();
            if candidate.is_none() && is_gone() {
                found.n_gone += 1;
            }
            found.candidates.extend(candidate);
        }
        found
    }

    /// What was learned of files and users is forgotten.
    pub fn forget(&mut self) {
        self.finder.forget_files();
        self.users.clear();
    }

    /// `None` if it is too young, or gone.
    fn candidate(&mut self, process: NodeProcess, min_age: Nanos) -> Option<Candidate> {
        let key = procfs::process_key(process.pid).ok()?;
        if clock::age_of_ticks(key.start_ticks)? < min_age {
            return None;
        }
        let uid = procfs::status(process.pid).ok().and_then(|status| status.uid);
        let name = |uid: u32| User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|it| it.name);
        let user = uid.and_then(|uid| self.users.entry(uid).or_insert_with(|| name(uid)).clone());
        let version = process.node_version.map(|it| it.to_string());
        Some(Candidate {
            key,
            traits: Traits {
                command: sanitize(&process.command),
                uid,
                user: user.map(|user| sanitize(&user)),
                cgroup: procfs::cgroup(process.pid).map(|path| sanitize(&path)),
            },
            node_version: version.map(|it| it.trim_start_matches('v').to_owned()),
            obstacle: process.obstacle,
        })
    }
}
