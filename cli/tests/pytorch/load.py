"""Loads a model that Elman has saved into PyTorch, strictly, and runs it.

    python cli/tests/pytorch/load.py SETTINGS MODEL INPUT OUTPUT

Needs torch and safetensors. SETTINGS are the keyword arguments of `torch.nn.LSTM`, as JSON. MODEL holds its parameters
behind `rnn.` and those of a `torch.nn.Linear` behind `linear.`, and nothing else; INPUT holds `input`. OUTPUT gets
`output`, `h_n` and `c_n`, and the `prediction` of the linear layer over `output`.
"""

import json
import sys

import torch
from safetensors.torch import load_file, save_file


def behind(prefix, tensors):
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def main(settings, model, given, output):
    torch.set_num_threads(1)
    tensors = load_file(model)
    rnn, head = behind("rnn.", tensors), behind("linear.", tensors)
    assert len(rnn) + len(head) == len(tensors), f"neither rnn. nor linear.: {sorted(tensors)}"
    lstm = torch.nn.LSTM(**json.loads(settings))
    lstm.load_state_dict(rnn, strict=True)
    linear = torch.nn.Linear(head["weight"].shape[1], head["weight"].shape[0])
    linear.load_state_dict(head, strict=True)
    with torch.no_grad():
        y, (h_n, c_n) = lstm(load_file(given)["input"])
        results = {"output": y, "h_n": h_n, "c_n": c_n, "prediction": linear(y)}
    save_file({name: tensor.contiguous() for name, tensor in results.items()}, output)


if __name__ == "__main__":
    main(*sys.argv[1:])
