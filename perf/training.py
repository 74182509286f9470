"""Tokens a second of training a classifier of texts: elman's command line and PyTorch, in turns. See perf/training."""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence


def arguments():
    parser = argparse.ArgumentParser(prog="perf/training")
    parser.add_argument("data")
    parser.add_argument("--tokens", choices=["characters", "words"], default="characters")
    parser.add_argument("--cell", choices=["rnn", "gru", "lstm"], default="gru")
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--embedding", type=int, default=32)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def examples(args):
    """Indices of tokens and of classes; tokens are split as elman splits them, nearly: what counts here is how many."""
    pairs = [line.rstrip("\n").split("\t", 1) for line in open(args.data, encoding="utf-8") if "\t" in line]
    split = (lambda text: list(text)) if args.tokens == "characters" else (lambda text: text.lower().split())
    tokens = [(label, split(text)) for label, text in pairs]
    tokens = [(label, text) for label, text in tokens if text]
    vocabulary, classes = {}, {}
    for label, text in tokens:
        classes.setdefault(label, len(classes))
        for token in text:
            vocabulary.setdefault(token, len(vocabulary))
    numbers = [(classes[label], torch.tensor([vocabulary[t] for t in text])) for label, text in tokens]
    return numbers, len(vocabulary), len(classes)


class Classifier(nn.Module):
    def __init__(self, args, vocabulary, classes, packed):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, args.embedding)
        layer = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[args.cell]
        self.recurrent = layer(args.embedding, args.hidden)
        self.fc = nn.Linear(args.hidden, classes)
        self.packed = packed

    def forward(self, x, lengths):
        x = self.embedding(x)
        if self.packed:
            packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
            y, _ = pad_packed_sequence(self.recurrent(packed)[0])
        else:
            y, _ = self.recurrent(x)
        # The largest over the steps that are there.
        beyond = torch.arange(y.shape[0])[:, None] >= lengths[None, :]
        return self.fc(y.masked_fill(beyond[:, :, None], float("-inf")).amax(0))


def pytorch(args, data, vocabulary, classes, packed):
    """Tokens a second of the last epoch."""
    model = Classifier(args, vocabulary, classes, packed)
    adam = torch.optim.Adam(model.parameters(), fused=True)
    for _ in range(args.epochs):
        random.shuffle(data)
        start, tokens = time.perf_counter(), 0
        for first in range(0, len(data), args.batch):
            batch = data[first : first + args.batch]
            x = pad_sequence([text for _, text in batch])
            lengths = torch.tensor([len(text) for _, text in batch])
            loss = nn.functional.cross_entropy(model(x, lengths), torch.tensor([label for label, _ in batch]))
            adam.zero_grad(set_to_none=True)
            loss.backward()
            adam.step()
            tokens += int(lengths.sum())
        rate = tokens / (time.perf_counter() - start)
    return rate


def elman(args, folder):
    command = [os.environ["ELMAN"], "train", "classify", args.data, "--tokens", args.tokens, "--cell", args.cell]
    command += ["--hidden", args.hidden, "--embedding", args.embedding, "--batch", args.batch, "--epochs", args.epochs]
    # What the settings for texts add by themselves and the network beside it has not.
    command += ["--bidirectional=false", "--token-dropout", 0, "--clip", 0, "--min-count", 1]
    command += ["--threads", args.threads, "--valid", "0.001", "--test", "0.001", "--patience", "0", "--readout", "max"]
    command += ["--json", "-o", os.path.join(folder, "model.safetensors")]
    out = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout
    return json.loads(out)["steps_per_second"]


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    data, vocabulary, classes = examples(args)
    rates = {"elman": [], "PyTorch, padded": [], "PyTorch, packed": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(args.turns):
            rates["elman"].append(elman(args, folder))
            rates["PyTorch, padded"].append(pytorch(args, data, vocabulary, classes, False))
            rates["PyTorch, packed"].append(pytorch(args, data, vocabulary, classes, True))
    medians = {name: statistics.median(each) for name, each in rates.items()}
    for name, median in medians.items():
        spread = max(rates[name]) / min(rates[name]) - 1
        print(f"{name:18} {median:>12,.0f} tokens/s   (turns within {100 * spread:.0f} %)")
    best = max(medians["PyTorch, padded"], medians["PyTorch, packed"])
    print(f"elman over the faster of PyTorch's: {medians['elman'] / best:.2f}")


if __name__ == "__main__":
    sys.exit(main())
