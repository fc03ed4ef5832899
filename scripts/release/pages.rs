//! Man pages and shell completions of `sidegate`, from the flags that it parses: `cargo run --example pages -- FOLDER`.
//!
//! An example and no command, so that the gateway carries no generators.

use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_complete::Shell;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: pages FOLDER")?);
    let [man, completions] = ["man", "completions"].map(|name| folder.join(name));
    std::fs::create_dir_all(&man)?;
    std::fs::create_dir_all(&completions)?;
    let mut command = sidegate::cli::Args::command();
    clap_mangen::generate_to(command.clone(), &man)?;
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        clap_complete::generate_to(shell, &mut command, "sidegate", &completions)?;
    }
    Ok(())
}
