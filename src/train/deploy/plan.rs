//! Requests as files, and the commands that send them.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Map, Value};

use crate::cli::print;
use crate::environment::variable;
use crate::failure::Failure;

/// What has to be done, in order.
pub(super) struct Plan {
    /// One thing each that is there afterwards.
    pub(super) steps: Vec<Step>,
    /// Said at the end.
    pub(super) next: String,
}

/// One thing that is made, or brought up to date where it is there.
pub(super) struct Step {
    /// Succeeds where it is there; none where making it and changing it are the same.
    pub(super) probe: Option<Call>,
    /// What the probe prints where it is there and as it is to be.
    pub(super) settled: Option<String>,
    /// Where it is not.
    pub(super) make: Vec<Call>,
    /// Where it is.
    pub(super) change: Vec<Call>,
}

/// A command.
#[derive(Clone)]
pub(super) struct Call {
    /// The program, and what comes before the file.
    words: Vec<String>,
    /// What is sent: the file's name, and its content.
    file: Option<(String, Value)>,
}

// === impl Call ===

impl Call {
    /// Stands for the folder of the files.
    pub(super) const FOLDER: &str = "{folder}";

    /// A command without a file of ours.
    pub(super) fn new(words: &[&str]) -> Self {
        Self { words: words.iter().map(|word| (*word).to_owned()).collect(), file: None }
    }

    /// A request of AWS's, by its own names.
    pub(super) fn aws(service: &str, operation: &str, file: &str, request: Value) -> Self {
        let mut call = Self::new(&["aws", service, operation]);
        call.file = Some((file.to_owned(), request));
        call
    }

    /// Manifests of Kubernetes.
    pub(super) fn kubectl(file: &str, manifests: Value) -> Self {
        let mut call = Self::new(&["kubectl", "apply"]);
        call.file = Some((file.to_owned(), manifests));
        call
    }

    /// The words, with the file in this folder.
    fn words(&self, folder: &Path) -> Vec<String> {
        let place = folder.display().to_string();
        let mut words: Vec<String> =
            self.words.iter().map(|word| word.replace(Self::FOLDER, &place)).collect();
        if let Some((name, _)) = &self.file {
            let path = folder.join(name).display().to_string();
            if words[0] == "kubectl" {
                words.extend(["--filename".to_owned(), path]);
            } else {
                words.extend(["--cli-input-json".to_owned(), format!("file://{path}")]);
            }
        }
        words
    }

    fn command(&self, folder: &Path) -> Command {
        let words = self.words(folder);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null());
        if words[0] == "aws" {
            // What it has to say goes to a terminal page by page otherwise.
            command.env("AWS_PAGER", "");
            // Its first version hears this name alone, where we and all SDKs hear the other one.
            if let (None, Some(region)) = (variable("AWS_DEFAULT_REGION"), variable("AWS_REGION")) {
                command.env("AWS_DEFAULT_REGION", region);
            }
        }
        command
    }

    /// As one types it.
    fn shown(&self, folder: &Path) -> String {
        typed(self.words(folder))
    }
}

/// Words as one types them in a shell.
pub(super) fn typed(words: Vec<String>) -> String {
    let quoted = |word: String| {
        let plain = |c: char| c.is_alphanumeric() || "-_./:=@,+".contains(c);
        if word.chars().all(plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
    };
    words.into_iter().map(quoted).collect::<Vec<_>>().join(" ")
}

// === impl Plan ===

impl Plan {
    /// Every file by its name.
    pub(super) fn files(&self) -> Value {
        let calls = self.steps.iter().flat_map(|step| step.make.iter().chain(&step.change));
        Value::Object(calls.filter_map(|call| call.file.clone()).collect::<Map<_, _>>())
    }

    /// Writes the files.
    ///
    /// # Errors
    /// When one cannot be written.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Failure> {
        fs::create_dir_all(folder).map_err(|error| Failure::file(folder, &error))?;
        let Value::Object(files) = self.files() else { return Ok(()) };
        for (name, content) in files {
            let path = folder.join(name);
            fs::write(&path, format!("{content:#}\n")).map_err(|error| Failure::file(&path, &error))?;
        }
        Ok(())
    }

    /// Prints how to send them by hand.
    pub(super) fn explain(&self, folder: &Path) -> Result<(), Failure> {
        let mut text =
            format!("written to {}; nothing was sent. By hand, or with --apply:\n", folder.display());
        for step in &self.steps {
            for call in &step.make {
                text += &format!("  {}\n", call.shown(folder));
            }
            if let Some(change) = step.change.first() {
                text += &format!("  or, where it is there already: {}\n", change.shown(folder));
                for call in &step.change[1..] {
                    text += &format!("    then {}\n", call.shown(folder));
                }
            }
        }
        print(&text);
        Ok(())
    }

    /// Sends them in order; the first that fails ends it. What is there already by its name is as it is to be, as names
    /// are made of what they stand for.
    ///
    /// # Errors
    /// [`Failure::Failed`] with what the program said and the command to do it by hand.
    pub(super) fn apply(&self, folder: &Path) -> Result<(), Failure> {
        for step in &self.steps {
            let found = step.probe.as_ref().map(|probe| run(probe, folder)).transpose()?.and_then(Result::ok);
            let calls = match &found {
                Some(_) if found == step.settled => continue,
                Some(_) => &step.change,
                None => &step.make,
            };
            for call in calls {
                print(&format!("{}\n", call.shown(folder)));
                let said = run(call, folder)?.map_err(|said| {
                    let by_hand = call.shown(folder);
                    Failure::Failed(format!("`{by_hand}` failed: {said}; what came before it is done"))
                })?;
                print(&format!("{said}\n"));
            }
        }
        print(&format!("{}\n", self.next));
        Ok(())
    }
}

/// What a command printed, or what it said of its failure.
fn run(call: &Call, folder: &Path) -> Result<Result<String, String>, Failure> {
    let program = &call.words[0];
    let output = call.command(folder).output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::Failed(format!(
            "there is no `{program}` on the PATH: {}; without --apply the requests are written for another machine",
            match program.as_str() {
                "aws" => "install the AWS CLI (`pip install awscli`) and log in",
                "tar" => "install it",
                _ => "install kubectl, and choose a cluster by its context",
            }
        )),
        _ => Failure::Failed(format!("{program}: {error}")),
    })?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(Ok(text(&output.stdout)));
    }
    let said = text(&output.stderr);
    Ok(Err(if said.is_empty() { output.status.to_string() } else { said }))
}
