//! A run that ended, or that was ended, is taken up: what its folder keeps is not made again.
//!
//! A run keeps how its features are made and what was learned, and once it is proven all that a version carries. So it is
//! taken up at one of three places: before it had learned (features or train), at evaluate, and at register.

use std::path::Path;
use std::time::Instant;

use super::process::Process;
use super::revision;
use super::{CONFIG, Made, RECORD, Record, Run, Step, lock};
use crate::config::Config;
use crate::failure::Failure;

/// Decides which rows there are and what is learned of them.
const LEARNED: &[&str] =
    &["name", "target_column", "task", "seed", "data", "validation", "split", "features", "model", "search"];
/// Decides what is found of the model and said about it, how it is asked, and what it is held against.
const JUDGED: &[&str] = &[
    "evaluation",
    "gate",
    "export",
    "deployment.performance_threshold",
    "card",
    "registry.url",
    "registry.config",
];
/// Decides where a version is.
const PLACE: &[&str] = &["registry.url", "registry.config"];
/// Where and how, not what.
const FREE: &[&str] = &["data.memory_limit", "data.temp_dir", "data.url_env", "model.library"];

impl Run {
    /// Takes up a run below `work`, at the first step that is not over or at an earlier one, up to `until`; and says at
    /// which. What is refused changes nothing of the run.
    ///
    /// # Errors
    /// When there is no such run, another process has it, it has not come so far or is behind `until`, or the
    /// configuration would learn something else now.
    pub(crate) fn resume(
        work: &Path,
        name: &str,
        config: &Config,
        from: Option<Step>,
        until: Step,
    ) -> Result<(Self, Step), Failure> {
        let wrong = |text: String| Failure::Config(format!("--resume {name}: {text}"));
        let folder = work.join(name);
        if !folder.is_dir() {
            let hint = sidegate::suggest::meant(name, runs(work).iter().map(String::as_str));
            return Err(wrong(format!("there is no such run in {}{hint}", work.display())));
        }
        // Before anything is read: another process may just be writing it.
        let lock = lock(&folder)?;
        let bytes =
            std::fs::read(folder.join(RECORD)).map_err(|error| wrong(format!("{RECORD}: {error}")))?;
        let mut record = Record::read(&bytes).map_err(|error| wrong(format!("{RECORD}: {error}")))?;
        if record.model != config.name.as_str() {
            return Err(wrong(format!("it trains {}, and the configuration {}", record.model, config.name)));
        }
        let kept = folder.join(CONFIG);
        let before = std::fs::read_to_string(&kept).map_err(|error| Failure::file(&kept, &error))?;
        let changed = |sections| config.changed_since(&before, sections, FREE);
        let learned = changed(LEARNED);
        if !learned.is_empty() {
            return Err(wrong(format!(
                "{} changed since: what it keeps is not what would be learned now; train anew, without --resume",
                learned.join(", ")
            )));
        }
        // The file that the configuration names is part of it.
        if let Some(before) = &record.schema
            && *before != config.validation.schema()?.digest()
        {
            let file = config.validation.schema.as_ref().map(|path| format!(" ({})", path.display()));
            return Err(wrong(format!(
                "what validation.schema{} says changed since: which rows and columns are learned from may be others now; \
                 train anew, without --resume",
                file.unwrap_or_default()
            )));
        }
        let reached = record.next();
        let asked = from;
        let from = match (from, reached) {
            (Some(from), Some(reached)) if from > reached => {
                return Err(wrong(format!(
                    "it has not come to {} yet, its next step is {}",
                    from.name(),
                    reached.name()
                )));
            }
            (Some(from), _) => from,
            (None, Some(reached)) => reached,
            (None, None) => {
                return Err(wrong(
                    "all its steps are over; --from evaluate goes back to that step".to_owned(),
                ));
            }
        };
        let judged = changed(JUDGED);
        let from = match from {
            // What is in memory alone between these steps is made again.
            Step::Evaluate | Step::Gate | Step::Export | Step::Prove => Step::Evaluate,
            Step::Register if !judged.is_empty() => Step::Evaluate,
            Step::Features | Step::Split => Step::Features,
            Step::Load | Step::Validate => Step::Load,
            other => other,
        };
        let first = asked.map_or(from, |asked| asked.max(from));
        if until < first {
            let text =
                format!("--until {}: it is taken up behind that step, at {}", until.name(), first.name());
            return Err(wrong(text));
        }
        let moved = changed(PLACE);
        if from == Step::Promote && !moved.is_empty() {
            return Err(wrong(format!(
                "{} changed since it was registered: its version is not there; --from evaluate registers it anew",
                moved.join(", ")
            )));
        }
        record.back_to(from);
        (record.ended, record.reason) = (None, None);
        record.status = "running".into();
        record.process = Some(Process::this());
        if from <= Step::Train || record.code.is_none() {
            record.code = revision::of(&config.folder);
        }
        // What is registered was proven by the configuration that it was proven by.
        let anew = from < Step::Promote;
        if anew {
            record.config.clone_from(&config.digest);
        }
        let run = Self { folder, record, since: Instant::now(), _lock: lock };
        // In this order: ended in between, it is set back and meets the change again.
        run.save()?;
        if anew {
            run.write(CONFIG, &config.text)?;
        }
        Ok((run, from))
    }
}

impl Record {
    /// Forgets this step and those behind it: they are to be taken again. A version that was made is one of the earlier
    /// ones, unless it is only to be promoted.
    pub(crate) fn back_to(&mut self, from: Step) {
        self.steps.retain(|(step, _)| *step < from);
        if let Some(version) = self.version.filter(|_| from <= Step::Register) {
            self.earlier.push(Made { version, digest: self.digest.take() });
            self.version = None;
        }
    }

    /// Whether it became a version before it was judged again.
    pub(crate) fn was(&self, version: u64, digest: &str) -> bool {
        let same =
            |made: &Made| made.digest.as_ref().map_or(made.version == version, |known| *known == digest);
        self.earlier.iter().any(same)
    }

    /// Refuses rows that are not those that the run has learned from; `from` is where it was taken up.
    ///
    /// # Errors
    /// Names both digests.
    pub(crate) fn same_data(&self, digest: &str, from: Step) -> Result<(), Failure> {
        let before = self.data.get("digest").and_then(serde_json::Value::as_str);
        match before.filter(|before| *before != digest && from > Step::Features) {
            None => Ok(()),
            Some(before) => Err(Failure::Validation(format!(
                "the data changed since {} has read it ({before} then, {digest} now): what it keeps is of other rows; \
                 train anew, without --resume",
                self.run
            ))),
        }
    }
}

/// The runs below a folder.
fn runs(work: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(work).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name = \"m\"\ntarget_column = \"y\"\n[data]\nsource = \"file\"\npath = \"rows.csv\"\n\
                        [model]\ntype = \"builtin\"\nparams = { num_leaves = 7 }\n[gate]\nrmse = 1\n";

    fn config(text: &str) -> Config {
        Config::parse(text).unwrap()
    }

    /// A run that has taken all steps up to this one.
    fn ended(work: &Path, last: Step) -> String {
        let mut run = Run::begin(work, &config(TEXT)).unwrap();
        let all = <Step as clap::ValueEnum>::value_variants();
        all.iter().filter(|step| **step <= last).for_each(|step| assert!(run.done(*step).is_ok()));
        if last >= Step::Register {
            (run.record.version, run.record.digest) = (Some(3), Some("sha256:3".to_owned()));
        }
        run.record.data = serde_json::json!({ "digest": "sha256:1" });
        run.end(Some(&Failure::Failed("the power went".to_owned()))).unwrap();
        run.record.run
    }

    #[test]
    fn a_run_is_taken_up_where_what_it_keeps_ends() {
        let gate = TEXT.replace("rmse = 1", "rmse = 2");
        let export = format!("{TEXT}[export]\ncolumn = true\n");
        let elsewhere = format!("{TEXT}[registry]\nurl = \"others\"\n");
        for (last, text, asked, from) in [
            (Step::Load, TEXT, None, Step::Load),
            (Step::Validate, TEXT, None, Step::Features),
            (Step::Split, TEXT, None, Step::Train),
            (Step::Train, TEXT, None, Step::Evaluate),
            (Step::Evaluate, TEXT, None, Step::Evaluate),
            (Step::Export, TEXT, None, Step::Evaluate),
            (Step::Prove, TEXT, None, Step::Register),
            // What was proven is judged again by other rules; what is registered already is not.
            (Step::Prove, &gate, None, Step::Evaluate),
            (Step::Register, &gate, None, Step::Promote),
            (Step::Promote, &gate, Some(Step::Register), Step::Evaluate),
            (Step::Prove, &export, None, Step::Evaluate),
            (Step::Prove, &elsewhere, None, Step::Evaluate),
            (Step::Promote, TEXT, Some(Step::Train), Step::Train),
            (Step::Promote, TEXT, Some(Step::Gate), Step::Evaluate),
        ] {
            let work = tempfile::tempdir().unwrap();
            let name = ended(work.path(), last);
            let (run, found) = Run::resume(work.path(), &name, &config(text), asked, Step::Promote).unwrap();
            assert_eq!(found, from, "{last:?} {asked:?}");
            assert!(run.record.steps.iter().all(|(step, _)| *step < from), "{:?}", run.record.steps);
            let made = (last >= Step::Register).then_some(3);
            assert_eq!(run.record.version, made.filter(|_| from == Step::Promote), "{last:?} {asked:?}");
            assert_eq!(run.record.was(3, "sha256:3"), made.is_some() && from < Step::Promote);
            assert!(!run.record.was(3, "sha256:4"), "a version of another registry");
            assert_eq!((run.record.status.as_str(), &run.record.reason), ("running", &None));
        }
    }

    #[test]
    fn a_run_that_was_killed_at_once_is_taken_up_from_its_beginning() {
        let work = tempfile::tempdir().unwrap();
        let name = Run::begin(work.path(), &config(TEXT)).unwrap().record.run;
        let kept = std::fs::read(work.path().join(&name).join(RECORD)).unwrap();
        let seen = Record::read(&kept).unwrap().seen();
        assert_eq!(seen.status, "running", "the process is this one");
        let (run, from) = Run::resume(work.path(), &name, &config(TEXT), None, Step::Promote).unwrap();
        assert_eq!((from, run.record.status.as_str()), (Step::Load, "running"));
    }

    #[test]
    fn what_cannot_be_taken_up_is_told_with_the_way_out() {
        let work = tempfile::tempdir().unwrap();
        let name = ended(work.path(), Step::Prove);
        let refused = |name: &str, text: &str, from: Option<Step>, why: &str| {
            let error = Run::resume(work.path(), name, &config(text), from, Step::Promote).err().unwrap();
            assert!(error.code() == 2 && error.to_string().contains(why), "{error} and not {why}");
        };
        let leaves = TEXT.replace("= 7", "= 8").replace("rows.csv", "others.csv");
        refused(&name, &leaves, None, "data.path, model.params changed since");
        refused(&name, &TEXT.replace("\"m\"", "\"n\""), None, "it trains m, and the configuration n");
        refused(
            &name,
            TEXT,
            Some(Step::Promote),
            "it has not come to promote yet, its next step is register",
        );
        let near = format!("{}x", &name[..name.len() - 1]);
        refused(&near, TEXT, None, &format!("did you mean `{name}`?"));
        let registered = ended(work.path(), Step::Register);
        let elsewhere = format!("{TEXT}[registry]\nurl = \"others\"\n");
        refused(&registered, &elsewhere, None, "registry.url changed since it was registered");
        let kept = std::fs::read(work.path().join(&registered).join(RECORD)).unwrap();
        let error = Run::resume(work.path(), &registered, &config(TEXT), Some(Step::Evaluate), Step::Train);
        assert!(error.err().unwrap().to_string().contains("--until train"));
        let backwards = (Some(Step::Gate), Step::Evaluate);
        let error = Run::resume(work.path(), &registered, &config(TEXT), backwards.0, backwards.1);
        assert!(error.err().unwrap().to_string().contains("behind that step, at gate"));
        assert!(kept == std::fs::read(work.path().join(&registered).join(RECORD)).unwrap(), "it was refused");
        let over = ended(work.path(), Step::Promote);
        refused(&over, TEXT, None, "--from evaluate goes back");
        // What a file says that the configuration names.
        let file = work.path().join("schema.toml");
        let named = format!("{TEXT}[validation]\nschema = {file:?}\n");
        let write = |text: &str| std::fs::write(&file, format!("format = 1\n{text}")).unwrap();
        write("[columns.y]\nrange = { max = 9, action = \"drop\" }");
        let validated = || {
            let mut run = Run::begin(work.path(), &config(&named)).unwrap();
            run.record.schema = Some(config(&named).validation.schema().unwrap().digest());
            run.done(Step::Load).unwrap();
            run.record.run
        };
        let held = validated();
        write("# more\n[columns.y]\nrange = { action = \"drop\", max = 9 }");
        Run::resume(work.path(), &held, &config(&named), None, Step::Promote).unwrap();
        write("[columns.y]\nrange = { max = 8, action = \"drop\" }");
        refused(&held, &named, None, "schema.toml) says changed since");
        // Comments, and where memory goes, change nothing.
        let same = TEXT.replace("[data]", "# more\n[data]\nmemory_limit = 64");
        let (run, _) = Run::resume(work.path(), &name, &config(&same), None, Step::Promote).unwrap();
        refused(&name, TEXT, None, "on its way in another process");
        let error = run.record.same_data("sha256:2", Step::Evaluate).unwrap_err();
        assert!(error.code() == 3 && error.to_string().contains("sha256:1 then, sha256:2 now"), "{error}");
        assert!(run.record.same_data("sha256:1", Step::Evaluate).is_ok());
        assert!(run.record.same_data("sha256:2", Step::Load).is_ok());
    }
}
