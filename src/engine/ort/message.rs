//! ONNX Runtime's error texts, made fit to be read: what went wrong, without its source paths and addresses.

use crate::engine::RunError;
use crate::model::{LoadError, Reason};
use crate::native::ort::Failure;

/// `ORT_INVALID_ARGUMENT`, the code of inputs that do not fit the graph.
const INVALID_ARGUMENT: i32 = 2;

/// Longer texts are cut; the longest useful ones name both shapes.
const MAX_CHARS: usize = 300;

/// How every failure inside an operator begins.
const IN_OPERATOR: &str = "Non-zero status code returned while running ";

const OUT_OF_MEMORY: [&str; 2] = ["Failed to allocate memory", "bad_alloc"];

/// Texts of session creation that tell more than their codes, which are mostly `FAIL`.
const LOAD_REASONS: [(&str, Reason); 8] = [
    ("is not a registered function/op", Reason::UnknownOperator),
    ("No Op registered for", Reason::UnknownOperator),
    ("Could not find an implementation for", Reason::UnknownOperator),
    ("Unsupported model IR version", Reason::Unsupported),
    ("is under development and support", Reason::Unsupported),
    ("not supported", Reason::Unsupported),
    (OUT_OF_MEMORY[0], Reason::Memory),
    (OUT_OF_MEMORY[1], Reason::Memory),
];

/// Why a session could not be made.
pub(super) fn load_error(message: &str) -> LoadError {
    let reason = LOAD_REASONS.iter().find(|(text, _)| message.contains(text));
    let code = reason.map_or(Reason::Parse, |(_, reason)| *reason);
    let text = match (code, operator(message)) {
        (Reason::UnknownOperator, Some(name)) => {
            format!("ONNX Runtime has no operator `{name}` for these types")
        }
        _ => clean(message),
    };
    LoadError::new(code, text)
}

/// Why a run failed: whose fault, and a text for them.
pub(super) fn run_error(failure: &Failure) -> RunError {
    let text = clean(&failure.message);
    let no_memory = OUT_OF_MEMORY.iter().any(|sign| failure.message.contains(sign));
    // A graph that loaded and answered its warm-up fails in an operator because of what it was given.
    let inputs = failure.code == INVALID_ARGUMENT || failure.message.contains(IN_OPERATOR);
    if inputs && !no_memory { RunError::Input(text) } else { RunError::Engine(text) }
}

/// The operator that a message about missing ones names.
fn operator(message: &str) -> Option<&str> {
    let after = |marker: &str| message.split_once(marker).map(|(_, rest)| rest);
    let name = after("No Op registered for ")
        .or_else(|| after("Could not find an implementation for "))
        .or_else(|| after("Fatal error: "))?;
    name.split([' ', '(']).next().filter(|name| !name.is_empty())
}

/// The message itself, on one line, without what only ONNX Runtime's developers can use.
fn clean(message: &str) -> String {
    let mut text = message.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((_, rest)) =
        text.split_once("failed:").filter(|(start, _)| start.starts_with("Load model from"))
    {
        text = rest.to_owned();
    }
    let mut place = String::new();
    if let Some((start, rest)) = text.split_once(" Status Message: ") {
        let operator = start.split_once(IN_OPERATOR).and_then(|(_, rest)| rest.split(' ').next());
        place = operator.map(|operator| format!("operator `{operator}`: ")).unwrap_or_default();
        text = rest.to_owned();
    }
    let mut rest = without_location(&text);
    // `CONDITION was false. TEXT`: the condition is source code.
    if let Some((_, meaning)) = rest.split_once(" was false. ") {
        rest = meaning;
    }
    let rest = rest.trim_end_matches("Please fix either the inputs/outputs or the model.").trim();
    let words: Vec<&str> = rest.split(' ').map(|word| if is_private(word) { "…" } else { word }).collect();
    let mut text = format!("{place}{}", words.join(" "));
    if let Some((end, _)) = text.char_indices().nth(MAX_CHARS) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Drops `FILE.cc:LINE FUNCTION` from the start; with a full path, the function comes with its whole signature.
fn without_location(text: &str) -> &str {
    let Some((location, rest)) = text.split_once(' ') else { return text };
    let is_location = location.rsplit_once(':').is_some_and(|(file, line)| {
        [".cc", ".h", ".cpp"].iter().any(|ending| file.ends_with(ending)) && line.parse::<u32>().is_ok()
    });
    if !is_location {
        return text;
    }
    if !location.starts_with('/') {
        return rest.split_once(' ').map_or(rest, |(_, rest)| rest);
    }
    let mut depth = 0;
    for (at, c) in rest.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => continue,
        }
        let after = rest.get(at + 1..).unwrap_or_default();
        // `operator()` and pointers to functions close a bracket that is not the signature's last.
        if depth == 0 && c == ')' && !after.starts_with(['(', ':']) {
            let after = after.strip_prefix(" const").unwrap_or(after).trim_start();
            let template = after.strip_prefix("[with ").and_then(|after| after.split_once("] "));
            return template.map_or(after, |(_, rest)| rest);
        }
    }
    rest
}

/// A path or an address.
fn is_private(word: &str) -> bool {
    word.matches('/').count() > 1 || word.contains("0x")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn run(code: i32, message: &str, expected: &str) {
        let error = run_error(&Failure { code, message: message.to_owned() });
        let found = match &error {
            RunError::Input(text) => format!("input: {text}"),
            RunError::Engine(text) => format!("engine: {text}"),
        };
        assert_eq!(found, expected);
    }

    #[track_caller]
    fn load(message: &str, expected: &str) {
        assert_eq!(load_error(message).to_string(), expected);
    }

    // Texts of ONNX Runtime 1.32.0.
    #[test]
    fn wrong_shapes_are_the_input_s_fault() {
        run(
            2,
            "Got invalid dimensions for input: x for the following indices\n index: 1 Got: 3 Expected: 4\n Please fix either the inputs/outputs or the model.",
            "input: Got invalid dimensions for input: x for the following indices index: 1 Got: 3 Expected: 4",
        );
        run(
            1,
            "Non-zero status code returned while running Reshape node. Name:'' Status Message: /onnxruntime_src/onnxruntime/core/providers/cpu/tensor/reshape_helper.h:84 onnxruntime::ReshapeHelper::ReshapeHelper(const onnxruntime::TensorShape&, onnxruntime::TensorShapeVector&, bool) size != 0 && (input_shape_size % size) == 0 was false. The input tensor cannot be reshaped to the requested shape. Input shape:{6}, requested shape:{-1,4}\n",
            "input: operator `Reshape`: The input tensor cannot be reshaped to the requested shape. Input shape:{6}, requested shape:{-1,4}",
        );
        run(
            1,
            "Non-zero status code returned while running MatMul node. Name:'' Status Message: matmul_helper.h:59 Compute MatMul dimension mismatch",
            "input: operator `MatMul`: MatMul dimension mismatch",
        );
    }

    #[test]
    fn values_that_an_operator_refuses_are_the_input_s_fault() {
        run(
            2,
            "Non-zero status code returned while running Gather node. Name:'' Status Message: indices element out of data bounds, idx=5 must be within the inclusive range [-3,2]",
            "input: operator `Gather`: indices element out of data bounds, idx=5 must be within the inclusive range [-3,2]",
        );
        run(
            1,
            "Non-zero status code returned while running Mod node. Name:'' Status Message: element_wise_ops.cc:2421 operator() Integer modulo by zero",
            "input: operator `Mod`: Integer modulo by zero",
        );
    }

    #[test]
    fn missing_memory_is_the_engine_s_fault() {
        run(
            1,
            "Non-zero status code returned while running Expand node. Name:'' Status Message: /onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:360 void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*) Failed to allocate memory for requested buffer of size 4398046511104\n",
            "engine: operator `Expand`: Failed to allocate memory for requested buffer of size 4398046511104",
        );
        run(6, "something at 0x7f3a in /home/me/model.onnx broke", "engine: something at … in … broke");
    }

    #[test]
    fn unknown_operators_are_named() {
        let known = "unknown_operator: ONNX Runtime has no operator";
        load(
            "Load model from  failed:This is an invalid model. In Node, (\"\", NoSuchOp, \"\", -1) : (\"x\": tensor(float),) -> (\"y\": tensor(float),) , Error No Op registered for NoSuchOp with domain_version of 17",
            &format!("{known} `NoSuchOp` for these types"),
        );
        load(
            "Fatal error: my.dom:Foo(-1) is not a registered function/op",
            &format!("{known} `my.dom:Foo` for these types"),
        );
        load(
            "Could not find an implementation for Add(14) node with name ''",
            &format!("{known} `Add` for these types"),
        );
    }

    #[test]
    fn other_failures_keep_their_text() {
        load(
            "/onnxruntime_src/onnxruntime/core/graph/model.cc:256 onnxruntime::Model::Model(onnx::ModelProto&&, const onnxruntime::PathString&, const onnxruntime::IOnnxRuntimeOpSchemaRegistryList*, const onnxruntime::logging::Logger&, const onnxruntime::ModelOptions&) Unsupported model IR version: 40, max supported IR version: 14\n",
            "unsupported: Unsupported model IR version: 40, max supported IR version: 14",
        );
        load("Protobuf parsing failed.", "parse: Protobuf parsing failed.");
        load(
            "Load model from /tmp/a/b.onnx failed:Type Error: Type (tensor(int64)) of output arg (y) of node () does not match expected type (tensor(float)).",
            "parse: Type Error: Type (tensor(int64)) of output arg (y) of node () does not match expected type (tensor(float)).",
        );
    }

    #[test]
    fn any_text_is_survived_and_cut() {
        for text in
            ["", " ", "a.cc:1", "a.cc:1 ", "/a.h:1 f(", "/a.h:1 f)", " Status Message: ", "é was false. "]
        {
            clean(text);
        }
        assert_eq!(clean(&"é".repeat(1000)).chars().count(), MAX_CHARS + 1);
    }
}
