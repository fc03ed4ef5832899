//! The command line as a whole.

use clap::CommandFactory;

use super::*;
use crate::config::{Problems, Sources, load};

fn parse(line: &str) -> Result<Args, clap::Error> {
    Args::try_parse_from(std::iter::once("sidegate").chain(line.split_whitespace()))
}

fn serve_args(line: &str) -> ServeArgs {
    match parse(line).unwrap().command {
        Some(Command::Serve(args)) => args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_definition_is_sound_and_every_command_has_an_example() {
    let command = Args::command();
    command.clone().debug_assert();
    has_examples(&command, "sidegate");
}

fn has_examples(command: &clap::Command, path: &str) {
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        let path = format!("{path} {}", command.get_name());
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains(&path), "{path}");
        has_examples(command, &path);
    }
}

#[test]
fn every_flag_reaches_its_key() {
    let line = "serve --registry r --http 127.0.0.1:1 --admin 127.0.0.1:2 --uds u --engine ort --workers 2 --log json";
    let sources = Sources { flags: serve_args(line).flags(), ..Sources::default() };
    let config = load(&sources).unwrap();
    let text = crate::config::to_toml(&config);
    for part in
        ["file:r", "127.0.0.1:1\"", "127.0.0.1:2\"", "uds = \"u\"", "\"ort\"", "workers = 2", "\"json\""]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let line = "serve x.txt --http x --admin x --uds u\0 --engine x --workers x --log x";
    let sources = Sources { flags: serve_args(line).flags(), ..Sources::default() };
    let Problems(problems) = load(&sources).unwrap_err();
    let origins: Vec<String> = problems.iter().map(|problem| problem.origin.to_string()).collect();
    assert_eq!(origins, ["MODEL_FILE", "--http", "--admin", "--uds", "--engine", "--workers", "--log"]);
}

#[test]
fn wrong_usage_is_found() {
    assert!(parse("").unwrap().command.is_none());
    for line in ["serve a.onnx --registry r", "serve --nonsense", "chekc", "probe alive", "serve --http"] {
        assert!(parse(line).unwrap_err().use_stderr(), "{line}");
    }
    for line in ["--help", "--version", "serve --help", "probe -h"] {
        assert!(!parse(line).unwrap_err().use_stderr(), "{line}");
    }
}
