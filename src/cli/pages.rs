//! `completions` and `man-pages`: what shells and `man` know of a program, from the table of flags that it parses itself.

use std::path::PathBuf;

use clap_complete::Shell;

/// Flags of `completions`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell that reads them
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Flags of `man-pages`.
#[derive(Clone, Debug, clap::Args)]
pub struct ManPagesArgs {
    /// Where to: a page for each command
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
}

/// The script that completes the commands and flags of `program` in a shell.
pub fn completions(program: &'static str, command: &clap::Command, args: CompletionsArgs) -> String {
    // The generators would complete what is hidden, too.
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let mut command = clap::Command::new(program)
        .version(env!("CARGO_PKG_VERSION"))
        .args(command.get_arguments().cloned())
        .subcommands(shown);
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, program, &mut script);
    // Names and helps of ours are text, and so is what is made of them.
    String::from_utf8_lossy(&script).into_owned()
}

/// Writes the pages of a program and its commands, section 1, into a folder, which is made.
///
/// # Errors
/// When the folder cannot be made or written, with its name.
pub fn man_pages(command: clap::Command, args: &ManPagesArgs) -> Result<(), String> {
    let folder = &args.folder;
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .map_err(|error| format!("{}: {error}", folder.display()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use clap::ValueEnum as _;

    use super::*;
    use crate::cli::Args;

    #[test]
    fn every_shell_learns_every_command_that_is_shown() {
        for shell in Shell::value_variants() {
            let script = completions("sidegate", &Args::command(), CompletionsArgs { shell: *shell });
            for word in ["serve", "registry", "rollback", "completions", "uds", "version"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
            for hidden in ["trial-load", "man-pages"] {
                assert!(!script.contains(hidden), "{shell}: {hidden}");
            }
        }
    }

    #[test]
    fn every_command_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let man = folder.path().join("share/man/man1");
        man_pages(Args::command(), &ManPagesArgs { folder: man.clone() }).unwrap();
        let page = |name: &str| std::fs::read_to_string(man.join(name)).unwrap();
        assert!(page("sidegate.1").contains("Exit codes: 0 clean"));
        assert!(page("sidegate-registry-promote.1").contains(r"\-\-stage"));
        assert!(!man.join("sidegate-trial-load.1").exists());
        let error = man_pages(Args::command(), &ManPagesArgs { folder: man.join("sidegate.1") }).unwrap_err();
        assert!(error.contains("man1/sidegate.1: "), "{error}");
    }
}
