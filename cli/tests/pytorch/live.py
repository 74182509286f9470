"""PyTorch as a live oracle: random networks for `elman run` and for the test of gradients, and the comparison.

    python cli/tests/pytorch/live.py COUNT SEED DIRECTORY
    python cli/tests/pytorch/live.py compare DIRECTORY
    python cli/tests/pytorch/live.py gradients COUNT SEED DIRECTORY

Needs torch, safetensors and numpy. Configuration n depends on SEED and n only, not on COUNT; its files go to
DIRECTORY/{n:03}/ and replace what was there. Everything is computed on one CPU thread in float32, with PyTorch's
default initialisation and with inputs, initial states and upstream gradients in [-1, 1] (the padding of ragged rows
too).

The first form draws configurations (cell, nonlinearity, layers, directions, biases, projection, initial states, ragged
rows, unbatched, orientation; T to 40, B to 20, I to 40, H to 70) and writes, for each,

    weights.safetensors   the module's state dict; half of them under a prefix, beside tensors that are not its own
    input.safetensors     input, and by configuration h_0, c_0 and lengths (int64)
    expected.safetensors  output, h_n and the LSTM's c_n
    args.json             arguments for `elman run` beside --weights, --input and --output, a list of strings:
                          --cell CELL (in half of them), --nonlinearity relu (wherever it is), --batch-first (wherever
                          it is; PyTorch ignores it for unbatched input), --prefix PREFIX (wherever there is one)

`compare` reads the output.safetensors that `elman run` has written beside them (output, h_n, c_n; float32). Shapes
must be equal, values within 2e-6 times max(1, |value|) of PyTorch's, and `output` beyond a row's length exactly 0.
One line per tensor that fails, a summary, exit status 1 if anything failed.

`gradients` writes one case.safetensors per configuration: the tensors of one case of
tests/fixtures/networks.safetensors, without the number before their names, and its description as JSON in the metadata
`case`. No gradient of PyTorch's is further than 2.5e-6 of its largest element from float64's.
"""

import json
import random
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

# The library's.
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests" / "fixtures"))
from make_fixtures import write  # noqa: E402
from make_network_fixtures import (  # noqa: E402
    build,
    describe,
    draw_given,
    draw_lengths,
    forward,
    network_pass,
    padding,
)

# Of max(1, |value|): 17 times float32's spacing at 1. PyTorch's own results are up to 3.3e-7 away from float64's (300
# configurations of seed 1).
TOLERANCE = 2e-6

# Of the largest element. The test of gradients allows 1e-5 between two float32 computations, and sums may cancel: over
# 36 steps of one relu unit, terms of 251 in all came to 3.1, of which PyTorch was 6e-6 off float64's result and Elman
# 4e-6, to the other side. Cases of which PyTorch by itself uses more than a quarter of that are drawn again.
ROUNDING = 2.5e-6

PREFIXES = ["rnn.", "encoder.rnn.", "model.layers.0.lstm."]


def size(rng, largest):
    """Small ones often: half of the draws are at most 4."""
    return rng.randint(1, rng.choice([4, largest]))


def draw_case(rng):
    """A random configuration, and the length of its longest row: T, or less in some packed ones."""
    cell = rng.choice(["rnn", "gru", "lstm"])
    kind = rng.choice(["dense", "dense", "sorted", "unsorted", "unsorted", "unbatched"])
    sizes = (size(rng, 40), size(rng, 20), size(rng, 40), size(rng, 70))
    choices = {"num_layers": rng.randint(1, 3)}
    choices |= {name: rng.random() < 0.5 for name in ("bias", "batch_first", "bidirectional", "h_0")}
    nonlinearity = rng.choice(["tanh", "relu"]) if cell == "rnn" else None
    proj_size = rng.randint(1, sizes[3] - 1) if cell == "lstm" and sizes[3] > 1 and rng.random() < 0.5 else 0
    longest = rng.randint(1, sizes[0]) if rng.random() < 0.25 else sizes[0]
    return describe(cell, kind, sizes, choices, nonlinearity, proj_size), longest


def uniform(*shape):
    return torch.empty(*shape).uniform_(-1, 1)


def configurations(count, seed, directory):
    for n in range(count):
        rng = random.Random(f"{seed}/{n}")
        torch.manual_seed(rng.getrandbits(63))
        path = Path(directory) / f"{n:03}"
        path.mkdir(parents=True, exist_ok=True)
        yield path, rng, *draw_case(rng)


# What `elman run` is given


def runs(count, seed, directory):
    for path, rng, case, longest in configurations(count, seed, directory):
        module = build(case)
        lengths = draw_lengths(case, rng, longest) if case["packed"] != "no" else None
        given = draw_given(case, uniform, lengths)
        with torch.no_grad():
            expected = forward(module, case, given)
        prefix = rng.choice(["", rng.choice(PREFIXES)])
        state = {prefix + name: tensor for name, tensor in module.state_dict().items()}
        if prefix:
            state |= others(case, rng)
        plain = {"weights": state, "input": given, "expected": expected}
        for name, tensors in plain.items():
            tensors = {key: tensor.contiguous() for key, tensor in tensors.items()}
            save_file(tensors, path / f"{name}.safetensors")
        arguments = ["--cell", case["cell"]] if rng.random() < 0.5 else []
        arguments += ["--nonlinearity", "relu"] if case["nonlinearity"] == "relu" else []
        arguments += ["--batch-first"] if case["batch_first"] else []
        arguments += ["--prefix", prefix] if prefix else []
        (path / "args.json").write_text(json.dumps(arguments) + "\n")
        (path / "output.safetensors").unlink(missing_ok=True)


def others(case, rng):
    """What else a model's file holds: an embedding, a head, a counter of int64, at times a second network."""
    state = {
        "encoder.embed.weight": torch.randn(7, case["input_size"]),
        "head.weight": torch.randn(2, case["hidden_size"]),
        "head.bias": torch.randn(2),
        "norm.num_batches_tracked": torch.tensor(3),
    }
    if rng.random() < 0.5:
        second, _ = draw_case(rng)
        state |= {f"decoder.rnn.{name}": tensor for name, tensor in build(second).state_dict().items()}
    return state


def compare(directory):
    paths = sorted(path.parent for path in Path(directory).glob("*/expected.safetensors"))
    assert paths, f"no configurations in {directory}"
    tensors, failures, worst = 0, 0, (0.0, "nowhere")
    for path in paths:
        expected = load_file(path / "expected.safetensors")
        given = load_file(path / "input.safetensors")
        output = path / "output.safetensors"
        got = load_file(output) if output.exists() else {}
        for name, tensor in expected.items():
            tensors += 1
            difference, failure = judge(got.get(name), tensor)
            if difference is not None:
                worst = max(worst, (difference, f"{path.name} {name}"))
            if failure is None and name == "output" and "lengths" in given:
                arguments = json.loads((path / "args.json").read_text())
                case = {"steps": 0, "packed": "sorted", "batch_first": "--batch-first" in arguments}
                case["steps"] = tensor.shape[1 if case["batch_first"] else 0]
                if got[name][padding(case, given)].any():
                    failure = "not 0 beyond a row's length"
            if failure is not None:
                failures += 1
                print(f"{path.name} {name}: {failure}; arguments {(path / 'args.json').read_text().strip()}")
    print(
        f"{len(paths)} configurations, {tensors} tensors, {failures} failed; "
        f"largest difference {worst[0]:.2e} of max(1, |value|) at {worst[1]}, tolerance {TOLERANCE:.0e}"
    )
    return failures == 0


def judge(got, expected):
    """The largest difference, of max(1, |value|), where the two can be compared; and what is wrong, if anything is."""
    if got is None:
        return None, "missing"
    if (got.dtype, got.shape) != (expected.dtype, expected.shape):
        return None, f"{got.dtype} {list(got.shape)} instead of {expected.dtype} {list(expected.shape)}"
    differences = (got.double() - expected.double()).abs() / expected.double().abs().clamp(min=1)
    differences = differences.nan_to_num(nan=torch.inf).flatten()
    at = differences.argmax().item()
    difference = differences[at].item()
    if difference <= TOLERANCE:
        return difference, None
    values = f"{got.flatten()[at].item():.9g} instead of {expected.flatten()[at].item():.9g}"
    return difference, f"{values} at {at} of {list(expected.shape)}, difference {difference:.2e}"


# What the test of gradients is given


def gradients(count, seed, directory):
    for path, rng, case, longest in configurations(count, seed, directory):
        write(path / "case.safetensors", network_pass(case, rng, uniform, 1, longest, ROUNDING), case=case)


def main(arguments):
    torch.set_num_threads(1)
    match arguments:
        case ["compare", directory]:
            return compare(directory)
        case ["gradients", count, seed, directory]:
            gradients(int(count), int(seed), directory)
        case [count, seed, directory] if count.isdecimal():
            runs(int(count), int(seed), directory)
        case _:
            sys.exit(__doc__)
    return True


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)
