"""OpenVINO, CPU plugin in f32: inference only."""

import sys

folder = sys.path.pop(0)
import openvino

sys.path.append(folder)
from common import THREADS, serve
from onnx_model import model


def prepare(load):
    if load["mode"] != "infer":
        return None
    contents, x = model(load)
    core = openvino.Core()
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": THREADS, "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(core.read_model(contents), "CPU", settings).create_infer_request()
    return lambda: request.infer({"X": x})


serve(openvino.__version__.split("-")[0], prepare)
