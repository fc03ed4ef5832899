//! What the verbs take.

use clap::Parser as _;

use super::Verb;
use crate::cli::{Args, Command};

fn parse(line: &str) -> Result<Verb, clap::Error> {
    let words = ["sidegate", "registry"].into_iter().chain(line.split_whitespace());
    Args::try_parse_from(words).map(|args| match args.command {
        Some(Command::Registry(verb)) => verb,
        other => panic!("{other:?}"),
    })
}

#[test]
fn flags_that_do_not_go_together_are_wrong_usage() {
    for line in [
        "",
        "ls --stage live",
        "show churn@",
        "show ../churn",
        "register churn",
        "register churn m.onnx --metric auc",
        "register churn m.onnx --metric auc=nan",
        "register churn m.onnx --metric =1",
        "register churn m.onnx --tag team",
        "register churn m.onnx --stage live",
        "register churn m.onnx --alias 7",
        "register churn m.onnx --alias staging",
        "register churn m.onnx --parent 07",
        "promote churn 7",
        "promote churn seven --stage staging",
        "promote churn 7 --alias staging",
        "promote churn 7 --alias a --rollout 10m",
        "promote churn 7 --alias a --evidence x",
        "promote churn 7 --stage production --rollout 10",
        "rollback",
        "rollback churn --local --to 5",
        "rollback churn --local --registry r",
        "rollback churn --local --why x",
        "rollback churn --admin 127.0.0.1:1",
        "hold",
        "compare churn 1",
        "log churn --at yesterday",
        "log churn --at 2026-11-23 -n 5",
        "verify --raise-epoch",
        "verify churn --why x",
        "gc --keep -1",
        "gc --grace 7",
        "sign churn 7",
        "sign churn --key k",
        "sign churn 7 --generate-key k",
        "hold churn --by=",
    ] {
        assert!(parse(line).is_err_and(|error| error.use_stderr()), "{line}");
    }
    for line in [
        "ls",
        "ls churn --stage STAGING",
        "show churn@champion",
        "promote churn 7 --alias champion",
        "rollback churn --local --admin 127.0.0.1:1 --token-file t",
        "verify churn --raise-epoch",
        "log churn -n 5",
        "gc --dry-run --grace 0s",
        "sign --generate-key k",
        "sync",
    ] {
        assert!(parse(line).is_ok(), "{line}");
    }
}
