//! The layer as an ONNX model of one node, the one that `perf/peers/onnx_model.py` makes.
//!
//! Field numbers are those of `onnx.proto`.

use crate::{Cell, Layer, Load};

/// The model's bytes: X (steps, batch, input) to Y (steps, 1, batch, hidden).
pub fn model(load: &Load, layer: &Layer) -> Vec<u8> {
    let (rows, hidden) = (load.gates() * load.hidden, load.hidden);
    let bias = [reorder(load, &layer.b_ih), reorder(load, &layer.b_hh)].concat();

    let mut node = Message::default();
    for input in ["X", "W", "R", "B"] {
        node.text(1, input);
    }
    node.text(2, "Y").text(4, name(load.cell)).message(5, &attribute("hidden_size", hidden));
    if load.cell == Cell::Gru {
        node.message(5, &attribute("linear_before_reset", 1));
    }

    let mut graph = Message::default();
    graph.message(1, &node).text(2, "layer");
    graph.message(5, &tensor("W", &[1, rows, load.input], &reorder(load, &layer.w_ih)));
    graph.message(5, &tensor("R", &[1, rows, hidden], &reorder(load, &layer.w_hh)));
    graph.message(5, &tensor("B", &[1, 2 * rows], &bias));
    graph.message(11, &value_info("X", &[load.steps, load.batch, load.input]));
    graph.message(12, &value_info("Y", &[load.steps, 1, load.batch, hidden]));

    let mut opset = Message::default();
    opset.text(1, "").number(2, 14);
    let mut model = Message::default();
    model.number(1, 8).message(7, &graph).message(8, &opset);
    model.0
}

fn name(cell: Cell) -> &'static str {
    match cell {
        Cell::Rnn => "RNN",
        Cell::Gru => "GRU",
        Cell::Lstm => "LSTM",
    }
}

/// From PyTorch's gates r z n and i f g o to ONNX's z r h and i o f c, whatever belongs to each row.
fn reorder(load: &Load, values: &[f32]) -> Vec<f32> {
    let order: &[usize] = match load.cell {
        Cell::Rnn => &[0],
        Cell::Gru => &[1, 0, 2],
        Cell::Lstm => &[0, 3, 1, 2],
    };
    let gates: Vec<&[f32]> = values.chunks_exact(values.len() / load.gates()).collect();
    order.iter().flat_map(|&gate| gates[gate]).copied().collect()
}

const FLOAT: usize = 1; // TensorProto.DataType
const INT: usize = 2; // AttributeProto.AttributeType

fn attribute(name: &str, value: usize) -> Message {
    let mut attribute = Message::default();
    attribute.text(1, name).number(3, value).number(20, INT);
    attribute
}

fn tensor(name: &str, shape: &[usize], values: &[f32]) -> Message {
    let mut tensor = Message::default();
    for &size in shape {
        tensor.number(1, size);
    }
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor.number(2, FLOAT).text(8, name).bytes(9, &bytes);
    tensor
}

fn value_info(name: &str, sizes: &[usize]) -> Message {
    let mut shape = Message::default();
    for &size in sizes {
        let mut dimension = Message::default();
        dimension.number(1, size);
        shape.message(1, &dimension);
    }
    let (mut of_tensor, mut kind, mut info) = (Message::default(), Message::default(), Message::default());
    of_tensor.number(1, FLOAT).message(2, &shape);
    kind.message(1, &of_tensor);
    info.text(1, name).message(2, &kind);
    info
}

/// A protobuf message, written field by field.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(&mut self, field: usize, value: usize) -> &mut Message {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn bytes(&mut self, field: usize, value: &[u8]) -> &mut Message {
        self.varint(field << 3 | 2);
        self.varint(value.len());
        self.0.extend_from_slice(value);
        self
    }

    fn text(&mut self, field: usize, value: &str) -> &mut Message {
        self.bytes(field, value.as_bytes())
    }

    fn message(&mut self, field: usize, value: &Message) -> &mut Message {
        self.bytes(field, &value.0)
    }

    fn varint(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
