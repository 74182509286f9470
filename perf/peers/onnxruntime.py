"""ONNX Runtime, CPU provider: inference only."""

import sys

folder = sys.path.pop(0)
import onnxruntime

sys.path.append(folder)
from common import THREADS, serve
from onnx_model import model


def prepare(load):
    if load["mode"] != "infer":
        return None
    contents, x = model(load)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(contents, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"X": x})


serve(onnxruntime.__version__, prepare)
