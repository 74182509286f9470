"""The sine tutorial's training in plain PyTorch, for comparison; prints one JSON object.

    python perf/sine_pytorch.py [--iterations 1000] [--threads 1]

Needs torch and numpy. Only the training loop is timed.
"""

import argparse
import json
import time

import numpy as np
import torch
from torch import nn

HIDDEN = 16
POINTS = 50


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(input_size=1, hidden_size=HIDDEN, num_layers=1, batch_first=True)
        for parameter in self.rnn.parameters():
            nn.init.normal_(parameter, mean=0.0, std=0.001)
        self.linear = nn.Linear(HIDDEN, 1)

    def forward(self, x, hidden):
        output, hidden = self.rnn(x, hidden)
        return self.linear(output), hidden


def main():
    parser = argparse.ArgumentParser(description="Times the sine tutorial's training in PyTorch.")
    parser.add_argument("--iterations", type=int, default=1000)
    parser.add_argument("--threads", type=int, help="default: PyTorch's own")
    arguments = parser.parse_args()
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    np.random.seed(0)

    net = Net()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.001)
    hidden = torch.zeros(1, 1, HIDDEN)
    losses = []

    begin = time.perf_counter()
    for _ in range(arguments.iterations):
        start = np.random.randint(3)
        data = np.sin(np.linspace(start, start + 10, POINTS))
        x = torch.tensor(data[:-1]).float().view(1, POINTS - 1, 1)
        y = torch.tensor(data[1:]).float().view(1, POINTS - 1, 1)

        output, hidden = net(x, hidden)
        hidden = hidden.detach()
        loss = criterion(output, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    seconds = time.perf_counter() - begin

    last = losses[-100:]
    print(json.dumps({
        "iterations": arguments.iterations,
        "seconds": round(seconds, 4),
        "iterations_per_second": round(arguments.iterations / seconds, 2),
        "mean_loss_last_100": sum(last) / len(last) if last else None,
        "torch": str(torch.__version__),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
