//! Before anything is sent: the model, its rows, and how each side wants to be asked.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::generate;
use super::requests;
use super::target::{Protocol, Target};
use crate::cli::TryArgs;
use crate::cli::csv_file::{CsvFile, Wanted};
use crate::cli::failure::Failure;
use crate::cli::model_file::{Found, ModelFile};
use crate::cli::peer::connection::Peer;
use crate::cli::peer::reply::{self, excerpt};
use crate::cli::peer::wire::{self, Form, Slot};
use crate::cli::rows::{Batch, Columns, MAX_CELLS, Rows};
use crate::config::{EngineChoice, Sources, load_leniently};
use crate::model::Reason;
use crate::tensor::Datatype;

/// Different requests unless the user says otherwise.
const REQUESTS: usize = 1000;

/// What is tried: a model and requests for it.
pub(super) struct Subject {
    pub(super) model: ModelFile,
    pub(super) columns: Columns,
    pub(super) rows: Rows,
    pub(super) batches: Vec<Batch>,
    pub(super) notes: Vec<String>,
}

/// How the other side is asked.
pub(super) enum Way {
    Tensors {
        slots: Vec<Slot>,
        /// The outputs to ask for; none means those that are given unasked.
        outputs: Vec<String>,
    },
    Form(Form),
    /// Word by word what --requests says.
    Verbatim,
}

/// The environment of this process, as far as engines need it.
pub(super) fn configure(
    args: &TryArgs,
) -> Result<(Sources, EngineChoice, Option<std::path::PathBuf>), Failure> {
    let sources = Sources::from_process(vec![("engine.default".into(), args.engine.clone())]);
    let (loaded, problems) = load_leniently(&sources);
    let ours = |key: Option<&str>| key.is_some_and(|key| key.starts_with("engine."));
    if let Some(problem) = problems.iter().find(|problem| ours(problem.key.as_deref())) {
        return Err(Failure::Usage(format!("--engine: {}", problem.text)));
    }
    let engine = &loaded.config.engine;
    crate::engine::configure(engine);
    Ok((sources, engine.default, engine.onnxruntime.clone()))
}

/// Checks what clap cannot.
pub(super) fn check(args: &TryArgs) -> Result<(), Failure> {
    let positive = [("--seconds", args.seconds), ("--timeout", args.timeout)];
    for (flag, value) in positive {
        if !(value > 0.0 && value <= 86_400.0) {
            return Err(Failure::Usage(format!("{flag} takes seconds above 0, got {value}")));
        }
    }
    if !(args.tolerance >= 0.0 && args.tolerance.is_finite()) {
        return Err(Failure::Usage(format!("--tolerance takes a number from 0, got {}", args.tolerance)));
    }
    if args.connections.get() > 1024 || args.workers.get() > 1024 {
        return Err(Failure::Usage("--connections and --workers take at most 1024".into()));
    }
    Ok(())
}

/// Loads the model as the gateway will, and says what is wrong with it as `sidegate serve` does.
pub(super) fn open(found: &Found, engine: EngineChoice) -> Result<ModelFile, Failure> {
    ModelFile::open(found, engine, 1).map_err(|error| match error.code {
        Reason::MissingFile => Failure::Usage(error.detail),
        _ => Failure::Failed(format!("{} cannot be served: {error}", found.path.display())),
    })
}

impl Subject {
    /// Reads or makes the rows.
    pub(super) fn new(args: &TryArgs, found: &Found, model: ModelFile) -> Result<Self, Failure> {
        let signature = &model.signature;
        if let Some(half) =
            signature.inputs.iter().find(|i| matches!(i.datatype, Datatype::Fp16 | Datatype::Bf16))
        {
            return Err(Failure::Failed(format!(
                "input `{}` takes {}, which has no form in JSON; this command sends JSON only",
                half.name, half.datatype
            )));
        }
        let mut notes = Vec::new();
        let known = feature_names(found, &model, &mut notes);
        let count = args.requests_count.map_or(REQUESTS, NonZeroUsize::get);
        let per = args.rows_per_request.get();
        let (rows, batches) = if let Some(path) = &args.requests {
            requests::read(path, signature, &known, count).map_err(Failure::Usage)?
        } else {
            let rows = match &args.data {
                Some(path) => {
                    let most_rows = count.saturating_mul(per);
                    let (known, dropped, most_cells) = (known.as_slice(), args.drop.as_slice(), MAX_CELLS);
                    let wanted = Wanted { signature, known, dropped, header: false, most_rows, most_cells };
                    let file = CsvFile::read(path, most_rows).map_err(Failure::Usage)?;
                    file.rows(&wanted).map(|(rows, _)| rows)
                }
                None => {
                    let width = Columns::new(signature, &known, None).map_err(Failure::Usage)?.types.len();
                    let most = (MAX_CELLS / width.max(1) / per).max(1);
                    if count > most {
                        notes.push(format!(
                            "{most} requests instead of {count}, as many as are held in memory"
                        ));
                    }
                    if signature.inputs.iter().any(|input| input.datatype == Datatype::Bytes) {
                        notes.push("generated texts are empty; --data FILE.csv tries real ones".into());
                    }
                    generate::rows(&model, &known, count.min(most) * per, args.seed)
                }
            };
            let rows = rows.map_err(Failure::Usage)?;
            let batches = rows.batches(per);
            (rows, batches)
        };
        let columns = Columns::new(signature, &known, Some(rows.width)).map_err(Failure::Usage)?;
        if columns.types.len() != rows.width {
            let text = format!(
                "the requests hold {} values a row, the model takes {}",
                rows.width,
                columns.types.len()
            );
            return Err(Failure::Usage(text));
        }
        let fixed = signature.inputs.iter().find_map(|input| {
            let batch = input.shape.first().map_or(1, |extent| *extent);
            usize::try_from(batch).ok().map(|batch| (input, batch))
        });
        if let Some((input, batch)) = fixed
            && batches.iter().any(|requested| requested.rows.len() != batch)
        {
            return Err(Failure::Usage(format!(
                "input `{}` takes exactly {batch} rows: --rows-per-request {batch}",
                input.name
            )));
        }
        Ok(Self { model, columns, rows, batches, notes })
    }

    /// What is sent to sidegate: tensors of its own signature.
    pub(super) fn own_way(&self) -> Way {
        Way::Tensors { slots: wire::own_slots(&self.model.signature, &self.columns), outputs: Vec::new() }
    }

    /// The body of one request.
    pub(super) fn body(&self, way: &Way, batch: &Batch) -> Vec<u8> {
        match way {
            Way::Tensors { slots, outputs } => wire::oip(slots, outputs, &self.rows, &batch.rows),
            Way::Form(form) => form.body(&self.rows, &batch.rows),
            Way::Verbatim => batch.verbatim.clone().unwrap_or_default(),
        }
    }

    /// The whole request.
    pub(super) fn request(&self, peer: &Peer, path: &str, way: &Way, batch: &Batch) -> Vec<u8> {
        let content_type = match way {
            Way::Form(form) => form.content_type,
            Way::Tensors { .. } | Way::Verbatim => "application/json",
        };
        peer.request("POST", path, content_type, &self.body(way, batch))
    }

    /// How the other side wants to be asked: as it describes itself, as the user says, else the first form that it
    /// answers.
    pub(super) fn way(&self, args: &TryArgs, target: &Target) -> Result<(Way, String), Failure> {
        let protocol = target.protocol.name();
        if args.requests.is_some() {
            return Ok((Way::Verbatim, format!("{protocol}, bodies as given")));
        }
        if let Some(text) = &args.body {
            let form = Form::parse(text).map_err(Failure::Usage)?;
            let said = format!("{protocol}, {}", form.name);
            return Ok((Way::Form(form), said));
        }
        if target.protocol == Protocol::Oip {
            let (own, outputs) =
                (wire::own_slots(&self.model.signature, &self.columns), args.outputs.clone());
            let described = target.described();
            if described.inputs.is_empty() {
                let said = format!("{protocol}, with our names: it describes no inputs");
                return Ok((Way::Tensors { slots: own, outputs }, said));
            }
            let slots = wire::their_slots(&described.inputs, &own, &self.rows);
            let slots = slots.map_err(|error| Failure::Failed(format!("{}: {error}", target.url)))?;
            let names: Vec<String> =
                slots.iter().take(3).map(|s| format!("`{}` {}", s.name, s.datatype)).collect();
            return Ok((Way::Tensors { slots, outputs }, format!("{protocol}, {}", names.join(", "))));
        }
        self.probed(target)
    }

    fn probed(&self, target: &Target) -> Result<(Way, String), Failure> {
        let Some(first) = self.batches.first() else {
            return Err(Failure::Usage("there are no requests".into()));
        };
        let one_matrix = self.model.signature.inputs.len() == 1;
        let forms = Form::all(target.protocol.forms(one_matrix), &self.rows, first.rows.len());
        let mut refusals: Vec<String> = Vec::new();
        for form in forms {
            let name = form.name.clone();
            let way = Way::Form(form);
            let request = self.request(&target.peer, &target.path, &way, first);
            let connection = crate::cli::peer::connection::Connection::open(&target.peer);
            let answer = connection.and_then(|mut connection| connection.ask(&request));
            let answer = answer.map_err(|error| Failure::Failed(format!("{}: {error}", target.url)))?;
            if answer.status == 200 && reply::read(&answer.body).is_ok() {
                return Ok((way, format!("{}, {name}", target.protocol.name())));
            }
            refusals.push(format!("  {name}: status {}: {}", answer.status, excerpt(&answer.body)));
        }
        let unnamed = "; the rows have no names, which --data gives them by its header";
        let hint = if self.rows.names.is_none() { unnamed } else { "" };
        Err(Failure::Failed(format!(
            "{} accepts none of the bodies that were tried; --body gives a template, --requests whole bodies{hint}\n{}",
            target.url,
            refusals.join("\n")
        )))
    }
}

/// Time for one answer.
pub(super) fn patience(args: &TryArgs) -> Duration {
    Duration::from_secs_f64(args.timeout)
}

/// Names of the features, where a manifest beside the model has them.
fn feature_names(found: &Found, model: &ModelFile, notes: &mut Vec<String>) -> Vec<String> {
    let names = match found.manifest() {
        Some(Ok(manifest)) => manifest.columns,
        Some(Err(error)) => {
            notes.push(format!("the manifest.json beside the model is left out: {}", error.detail));
            Vec::new()
        }
        None => Vec::new(),
    };
    if names.is_empty() { model.model.columns().to_vec() } else { names }
}
