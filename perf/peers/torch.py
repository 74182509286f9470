"""PyTorch: nn.RNN, nn.GRU, nn.LSTM; training is forward, MSE, backward and Adam."""

import sys

# This file's folder comes first on the path, and in it this file is called as the package is.
folder = sys.path.pop(0)
import torch

sys.path.append(folder)
from common import THREADS, serve

torch.set_num_threads(THREADS)


def prepare(load):
    kind = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[load["cell"]]
    torch.manual_seed(1)
    network = kind(load["input"], load["hidden"])
    x = torch.rand(load["steps"], load["batch"], load["input"]) * 2 - 1
    if load["mode"] == "infer":

        def run():
            with torch.inference_mode():
                network(x)

        return run
    target = torch.zeros(load["steps"], load["batch"], load["hidden"])
    optimizer = torch.optim.Adam(network.parameters())

    def train():
        loss = torch.nn.functional.mse_loss(network(x)[0], target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return train


serve(torch.__version__, prepare)
