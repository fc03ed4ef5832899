//! `sidegate`: see [`sidegate::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before any thread exists and before any library can look at the environment.
    sidegate::native::prepare_environment();
    sidegate::cli::main()
}
