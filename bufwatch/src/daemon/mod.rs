//! Layer 7: the daemon, which watches every Node process of a host. Reads no environment and no command line: that is `cli`'s part.

pub mod archive;
pub mod board;
pub mod client;
pub mod coming;
pub mod config;
pub mod config_file;
pub mod discovery;
pub mod events;
mod exchange;
pub mod execs;
pub mod finding_log;
pub mod fleet;
pub mod http;
pub mod left_alone;
pub mod listen;
pub mod live;
pub mod metrics;
pub mod notify;
pub mod order;
pub mod outgoing;
mod privileges;
pub mod retention;
pub mod run;
pub mod selection;
pub mod service;
pub mod watched;

pub use config::Config;
pub use config_file::{ConfigError, read_token};
pub use listen::Listen;
pub use run::{DaemonError, Options, run};
