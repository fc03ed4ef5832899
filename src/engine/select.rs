//! Which engine runs a version, and why.

use super::{Engine, EngineKind, LoadOptions, Session};
use crate::config::{self, EngineChoice};
use crate::format::Model;
use crate::model::{LoadError, Reason};
use crate::onnx::{Graph, Node};

/// Every engine of this build.
pub const ENGINES: &[&dyn Engine] = &[
    &super::trees::Trees,
    #[cfg(feature = "ort")]
    &super::ort::Ort,
    #[cfg(feature = "tract")]
    &super::tract::Tract,
];

/// Matrices up to this many elements cost `trees` about as much as the way into another engine.
const SMALL_MATRIX: usize = 16 * 1024;

/// A session and how it came about.
pub struct Loaded {
    /// Runs the version.
    pub session: Box<dyn Session>,
    /// The engine it belongs to.
    pub kind: EngineKind,
    /// Why this engine, in a few words for `/models`.
    pub reason: String,
}

/// Hands the engines their configuration. Without effect on an ONNX Runtime that is already loaded.
pub fn configure(config: &config::Engine) {
    #[cfg(feature = "ort")]
    super::ort::configure(super::ort::Search {
        configured: config.onnxruntime.clone(),
        dylib_path: config.search.ort_dylib_path.clone(),
        python_prefixes: config.search.virtual_env.iter().cloned().collect(),
    });
    #[cfg(not(feature = "ort"))]
    let _ = config;
}

/// The path and version of the loaded ONNX Runtime, or why the last attempt to load it failed; `None` while
/// no model needed it.
pub fn onnxruntime_status() -> Option<Result<(String, String), String>> {
    #[cfg(feature = "ort")]
    return super::ort::status();
    #[cfg(not(feature = "ort"))]
    None
}

/// The ONNX Runtime library that is or would be loaded, by looking at files only; `None` when there is none.
pub fn onnxruntime_library() -> Option<std::path::PathBuf> {
    #[cfg(feature = "ort")]
    return super::ort::find().ok().map(|library| library.path);
    #[cfg(not(feature = "ort"))]
    None
}

/// Loads ONNX Runtime, so that [`alternative`] finds it at hand.
pub fn bring_onnxruntime() {
    #[cfg(feature = "ort")]
    super::ort::bring();
}

/// Builds a session with the chosen engine, or with the first that runs the whole graph.
///
/// # Errors
/// What every engine asked had against the graph. Only a graph that an engine does not know or not support is
/// offered to the next: one that is too large stays so.
pub fn load(model: &Model, choice: EngineChoice, options: &LoadOptions) -> Result<Loaded, LoadError> {
    let order = match choice {
        EngineChoice::Auto => match model {
            Model::Onnx(model) => order(&model.graph),
            Model::Booster(_) => Order::BOOSTER,
        },
        EngineChoice::Trees => return only(EngineKind::Trees, model, options),
        EngineChoice::Ort => return only(EngineKind::Ort, model, options),
        EngineChoice::Tract => return only(EngineKind::Tract, model, options),
    };
    let mut refusals =
        Vec::from_iter(order.against_trees.map(|why| (EngineKind::Trees, Reason::Unsupported, why)));
    for &kind in order.kinds {
        let Some(engine) = engine(kind) else {
            refusals.push((kind, Reason::Unsupported, format!("this build is without engine `{kind}`")));
            continue;
        };
        match engine.load(model, options) {
            Ok(session) => return Ok(Loaded { session, kind, reason: reason(kind, &refusals) }),
            // `trees` reads more narrowly than the standard; what it calls broken, another engine may not.
            Err(error)
                if matches!(error.code, Reason::Unsupported | Reason::UnknownOperator)
                    || (kind == EngineKind::Trees && error.code == Reason::Parse) =>
            {
                refusals.push((kind, error.code, error.detail));
            }
            Err(error) => return Err(LoadError::new(error.code, format!("{kind}: {}", error.detail))),
        }
    }
    // ONNX Runtime knows every operator there is; the other two only their own.
    let unknown = |kind| refusals.iter().any(|(k, code, _)| *k == kind && *code == Reason::UnknownOperator);
    let known_to_none =
        unknown(EngineKind::Ort) || refusals.iter().all(|(_, code, _)| *code == Reason::UnknownOperator);
    let broken = refusals.iter().any(|(_, code, _)| *code == Reason::Parse);
    let code = match known_to_none {
        _ if broken => Reason::Parse,
        true => Reason::UnknownOperator,
        false => Reason::Unsupported,
    };
    let details: Vec<String> = refusals.iter().map(|(kind, _, why)| format!("{kind}: {why}")).collect();
    Err(LoadError::new(code, details.join("; ")))
}

fn only(kind: EngineKind, model: &Model, options: &LoadOptions) -> Result<Loaded, LoadError> {
    let missing = || LoadError::new(Reason::Unsupported, format!("this build is without engine `{kind}`"));
    let session = engine(kind).ok_or_else(missing)?.load(model, options)?;
    Ok(Loaded { session, kind, reason: "named in the configuration".to_owned() })
}

/// Another engine's session of the same version, to compare answers with; `None` where there is none at hand.
///
/// ONNX Runtime is not loaded only for this: it would double the memory of a process that does without.
pub fn alternative(
    model: &Model,
    loaded: &Loaded,
    choice: EngineChoice,
    options: &LoadOptions,
) -> Option<Box<dyn Session>> {
    // Where the configuration names the engine, its answers are what was asked for.
    if choice != EngineChoice::Auto || loaded.kind == EngineKind::Ort {
        return None;
    }
    let mut options = *options;
    options.workers = 1;
    let others = ENGINES.iter().filter(|engine| engine.kind() != loaded.kind && at_hand(engine.kind()));
    others.into_iter().find_map(|engine| engine.load(model, &options).ok())
}

/// Whether `trees` is what [`load`] picks for this version. It is our own code, bounded by the file that it reads.
pub fn runs_in_trees(model: &Model, choice: EngineChoice, options: &LoadOptions) -> bool {
    let first = match (choice, model) {
        (EngineChoice::Ort | EngineChoice::Tract, _) => false,
        (EngineChoice::Auto, Model::Onnx(model)) => {
            order(&model.graph).kinds.first() == Some(&EngineKind::Trees)
        }
        (EngineChoice::Trees, _) | (EngineChoice::Auto, Model::Booster(_)) => true,
    };
    first && (choice == EngineChoice::Trees || super::trees::Trees.load(model, options).is_ok())
}

/// Whether [`alternative`] would ask another engine than `trees`, which then reads the model's bytes.
pub fn has_alternative(model: &Model, choice: EngineChoice) -> bool {
    let Model::Onnx(_model) = model else { return false };
    #[cfg(feature = "tract")]
    let tract = super::tract::takes(_model);
    #[cfg(not(feature = "tract"))]
    let tract = false;
    choice == EngineChoice::Auto && (tract || at_hand(EngineKind::Ort))
}

fn at_hand(kind: EngineKind) -> bool {
    #[cfg(feature = "ort")]
    if kind == EngineKind::Ort {
        return super::ort::loaded().is_some();
    }
    kind != EngineKind::Ort
}

fn engine(kind: EngineKind) -> Option<&'static dyn Engine> {
    ENGINES.iter().copied().find(|engine| engine.kind() == kind)
}

fn reason(kind: EngineKind, refusals: &[(EngineKind, Reason, String)]) -> String {
    if refusals.is_empty() {
        return format!("{kind} runs the whole model");
    }
    let others: Vec<&str> = refusals.iter().map(|(_, _, why)| why.as_str()).collect();
    format!("{kind}: {}", others.join("; "))
}

/// The engines to ask, and why `trees` comes last if it does.
struct Order {
    kinds: &'static [EngineKind],
    against_trees: Option<String>,
}

impl Order {
    /// The others read ONNX only, which is nothing to tell about each of them.
    const BOOSTER: Self = Self { kinds: &[EngineKind::Trees], against_trees: None };
}

fn order(graph: &Graph) -> Order {
    let trees = |node: &Node| node.domain == "ai.onnx.ml" && node.op_type.starts_with("TreeEnsemble");
    let heavy = graph.nodes.iter().find(|node| is_heavy(node, graph));
    match heavy {
        Some(node) if !graph.nodes.iter().any(trees) => Order {
            kinds: &[EngineKind::Ort, EngineKind::Tract, EngineKind::Trees],
            against_trees: Some(format!("{node} is too large for trees")),
        },
        _ => Order { kinds: &[EngineKind::Trees, EngineKind::Ort, EngineKind::Tract], against_trees: None },
    }
}

/// Whether a node multiplies by a large matrix, or by one that is only known when it runs.
fn is_heavy(node: &Node, graph: &Graph) -> bool {
    match node.op_type.as_str() {
        "MatMul" | "Gemm" => {}
        "Conv" | "ConvTranspose" => return true,
        _ => return false,
    }
    let made = |name: &String| {
        let maker =
            graph.nodes.iter().find(|node| node.op_type == "Constant" && node.outputs.contains(name))?;
        maker.tensor("value").ok().flatten()
    };
    let constant = |name: &String| graph.initializers.get(name).or_else(|| made(name));
    let largest =
        node.inputs.iter().take(2).filter_map(constant).map(|c| c.shape.iter().product::<usize>()).max();
    largest.is_none_or(|elements| elements > SMALL_MATRIX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::build::{Msg, constant, graph, model, node, tensor, value};

    const OPTIONS: LoadOptions = LoadOptions { workers: 1 };

    /// A graph of nodes from `x` to `y`, each beside the others, with a square matrix `w`.
    fn parsed(ops: &[(&str, [&str; 2])], side: i64) -> Model {
        let nodes = ops.iter().enumerate().map(|(index, (op, inputs))| {
            let output = if index == 0 { "y".to_owned() } else { format!("y{index}") };
            node(op, inputs, &[&output], vec![])
        });
        let nodes = nodes.collect();
        let inner = graph(nodes, vec![value("x", 1, &[-1, side])], vec![value("y", 1, &[-1, side])]);
        let weights = constant("w", &[side, side], &vec![0.0; (side * side) as usize]);
        crate::onnx::parse(model(inner.message(5, weights)).0).unwrap().into()
    }

    #[track_caller]
    fn first(ops: &[(&str, [&str; 2])], side: i64, expected: EngineKind) {
        let order = order(&parsed(ops, side).onnx().unwrap().graph);
        assert_eq!(order.kinds[0], expected);
        assert_eq!(order.against_trees.is_some(), expected != EngineKind::Trees);
    }

    #[test]
    fn trees_come_first_but_for_large_matrices() {
        first(&[("MatMul", ["x", "w"])], 128, EngineKind::Trees);
        first(&[("MatMul", ["x", "w"])], 129, EngineKind::Ort);
        first(&[("Gemm", ["x", "w"])], 129, EngineKind::Ort);
        first(&[("MatMul", ["x", "x"])], 2, EngineKind::Ort);
        first(&[("Conv", ["x", "w"])], 2, EngineKind::Ort);
        first(&[("Add", ["x", "w"])], 200, EngineKind::Trees);
        first(&[("ml.Scaler", ["x", "w"]), ("MatMul", ["x", "w"])], 129, EngineKind::Ort);
        first(&[("MatMul", ["x", "w"]), ("ml.TreeEnsembleRegressor", ["x", "w"])], 129, EngineKind::Trees);
    }

    #[test]
    fn a_matrix_may_be_a_constant_node() {
        let weights = tensor("value", constant("", &[129, 129], &vec![0.0; 129 * 129]));
        let nodes = |weights: Msg| {
            vec![node("Constant", &[], &["w"], vec![weights]), node("MatMul", &["x", "w"], &["y"], vec![])]
        };
        let inner =
            |weights| graph(nodes(weights), vec![value("x", 1, &[-1, -1])], vec![value("y", 1, &[-1, -1])]);
        let large = crate::onnx::parse(model(inner(weights)).0).unwrap();
        assert_eq!(order(&large.graph).kinds[0], EngineKind::Ort);
        let small = tensor("value", constant("", &[2, 2], &[0.0; 4]));
        let small = crate::onnx::parse(model(inner(small)).0).unwrap();
        assert_eq!(order(&small.graph).kinds[0], EngineKind::Trees);
    }

    #[test]
    fn the_reason_names_what_stood_against_the_others() {
        assert_eq!(reason(EngineKind::Trees, &[]), "trees runs the whole model");
        let refusal = |kind, why: &str| (kind, Reason::Unsupported, why.to_owned());
        let refusals = [refusal(EngineKind::Trees, "no `Conv`"), refusal(EngineKind::Ort, "no library")];
        assert_eq!(reason(EngineKind::Tract, &refusals), "tract: no `Conv`; no library");
    }

    #[cfg(feature = "tract")]
    #[test]
    fn a_named_engine_is_the_only_one_asked() {
        let loaded = load(&parsed(&[("MatMul", ["x", "w"])], 2), EngineChoice::Tract, &OPTIONS).unwrap();
        assert_eq!((loaded.kind, loaded.reason.as_str()), (EngineKind::Tract, "named in the configuration"));
        let error = load(&parsed(&[("LSTM", ["x", "w"])], 2), EngineChoice::Tract, &OPTIONS).err().unwrap();
        assert_eq!(error.code, Reason::Unsupported);
    }

    #[test]
    fn what_no_engine_runs_is_refused_with_the_operator_s_name() {
        crate::native::prepare_environment();
        let error =
            load(&parsed(&[("NoSuchOperator", ["x", "w"])], 2), EngineChoice::Auto, &OPTIONS).err().unwrap();
        assert!(matches!(error.code, Reason::Unsupported | Reason::UnknownOperator), "{error}");
        assert!(error.detail.contains("`NoSuchOperator`"), "{error}");
    }
}
