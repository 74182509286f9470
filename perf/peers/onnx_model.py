"""A model of one recurrent layer for ONNX Runtime and OpenVINO."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

GATES = {"rnn": 1, "gru": 3, "lstm": 4}


def model(load):
    """The model's bytes, and an input for it."""
    hidden, steps, batch = load["hidden"], load["steps"], load["batch"]
    rows, rng = GATES[load["cell"]] * hidden, np.random.default_rng(1)
    draw = lambda *shape: rng.uniform(-(hidden**-0.5), hidden**-0.5, shape).astype(np.float32)
    weights = {"W": draw(1, rows, load["input"]), "R": draw(1, rows, hidden), "B": draw(1, 2 * rows)}
    more = {"linear_before_reset": 1} if load["cell"] == "gru" else {}
    node = helper.make_node(load["cell"].upper(), ["X", "W", "R", "B"], ["Y"], hidden_size=hidden, **more)
    graph = helper.make_graph(
        [node], "layer",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [steps, batch, load["input"]])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [steps, 1, batch, hidden])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(made)
    return made.SerializeToString(), rng.uniform(-1, 1, (steps, batch, load["input"])).astype(np.float32)
