//! What the daemon is told: settings as a TOML file has them, with their defaults, checked. Reading the file is `config_file`'s part.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, de};

use crate::analysis::query::{parse_bytes, parse_duration};
use crate::base::{Bytes, Nanos};
use crate::daemon::events::NAMES;
use crate::daemon::listen::Listen;
use crate::daemon::outgoing::settings::{EventSettings, Otlp};
use crate::daemon::selection::Rule;
use crate::event::Backend;
use crate::session::BackendChoice;

/// Longest time around a finding.
const KEEP_MAX: Nanos = Nanos::from_mins(24 * 60);

/// All settings. Unknown keys are refused: a misspelt limit is no limit.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub listen: Listen,
    /// Who asks over TCP must know what is in it.
    pub token_file: Option<PathBuf>,
    /// Between two looks for new processes.
    #[serde(deserialize_with = "duration")]
    pub scan_every: Nanos,
    pub processes: Processes,
    pub tracing: Tracing,
    pub census: Census,
    pub findings: Findings,
    pub recordings: Recordings,
    pub events: EventSettings,
    pub otlp: Otlp,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Listen::default(),
            token_file: None,
            scan_every: Nanos::SECOND,
            processes: Processes::default(),
            tracing: Tracing::default(),
            census: Census::default(),
            findings: Findings::default(),
            recordings: Recordings::default(),
            events: EventSettings::default(),
            otlp: Otlp::default(),
        }
    }
}

/// Which processes, and how many.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Processes {
    /// At once, in all.
    pub max: usize,
    /// At once, of one service.
    pub max_per_service: usize,
    /// Younger ones wait: a command that is over in a moment is not worth attaching to.
    #[serde(deserialize_with = "duration")]
    pub min_age: Nanos,
    /// Without any, all.
    pub include: Vec<Rule>,
    /// Counts more than `include`.
    pub exclude: Vec<Rule>,
}

impl Default for Processes {
    fn default() -> Self {
        Self {
            max: 100,
            max_per_service: 100,
            min_age: Nanos::from_millis(100),
            include: Vec::new(),
            exclude: Vec::new(),
        }
    }
}

/// What is traced in each process.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tracing {
    /// How processes are watched; cannot change while the daemon runs.
    #[serde(deserialize_with = "backend")]
    pub backend: BackendChoice,
    /// Smallest store tracked one by one.
    #[serde(deserialize_with = "size")]
    pub min_size: Bytes,
    /// Buffer between kernel and bufwatch.
    #[serde(deserialize_with = "size")]
    pub ring_size: Bytes,
    /// Live stores that are tracked of one process.
    pub max_stores: u32,
    pub source_maps: bool,
    pub async_origin: bool,
    /// What probes may cost each process, in percent of one core.
    pub max_overhead: Option<f64>,
}

impl Default for Tracing {
    fn default() -> Self {
        Self {
            backend: BackendChoice::Auto,
            min_size: Bytes(64 << 10),
            ring_size: Bytes(256 << 10),
            max_stores: 1 << 17,
            source_maps: true,
            async_origin: false,
            max_overhead: None,
        }
    }
}

/// Looks at V8's heap, each of which stops its process for milliseconds. One at a time on the whole host.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Census {
    /// Of one process; zero: never by itself.
    #[serde(deserialize_with = "duration")]
    pub every: Nanos,
    /// The same where stores are seen by them only.
    #[serde(deserialize_with = "duration")]
    pub sampled_every: Nanos,
    /// From the attach to the first one.
    #[serde(deserialize_with = "duration")]
    pub first_after: Nanos,
    /// Share of time in percent that a process may stand still.
    pub pause_budget: f64,
}

impl Default for Census {
    fn default() -> Self {
        Self {
            every: Nanos::from_mins(5),
            sampled_every: Nanos::from_secs(10),
            first_after: Nanos::from_secs(30),
            pause_budget: 0.5,
        }
    }
}

impl Census {
    /// As it holds for a backend.
    #[must_use]
    pub fn with(&self, backend: Backend) -> Self {
        if backend.sees().every_store || self.every.0 == 0 {
            return self.clone();
        }
        let every = self.sampled_every;
        Self { every, first_after: self.first_after.min(every), ..self.clone() }
    }
}

/// When a finding is told, and when it is over.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Findings {
    /// Smaller ones are not told; one that was told is over below half of this.
    #[serde(deserialize_with = "size")]
    pub min_bytes: Bytes,
    /// It must be there for so long without a break.
    #[serde(deserialize_with = "duration")]
    pub open_after: Nanos,
    /// It must be gone for so long.
    #[serde(deserialize_with = "duration")]
    pub close_after: Nanos,
}

impl Default for Findings {
    fn default() -> Self {
        Self {
            min_bytes: Bytes(1 << 20),
            open_after: Nanos::from_secs(10),
            close_after: Nanos::from_mins(1),
        }
    }
}

/// What is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// All that is watched, all the time.
    Always,
    /// What is around findings.
    Findings,
    /// What somebody asks for.
    Request,
}

/// Recordings of what is watched, one file after the other.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recordings {
    /// Without one, nothing is recorded.
    pub directory: Option<PathBuf>,
    pub when: When,
    /// Where what is around findings is recorded: how much of the time before one opens; zero: none.
    #[serde(deserialize_with = "duration")]
    pub keep_before: Nanos,
    /// And after it is closed.
    #[serde(deserialize_with = "duration")]
    pub keep_after: Nanos,
    /// Of one file: then the next one begins.
    #[serde(deserialize_with = "size")]
    pub max_size: Bytes,
    #[serde(deserialize_with = "duration")]
    pub max_age: Nanos,
    /// Of all files together: the oldest go first.
    #[serde(deserialize_with = "size")]
    pub keep_size: Bytes,
    #[serde(deserialize_with = "duration")]
    pub keep_age: Nanos,
}

impl Default for Recordings {
    fn default() -> Self {
        Self {
            directory: None,
            when: When::Always,
            keep_before: Nanos::from_mins(10),
            keep_after: Nanos::from_mins(5),
            max_size: Bytes(64 << 20),
            max_age: Nanos::from_mins(60),
            keep_size: Bytes(2 << 30),
            keep_age: Nanos::from_mins(7 * 24 * 60),
        }
    }
}

impl Recordings {
    /// Everything is recorded, and what nobody wants is removed again: nobody knows before that a finding is coming.
    pub fn is_ring(&self) -> bool {
        self.when == When::Findings && self.keep_before.0 != 0
    }

    /// Recorded from the attach on, whether somebody wants it or not.
    pub fn is_unasked(&self) -> bool {
        self.when == When::Always || self.is_ring()
    }

    /// How old a file gets. In a ring it is removed as a whole, so that smaller ones hold less that nobody wants.
    pub fn file_age(&self) -> Nanos {
        let age = if self.is_ring() { Nanos(self.keep_before.0 / 2) } else { self.max_age };
        age.min(self.max_age).max(Nanos::SECOND)
    }
}

/// A setting that makes no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {what}")]
pub struct SettingError {
    pub key: &'static str,
    pub what: String,
}

impl Config {
    /// Checks what a type alone cannot.
    pub fn check(&self) -> Result<(), SettingError> {
        let wrong = |key, what: &str| Err(SettingError { key, what: what.to_owned() });
        if self.listen.is_open() && self.token_file.is_none() {
            return wrong("listen", "any other address than loopback needs a token_file");
        }
        if !(Nanos::from_millis(200)..=Nanos::from_mins(60)).contains(&self.scan_every) {
            return wrong("scan_every", "must be between 200ms and 1h");
        }
        if !(1..=1_000).contains(&self.processes.max) {
            return wrong("processes.max", "must be between 1 and 1000");
        }
        if self.processes.max_per_service == 0 {
            return wrong("processes.max_per_service", "must be at least 1");
        }
        if self.tracing.min_size.0 == 0 {
            return wrong("tracing.min_size", "must be at least 1 byte");
        }
        if !(64 << 10..=1 << 30).contains(&self.tracing.ring_size.0) {
            return wrong("tracing.ring_size", "must be between 64KiB and 1GiB");
        }
        if !(1_024..=1 << 20).contains(&self.tracing.max_stores) {
            return wrong("tracing.max_stores", "must be between 1024 and 1048576");
        }
        if self.tracing.max_overhead.is_some_and(|it| !(0.001..=50.0).contains(&it)) {
            return wrong("tracing.max_overhead", "must be between 0.001 and 50 percent");
        }
        if self.tracing.max_overhead.is_some() && self.tracing.async_origin {
            let what = "cannot be had with async_origin, which must see every callback";
            return wrong("tracing.max_overhead", what);
        }
        if self.census.every.0 != 0 && self.census.every < Nanos::SECOND {
            return wrong("census.every", "must be 0s (never) or at least 1s");
        }
        if self.census.sampled_every < Nanos::SECOND {
            return wrong("census.sampled_every", "must be at least 1s");
        }
        if !(0.001..=50.0).contains(&self.census.pause_budget) {
            return wrong("census.pause_budget", "must be between 0.001 and 50 percent");
        }
        if self.recordings.directory.as_ref().is_some_and(|path| !path.is_absolute()) {
            return wrong("recordings.directory", "must be an absolute path");
        }
        if self.recordings.max_size < Bytes(1 << 20) || self.recordings.max_age < Nanos::SECOND {
            return wrong("recordings", "max_size must be at least 1MiB, max_age at least 1s");
        }
        let durations = [self.recordings.keep_before, self.recordings.keep_after];
        if durations.into_iter().any(|it| it > KEEP_MAX) {
            return wrong("recordings", "keep_before and keep_after must be at most 24h");
        }
        if (1..Nanos::SECOND.0).contains(&self.recordings.keep_before.0) {
            return wrong("recordings.keep_before", "must be 0s (nothing) or at least 1s");
        }
        let mut told = self.events.webhook_events.iter();
        if let Some(name) = told.find(|name| !NAMES.contains(&name.as_str())) {
            return wrong("events.webhook_events", &format!("there is no event `{name}`"));
        }
        if !(Nanos::SECOND..=Nanos::from_mins(60)).contains(&self.otlp.every) {
            return wrong("otlp.every", "must be between 1s and 1h");
        }
        let rules = self.processes.include.iter().chain(&self.processes.exclude);
        if rules.into_iter().any(Rule::is_empty) {
            return wrong("processes", "a rule must name a command, a user or a cgroup");
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(u64),
    Text(String),
}

/// `64KiB`, or a number of bytes.
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    match NumberOrText::deserialize(deserializer)? {
        NumberOrText::Number(bytes) => Ok(Bytes(bytes)),
        NumberOrText::Text(text) => parse_bytes(&text).ok_or_else(|| {
            de::Error::custom(format!("`{text}` is no size; use 65536 or \"64KiB\""))
        }),
    }
}

/// `auto`, or the name of one.
fn backend<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BackendChoice, D::Error> {
    let name = String::deserialize(deserializer)?;
    BackendChoice::read(&name).ok_or_else(|| {
        de::Error::custom(format!("`{name}` is no backend; use auto, ebpf or ptrace"))
    })
}

/// `30s`, or a number of seconds.
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Nanos, D::Error> {
    match NumberOrText::deserialize(deserializer)? {
        NumberOrText::Number(seconds) => Ok(Nanos::from_secs(seconds)),
        NumberOrText::Text(text) => parse_duration(&text).ok_or_else(|| {
            de::Error::custom(format!("`{text}` is no duration; use 30 or \"30s\""))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let config: Config = toml::from_str(text).map_err(|error| error.to_string())?;
        config.check().map(|()| config).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(read("").unwrap(), Config::default());
    }

    #[test]
    fn settings_are_read_with_their_units() {
        let config = read(
            "listen = \"unix:/run/b.sock\"\n[tracing]\nmin_size = \"1MiB\"\nring_size = 131072\n\
             [census]\nevery = \"2m\"\n[[processes.exclude]]\ncommand = \"*npm*\"\n",
        )
        .unwrap();
        assert_eq!(config.listen, Listen::Unix("/run/b.sock".into()));
        assert_eq!(config.tracing.min_size, Bytes(1 << 20));
        assert_eq!(config.tracing.ring_size, Bytes(128 << 10));
        assert_eq!(config.census.every, Nanos::from_mins(2));
        assert_eq!(config.processes.exclude.len(), 1);
    }

    #[test]
    fn where_censuses_are_all_there_is_they_come_more_often() {
        let census = Census::default();
        assert_eq!(census.with(Backend::Ebpf), census);
        let sampled = census.with(Backend::Ptrace);
        assert_eq!(
            (sampled.every, sampled.first_after),
            (census.sampled_every, census.sampled_every)
        );
        let never = Census { every: Nanos(0), ..census };
        assert_eq!(never.with(Backend::Ptrace), never);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (text, said) in [
            ("lissten = 1", "unknown field"),
            ("[tracing]\nmin_sizee = 1", "unknown field"),
            ("[tracing]\nmin_size = \"much\"", "no size"),
            ("listen = \"localhost\"", "neither"),
            ("listen = \"unix:run/b.sock\"", "absolute"),
            ("listen = \"0.0.0.0:9478\"", "token_file"),
            ("scan_every = 0", "scan_every"),
            ("[tracing]\nbackend = \"gdb\"", "use auto, ebpf or ptrace"),
            ("[census]\nsampled_every = 0", "census.sampled_every"),
            ("[processes]\nmax = 0", "processes.max"),
            ("[census]\npause_budget = 90.0", "pause_budget"),
            ("[tracing]\nmax_overhead = 90.0", "max_overhead"),
            ("[tracing]\nmax_overhead = 1.0\nasync_origin = true", "async_origin"),
            ("[[processes.include]]\nname = \"api\"", "must name"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
