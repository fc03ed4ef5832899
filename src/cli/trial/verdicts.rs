//! Judges all answers while only few of them are held.

use super::asking::Said;
use super::derived;
use crate::cli::peer::compare::{Answers, Equality, Judge};

/// Requests from whose answers it is found out which outputs belong together.
const SAMPLE: usize = 64;

/// Judges answers as they come, after a sample has told what belongs together.
pub(super) struct Verdicts {
    tolerance: f64,
    sample: Vec<Answers>,
    judge: Option<Judge>,
    /// Requests that neither side answered.
    pub(super) refused: usize,
}

impl Verdicts {
    pub(super) const fn new(tolerance: f64) -> Self {
        Self { tolerance, sample: Vec::new(), judge: None, refused: 0 }
    }

    /// Hears what both sides said to one request.
    pub(super) fn take(&mut self, request: usize, rows: usize, ours: Said, theirs: Said) {
        match (ours, theirs) {
            (Ok(mut ours), Ok(theirs)) => {
                derived::extend(&mut ours, rows);
                let answers = Answers { request, rows, ours, theirs };
                match &mut self.judge {
                    Some(judge) => judge.take(&answers),
                    None => self.sample.push(answers),
                }
                if self.sample.len() >= SAMPLE {
                    self.decide();
                }
            }
            (Err(_), Err(_)) => self.refused += 1,
            (ours, theirs) => {
                self.decide();
                let said = |said: Said| said.map_or_else(|error| error, |_| "an answer".into());
                let (ours, theirs) = (said(ours), said(theirs));
                if let Some(judge) = &mut self.judge {
                    judge.unanswered(request, rows, &ours, &theirs);
                }
            }
        }
    }

    fn decide(&mut self) {
        if self.judge.is_none() {
            self.judge = Judge::new(&self.sample, self.tolerance);
            if let Some(judge) = &mut self.judge {
                self.sample.drain(..).for_each(|answers| judge.take(&answers));
            } else {
                self.sample.truncate(1);
            }
        }
    }

    /// What was found; else answers that cannot be compared.
    pub(super) fn end(mut self) -> Result<Equality, Option<Answers>> {
        self.decide();
        match self.judge {
            Some(judge) => Ok(judge.found),
            None => Err(self.sample.into_iter().next()),
        }
    }
}
