//! `bufwatch daemon`: arguments and environment for `crate::daemon`, which does the rest.

use std::path::PathBuf;

use crate::cli::Environment;
use crate::cli::exit::Exit;
use crate::cli::message::{print_error, print_line};
use crate::daemon::{self, Listen, Options};

/// Watch every Node process of this host: metrics and findings over HTTP, findings as JSON lines on stdout; until SIGTERM
#[derive(Debug, clap::Args)]
pub struct DaemonArgs {
    /// Settings (TOML); read again on SIGHUP. In the environment: `BUFWATCH_CONFIG`
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where HTTP is spoken: ADDRESS:PORT (other than loopback only with a token), or `unix:/PATH`; 127.0.0.1:9478 without this.
    /// In the environment: `BUFWATCH_LISTEN`
    #[arg(long, value_name = "WHERE")]
    pub listen: Option<Listen>,
    /// File with a token that requests over TCP must bring (Authorization: Bearer TOKEN). In the environment: `BUFWATCH_TOKEN_FILE`
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Read the settings, say whether they are as they should be, and end
    #[arg(long)]
    pub check_config: bool,
}

/// What the environment says for the daemon.
#[derive(Clone, Debug, Default)]
pub struct DaemonEnvironment {
    pub config: Option<PathBuf>,
    pub listen: Option<String>,
    pub token_file: Option<PathBuf>,
    pub notify_socket: Option<std::ffi::OsString>,
}

pub fn run(args: &DaemonArgs, environment: &Environment) -> Exit {
    let of_environment = &environment.daemon;
    let listen = match (&args.listen, &of_environment.listen) {
        (Some(listen), _) => Some(listen.clone()),
        (None, Some(text)) => match text.parse() {
            Ok(listen) => Some(listen),
            Err(error) => {
                print_line(&format!("error: BUFWATCH_LISTEN: {error}"));
                return Exit::Unable;
            }
        },
        (None, None) => None,
    };
    let options = Options {
        config_file: args.config.clone().or_else(|| of_environment.config.clone()),
        listen,
        token_file: args.token_file.clone().or_else(|| of_environment.token_file.clone()),
        plan_cache: environment.plan_cache.clone(),
        notify_socket: of_environment.notify_socket.clone(),
    };
    let outcome = if args.check_config {
        options.config().map(|_| print_line("the settings are fine")).map_err(Into::into)
    } else {
        daemon::run(&options)
    };
    match outcome {
        Ok(()) => Exit::Done,
        Err(error) => {
            print_error(&error, Some(error.hint()));
            Exit::Unable
        }
    }
}
