//! The child's side of a trial load: confined first, then one version loaded and tried, then a line of answer.

use std::io::{self, BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::Builder;
use std::time::Duration;

use super::message::{Header, Line};
use crate::config::{self, Search};
use crate::engine::{self, LoadOptions, Scratch};
use crate::format::Model;
use crate::model::{LoadError, Reason};
use crate::native::Confinement;
use crate::serving::admission::Trial;
use crate::serving::checks;

/// The stack that a load gets here: three quarters of what a thread of the server has, so that what overflows there
/// overflows here first.
const STACK_BYTES: usize = 3 << 19;

/// Carries out what a parent asks on `input`; answers on `output`.
///
/// # Errors
/// When the parent cannot be heard or does not listen.
pub fn run(input: &mut dyn BufRead, output: &mut dyn Write) -> io::Result<()> {
    let header = Header::receive(input)?;
    let confinement = Confinement {
        parent: header.parent,
        cpu: Duration::from_millis(header.timeout_ms),
        memory_bytes: header.memory_bytes,
    };
    if let Err(error) = confinement.apply() {
        return Line::Unavailable(format!("the child cannot be confined: {error}")).send(output);
    }
    let (golden, model) = header.receive_bytes(input)?;
    Line::Ready.send(output)?;
    answer(header, golden, model).send(output)
}

/// Loads on a thread of its own, for the sake of its stack.
fn answer(header: Header, golden: Option<Vec<u8>>, model: Vec<u8>) -> Line {
    let work = move || {
        // The parent would catch it too, and it is no crash of the process.
        let tried = catch_unwind(AssertUnwindSafe(|| try_version(&header, golden.as_deref(), model)));
        tried.unwrap_or_else(|_| {
            Err(LoadError::new(Reason::Crashed, "the engine panicked while loading; see the log"))
        })
    };
    let thread = Builder::new().name("load".into()).stack_size(STACK_BYTES).spawn(work);
    match thread.map(|thread| thread.join()) {
        Ok(Ok(Ok(engine))) => {
            Line::Loaded { engine: engine.to_owned(), peak_bytes: crate::process::peak_bytes().unwrap_or(0) }
        }
        Ok(Ok(Err(error))) => {
            let error = named(error);
            Line::Refused { code: error.code.name().to_owned(), detail: error.detail }
        }
        Ok(Err(_)) => Line::Unavailable("the thread that loads has failed".to_owned()),
        Err(error) => Line::Unavailable(format!("no thread to load in: {error}")),
    }
}

/// What engines say when an allocation fails; they say it of runs too, and call it a failure of the graph.
const NO_MEMORY: [&str; 3] = ["bad_alloc", "Failed to allocate memory", "failed to allocate"];

/// A failure for want of memory is one, wherever it came from: with more room the version may load.
fn named(error: LoadError) -> LoadError {
    let no_memory = NO_MEMORY.iter().any(|sign| error.detail.contains(sign));
    if no_memory { LoadError { code: Reason::Memory, ..error } } else { error }
}

/// What the loader does with a version, up to the point where it would serve; gives the engine's name.
fn try_version(header: &Header, golden: Option<&[u8]>, model: Vec<u8>) -> Result<&'static str, LoadError> {
    let unknown =
        |what: &str| LoadError::new(Reason::Unsupported, format!("the trial load does not know the {what}"));
    let format = header.format().ok_or_else(|| unknown("format"))?;
    let choice = header.choice().ok_or_else(|| unknown("engine"))?;
    engine::configure(&config::Engine {
        default: choice,
        onnxruntime: header.onnxruntime.clone(),
        search: Search::default(),
    });
    let model = Model::parse(format, model)?;
    let options = LoadOptions { workers: header.workers };
    let loaded = engine::load(&model, choice, &options)?;
    let mut trial = Trial {
        session: &*loaded.session,
        signature: model.signature(),
        scratch: &mut Scratch::new(0),
        pace: &mut || (),
    };
    let witness = || {
        if header.onnxruntime_loaded {
            engine::bring_onnxruntime();
        }
        engine::alternative(&model, &loaded, choice, &options)
    };
    let example = trial.examine(golden, witness)?;
    let wanted = (header.prediction, header.range());
    checks::admit(&mut trial, header.checks(), example.as_deref(), wanted, options.workers)?;
    trial.warm_up(example.as_deref(), header.warmup_rows)?;
    Ok(loaded.kind.name())
}
