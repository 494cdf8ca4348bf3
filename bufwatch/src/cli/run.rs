//! `bufwatch run`: starts a Node program and watches it from its first allocation on. Its exit code is passed on.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cli::Environment;
use crate::cli::args::WatchArgs;
use crate::cli::exit::Exit;
use crate::cli::message::{print_error, print_line};
use crate::cli::watch::{Signals, hand_on, watch};
use crate::event::Backend;
use crate::node::identity::{self, IdentityError};
use crate::sys::launch::{
    self, Launched, NOT_EXECUTABLE, NOT_FOUND, Outcome, Start, Streams, become_traced,
};

/// Between two looks at whether the command has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Start a Node program and watch it from its first allocation on; its exit code is passed on
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub watch: WatchArgs,
    /// Where the program's output goes; without it beside that of bufwatch, and nowhere under the dashboard
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The program with its arguments. What it starts in place of itself is followed (`env node`, a script), what it forks is not
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// What the started child does before it is the command.
#[derive(Debug, clap::Args)]
pub struct GateArgs {
    /// It is traced by who seizes it, for which it waits
    #[arg(long, value_name = "PID")]
    pub seized_by: Option<u32>,
    #[arg(last = true, required = true)]
    pub command: Vec<OsString>,
}

/// Returns only if the command cannot be executed, with the codes that shells use.
pub fn gate(args: &GateArgs) -> Exit {
    let error = become_traced(&args.command, args.seized_by);
    let name = args.command.first().map(|name| name.to_string_lossy().into_owned());
    print_line(&format!(
        "error: `{}` cannot be started",
        crate::base::sanitize(&name.unwrap_or_default())
    ));
    print_error(&error, Some("is it installed, and spelled as in a shell?"));
    let is_missing = error.kind() == io::ErrorKind::NotFound;
    Exit::OfCommand(if is_missing { NOT_FOUND } else { NOT_EXECUTABLE })
}

pub fn run(args: &RunArgs, environment: &Environment) -> Exit {
    if args.watch.pid.is_some() {
        print_line("error: `run` starts a program, it takes no --pid");
        print_line("hint: bufwatch --pid PID watches one that runs already");
        return Exit::Unable;
    }
    let has_dashboard = !args.watch.headless && io::stdout().is_terminal();
    if !has_dashboard && !args.watch.headless && args.watch.record.is_none() {
        print_line("error: stdout is no terminal");
        print_line("hint: --headless prints lines, --record FILE records");
        return Exit::Unable;
    }
    let streams = match streams(args.output.as_deref(), has_dashboard) {
        Ok(streams) => streams,
        Err(error) => {
            print_error(&error, Some("may bufwatch create the file of --output?"));
            return Exit::Unable;
        }
    };
    let backend = args.watch.backend.choose_for_command();
    let mut launched = match start(&args.command, streams, backend) {
        Ok(Started::Node(launched)) => launched,
        Ok(Started::Ended(outcome)) => return Exit::OfCommand(outcome.code()),
        Err(exit) => return exit,
    };
    let exit = watch(&args.watch, environment, launched.pid(), backend, Some(&mut launched));
    if launched.is_held() {
        end(&mut launched);
        return exit;
    }
    if launched.outcome().is_none() {
        print_line(&format!("the command runs on (pid {}); waiting for its end", launched.pid()));
    }
    match wait(&mut launched) {
        Ok(_) if exit == Exit::Unable => exit,
        Ok(outcome) => Exit::OfCommand(outcome.code()),
        Err(error) => {
            print_error(&error, None);
            Exit::Unable
        }
    }
}

/// Hands on signals until the command has ended.
fn wait(launched: &mut Launched) -> io::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let mut looks = tokio::time::interval(LOOK_EVERY);
        while launched.outcome().is_none() {
            tokio::select! {
                _ = looks.tick() => {}
                signal = signals.next() => hand_on(launched, signal),
            }
        }
        launched.wait()
    })
}

fn streams(output: Option<&Path>, has_dashboard: bool) -> io::Result<Streams> {
    let (stdout, stderr) = match output {
        Some(path) => {
            let file = std::fs::File::create(path)?;
            (file.try_clone()?.into(), file.into())
        }
        None if has_dashboard => (Stdio::null(), Stdio::null()),
        None => (Stdio::inherit(), Stdio::inherit()),
    };
    // The keys are the dashboard's.
    let stdin = if has_dashboard { Stdio::null() } else { Stdio::inherit() };
    Ok(Streams { stdin, stdout, stderr })
}

/// What became of a command.
pub(super) enum Started {
    /// It is Node and held before its first script.
    Node(Launched),
    /// It ended, and never was Node with threads.
    Ended(Outcome),
}

/// Starts the command and says what is wrong if that fails.
pub(super) fn start(
    command: &[OsString],
    streams: Streams,
    backend: Backend,
) -> Result<Started, Exit> {
    let unable = |error: io::Error| {
        print_error(&error, Some("the command could not be started to be traced"));
        Exit::Unable
    };
    let mut gate = Command::new("/proc/self/exe");
    gate.arg("gate");
    let is_traced = backend == Backend::Breakpoints;
    if is_traced {
        gate.args(["--seized-by", &std::process::id().to_string()]);
    }
    gate.arg("--").args(command);
    // Of a Node that cannot be traced the session says why.
    let is_node = |pid| !matches!(identity::open(pid), Err(IdentityError::NotNode { .. }));
    let launched = if is_traced {
        launch::launch_traced(gate, streams, is_node)
    } else {
        launch::launch(gate, streams, is_node)
    };
    let (launched, start) = launched.map_err(unable)?;
    match start {
        Start::Held => Ok(Started::Node(launched)),
        Start::Ended(outcome) => {
            print_line(&format!(
                "the command ended with code {} and never was a Node process that runs a script: nothing was traced",
                outcome.code()
            ));
            print_line(
                "hint: name node itself behind `--`; processes that the command forks are not followed",
            );
            Ok(Started::Ended(outcome))
        }
    }
}

/// Of one that cannot be traced: no script of it has run.
pub(super) fn end(launched: &mut Launched) {
    print_line("the command is ended; none of its scripts has run");
    launched.kill();
}
