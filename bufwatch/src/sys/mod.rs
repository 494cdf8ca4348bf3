//! Layer 2: what is asked of the kernel, through /proc, /sys and system calls. It reports facts; what follows
//! from them is decided above.

pub mod capability;
pub mod clock;
pub mod file;
pub mod heap;
pub mod kernel;
pub mod last_close;
pub mod launch;
pub mod life;
pub mod memory;
pub mod pagemap;
pub mod pidfd;
pub mod priority;
pub mod privileges;
pub mod procfs;
pub mod ptrace;
pub mod root;
pub mod tracer;
pub mod turns;
pub mod wake;
