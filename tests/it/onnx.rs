//! Small ONNX files, written field by field, of operators that every engine runs: a version of a test model
//! answers with its own number.

/// A protobuf message being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn int(mut self, number: u64, value: i64) -> Self {
        self.varint(number << 3);
        self.varint(value as u64);
        self
    }

    fn bytes(mut self, number: u64, value: &[u8]) -> Self {
        self.varint(number << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    fn text(self, number: u64, value: &str) -> Self {
        self.bytes(number, value.as_bytes())
    }

    fn message(self, number: u64, inner: &Self) -> Self {
        self.bytes(number, &inner.0)
    }

    fn all(self, number: u64, inner: &[Self]) -> Self {
        inner.iter().fold(self, |out, inner| out.message(number, inner))
    }
}

/// ONNX's numbers of element types.
const FLOAT: i64 = 1;
const INT64: i64 = 7;

/// The datatypes of the protocol with ONNX's numbers of them and their size in bytes (0: it varies).
pub(crate) const DATATYPES: [(&str, i64, usize); 14] = [
    ("BOOL", 9, 1),
    ("UINT8", 2, 1),
    ("UINT16", 4, 2),
    ("UINT32", 12, 4),
    ("UINT64", 13, 8),
    ("INT8", 3, 1),
    ("INT16", 5, 2),
    ("INT32", 6, 4),
    ("INT64", 7, 8),
    ("FP16", 10, 2),
    ("BF16", 16, 2),
    ("FP32", 1, 4),
    ("FP64", 11, 8),
    ("BYTES", 8, 0),
];

/// A tensor of `N` rows and `width` columns.
fn value(name: &str, element: i64, width: i64) -> Message {
    let dimensions = [Message::default().text(2, "N"), Message::default().int(1, width)];
    let shape = Message::default().all(1, &dimensions);
    let kind = Message::default().message(1, &Message::default().int(1, element).message(2, &shape));
    Message::default().text(1, name).message(2, &kind)
}

fn floats(name: &str, shape: &[i64], values: &[f32]) -> Message {
    let shape = shape.iter().fold(Message::default(), |out, d| out.int(1, *d));
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    shape.int(2, FLOAT).text(8, name).bytes(9, &raw)
}

fn integers(name: &str, shape: &[i64], values: &[i64]) -> Message {
    let shape = shape.iter().fold(Message::default(), |out, d| out.int(1, *d));
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    shape.int(2, INT64).text(8, name).bytes(9, &raw)
}

fn node(domain: &str, operator: &str, inputs: &[&str], output: &str) -> Message {
    let inputs = inputs.iter().fold(Message::default(), |out, input| out.text(1, input));
    inputs.text(2, output).text(3, output).text(4, operator).text(7, domain)
}

fn model(nodes: &[Message], initializers: &[Message], input: &Message, output: &Message) -> Vec<u8> {
    let graph = Message::default().all(1, nodes).text(2, "g").all(5, initializers);
    let graph = graph.message(11, input).message(12, output);
    let opset = |domain: &str, version| Message::default().text(1, domain).int(2, version);
    let opsets = [opset("", 18), opset("example.custom", 1)];
    Message::default().int(1, 8).message(7, &graph).all(8, &opsets).0
}

/// `y` = `input` · 0 + `answer`.
fn linear(input: &str, width: i64, answer: f32) -> Vec<u8> {
    let nodes = [node("", "MatMul", &[input, "w"], "m"), node("", "Add", &["m", "b"], "y")];
    let zeros = vec![0.0; width as usize];
    let constants = [floats("w", &[width, 1], &zeros), floats("b", &[1], &[answer])];
    model(&nodes, &constants, &value(input, FLOAT, width), &value("y", FLOAT, 1))
}

/// Takes rows of floats and answers each with the same number, by any names.
pub(crate) fn regression(input: &str, width: i64, output: &str, answer: f32) -> Vec<u8> {
    let nodes = [node("", "MatMul", &[input, "w"], "m"), node("", "Add", &["m", "b"], output)];
    let zeros = vec![0.0; width as usize];
    let constants = [floats("w", &[width, 1], &zeros), floats("b", &[1], &[answer])];
    model(&nodes, &constants, &value(input, FLOAT, width), &value(output, FLOAT, 1))
}

/// Takes `x` of 4 floats a row, answers `y` with `answer`.
pub(crate) fn constant(answer: f32) -> Vec<u8> {
    linear("x", 4, answer)
}

/// As [`constant`], with an input of another name and width.
pub(crate) fn other_signature(answer: f32) -> Vec<u8> {
    linear("z", 5, answer)
}

/// As [`constant`] with 1 as answer, by way of `layers` multiplications with matrices of `width` × `width`.
pub(crate) fn slow(width: i64, layers: usize) -> Vec<u8> {
    let count = (width * width) as usize;
    let mut nodes = vec![node("", "MatMul", &["x", "first"], "t0")];
    let mut constants = vec![floats("first", &[4, width], &vec![0.0; 4 * width as usize])];
    for layer in 0..layers {
        let (from, weights, to) = (format!("t{layer}"), format!("w{layer}"), format!("t{}", layer + 1));
        nodes.push(node("", "MatMul", &[&from, &weights], &to));
        // Different ones, or they might be merged.
        constants.push(floats(&weights, &[width, width], &vec![1e-3 * (layer + 1) as f32; count]));
    }
    nodes.push(node("", "MatMul", &[&format!("t{layers}"), "last"], "m"));
    nodes.push(node("", "Add", &["m", "b"], "y"));
    constants.push(floats("last", &[width, 1], &vec![0.0; width as usize]));
    constants.push(floats("b", &[1], &[1.0]));
    model(&nodes, &constants, &value("x", FLOAT, 4), &value("y", FLOAT, 1))
}

/// Gives back `x` of 3 columns and one of [`DATATYPES`] as `y`.
pub(crate) fn identity(element: i64) -> Vec<u8> {
    model(&[node("", "Identity", &["x"], "y")], &[], &value("x", element, 3), &value("y", element, 3))
}

/// Takes the elements of a list of 4 that `x` names; other numbers make the run fail.
pub(crate) fn lookup() -> Vec<u8> {
    let list = floats("list", &[4], &[10.0, 11.0, 12.0, 13.0]);
    let nodes = [node("", "Gather", &["list", "x"], "y")];
    model(&nodes, &[list], &value("x", INT64, 1), &value("y", FLOAT, 1))
}

/// As [`constant`], for any number of rows up to 64 but this one: the place that it looks up is none.
pub(crate) fn fails_at(rows: usize, answer: f32) -> Vec<u8> {
    fails_on_rows("x", 4, "y", rows, answer)
}

/// The same by any names and width.
pub(crate) fn fails_on_rows(input: &str, width: i64, output: &str, rows: usize, answer: f32) -> Vec<u8> {
    let mut places = vec![0; 65];
    places[rows] = 99;
    let constants = [
        integers("first", &[], &[0]),
        integers("places", &[65], &places),
        floats("list", &[1], &[answer]),
        floats("w", &[width, 1], &vec![0.0; width as usize]),
    ];
    let nodes = [
        node("", "Shape", &[input], "shape"),
        node("", "Gather", &["shape", "first"], "rows"),
        node("", "Gather", &["places", "rows"], "place"),
        node("", "Gather", &["list", "place"], "b"),
        node("", "MatMul", &[input, "w"], "m"),
        node("", "Add", &["m", "b"], output),
    ];
    model(&nodes, &constants, &value(input, FLOAT, width), &value(output, FLOAT, 1))
}

/// An operator of a domain that nobody has.
pub(crate) fn unknown_operator() -> Vec<u8> {
    let nodes = [node("example.custom", "Frobnicate", &["x"], "y")];
    model(&nodes, &[], &value("x", FLOAT, 4), &value("y", FLOAT, 1))
}

/// Tensors of complex numbers, for which no protocol has a form.
pub(crate) fn complex_numbers() -> Vec<u8> {
    let nodes = [node("", "Identity", &["x"], "y")];
    model(&nodes, &[], &value("x", 14, 4), &value("y", 14, 4))
}

/// A tensor whose bytes are said to be in another file.
pub(crate) fn external_data() -> Vec<u8> {
    let location = Message::default().text(1, "location").text(2, "../../../../etc/passwd");
    let tensor = Message::default().int(1, 4).int(2, FLOAT).text(8, "w").message(13, &location).int(14, 1);
    let nodes = [node("", "Add", &["x", "w"], "y")];
    model(&nodes, &[tensor], &value("x", FLOAT, 4), &value("y", FLOAT, 4))
}
