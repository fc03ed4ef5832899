//! The steps of a training, one after another: each is a file below this one.

mod data;
mod gate;
mod learn;
mod prove;
mod show;

use serde_json::json;
use sidegate::model::{Stage, Version};
use sidegate::registry::writer::Writer;

use crate::config::Config;
use crate::evaluate::plot::Plot;
use crate::failure::Failure;
use crate::kept;
use crate::progress::Progress;
use crate::registry;
use crate::run::{Run, Step};
use crate::search::Trained;
use crate::table::Round;
use crate::tracking;

pub(crate) use data::VALIDATION;
pub(crate) use gate::TESTS;
pub(crate) use prove::{MODEL, interface};
pub(crate) use show::CARD;

/// A training on its way.
pub(crate) struct Pipeline<'a> {
    pub(crate) config: &'a Config,
    pub(crate) run: Run,
    pub(crate) progress: Progress,
    /// The first step that is taken; what those before it have made is read back where the run keeps it.
    pub(crate) from: Step,
    /// The one that was asked for, which may need some before it.
    pub(crate) asked: Option<Step>,
    /// The last step that is taken.
    pub(crate) until: Step,
    /// Where versions go; none where nothing is registered.
    pub(crate) writer: Option<Writer>,
    /// The version in Production when it began.
    pub(crate) parent: Option<Version>,
    /// How it learned, for those who draw it.
    pub(crate) rounds: Vec<Round>,
    /// What was drawn of its predictions.
    pub(crate) drawn: Vec<Plot>,
}

/// Ends a training early, and well.
pub(crate) type Reached<T> = Result<Option<T>, Failure>;

impl Pipeline<'_> {
    /// Takes all steps.
    ///
    /// # Errors
    /// The fault that ended it; what was registered before stays.
    pub(crate) fn go(&mut self) -> Result<(), Failure> {
        let outcome = self.steps().map(drop);
        self.run.end(outcome.as_ref().err())?;
        if outcome.is_err() {
            self.tell_the_way_on();
        }
        if let Some(Err(error)) = self.writer.as_ref().map(|writer| registry::record(writer, &self.run)) {
            let words = format!("the record of the run is in {} alone: {error}", self.run.folder.display());
            self.progress.say("record", &words, json!({}));
        }
        tracking::tell(self);
        outcome
    }

    fn steps(&mut self) -> Reached<()> {
        // What would be in vain is told before hours of work.
        if let Some(writer) = &self.writer {
            self.parent = registry::in_production(writer, &self.config.name)?;
            if self.until >= Step::Register {
                // A bucket that may not be written says so to this.
                writer.is_conditional()?;
            }
            // So that one that is killed was there. Where it cannot be kept, the end says so.
            drop(registry::record(writer, &self.run));
        }
        if self.from > Step::Load {
            let mut words = format!("{} is taken up at {}", self.run.record.run, self.from.name());
            if let Some(asked) = self.asked.filter(|asked| *asked > self.from) {
                words += &format!(", whose results {} needs: they are in memory alone", asked.name());
            }
            self.progress.say("resume", &words, json!({ "run": self.run.record.run, "from": self.from }));
        }
        if self.from == Step::Register && self.kept_card()?.lineage.parent != self.parent.map(Version::get) {
            let words = "another version is in Production since: the model is held against that one first";
            self.progress.say("resume", words, json!({ "from": Step::Evaluate }));
            self.from = Step::Evaluate;
            self.run.record.back_to(self.from);
        }
        if self.from == Step::Promote {
            self.still_the_better()?;
        }
        if self.from < Step::Register {
            if self.make()?.is_none() {
                return Ok(None);
            }
        } else if self.config.tracking.is_some() {
            // Nothing but what is told of the learning is left to read, and no tracking fails a training.
            match Trained::read(&self.run.path(kept::FILE)) {
                Ok(trained) => self.rounds = trained.rounds,
                Err(failure) => {
                    self.progress.say("track", &format!("rounds are not told: {failure}"), json!({}));
                }
            }
        }
        registry::publish(self)
    }

    /// What was held against one version does not replace another.
    pub(crate) fn still_the_better(&self) -> Result<(), Failure> {
        let (now, then) = (self.parent.map(Version::get), self.kept_card()?.lineage.parent);
        let replaces = self.config.auto_deploy && self.config.deployment.stage()? == Stage::Production;
        match now.filter(|now| replaces && Some(*now) != then && Some(*now) != self.run.record.version) {
            None => Ok(()),
            Some(now) => Err(Failure::Gate(format!(
                "version {now} is in Production since it was judged; --resume {} --from evaluate holds it against that one",
                self.run.record.run
            ))),
        }
    }

    /// From rows to everything that a version carries, in the folder of the run.
    fn make(&mut self) -> Reached<()> {
        let Some(source) = self.source()? else { return Ok(None) };
        let Some(mut prepared) = self.features(&source)? else { return Ok(None) };
        if !self.split(&prepared)? {
            return Ok(None);
        }
        let Some(trained) = self.train(&source, &mut prepared)? else { return Ok(None) };
        let Some(judged) = self.evaluate(&source, &prepared, &trained)? else { return Ok(None) };
        let Some((model, card)) = self.gate(&source, &prepared, &trained, judged)? else { return Ok(None) };
        if !self.export(&model)? {
            return Ok(None);
        }
        self.prove(&source, &prepared, &trained.fitted, &model, card)
    }

    /// A step is over: says so, and whether to go on.
    pub(crate) fn over(
        &mut self,
        step: Step,
        words: &str,
        numbers: serde_json::Value,
    ) -> Result<bool, Failure> {
        let seconds = self.run.done(step)?;
        let mut numbers = numbers;
        numbers["seconds"] = json!((seconds * 1000.0).round() / 1000.0);
        self.progress.say(step.name(), words, numbers);
        Ok(step < self.until)
    }

    /// Whoever trained for hours shall know that this need not be done again.
    fn tell_the_way_on(&mut self) {
        let Some(next) = self.run.record.next().filter(|next| *next > Step::Train) else { return };
        let words = format!("--resume {} goes on behind the training", self.run.record.run);
        self.progress.say("resume", &words, json!({ "run": self.run.record.run, "from": next }));
    }
}
