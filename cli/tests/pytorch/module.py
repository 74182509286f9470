"""Loads a model strictly into the module that `elman inspect --pytorch` printed, and compares what both give.

    python module.py FOLDER indices|features
"""

import pathlib
import runpy
import sys

import torch
from safetensors.torch import load_file

folder = pathlib.Path(sys.argv[1])
model = runpy.run_path(str(folder / "module.py"))["Model"]().eval()
model.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
io = load_file(folder / "io.safetensors")
x = io["input"]
if sys.argv[2] == "indices":
    x = x[..., 0].long()
with torch.no_grad():
    y, states = model(x)
h = [state[0] if isinstance(state, tuple) else state for state in states]
got = {"output": y.flatten(), "h": torch.cat([state.flatten() for state in h]) if h else torch.zeros(0)}
for name, value in got.items():
    torch.testing.assert_close(value, io[name], rtol=2e-6, atol=2e-6, msg=lambda text: f"{name}: {text}")
