"""JAX: the input's part of all steps as one product, lax.scan over the rest, jit; training with Adam by hand."""

import sys

folder = sys.path.pop(0)
import jax
import jax.numpy as jnp

sys.path.append(folder)
from common import serve

GATES = {"rnn": 1, "gru": 3, "lstm": 4}


def forward(cell, weights, x):
    w_ih, w_hh, b_ih, b_hh = weights
    hidden = w_hh.shape[1]
    zeros = jnp.zeros((x.shape[1], hidden))
    sigmoid = jax.nn.sigmoid
    if cell == "rnn":
        z = x @ w_ih.T + (b_ih + b_hh)

        def step(h, z):
            h = jnp.tanh(z + h @ w_hh.T)
            return h, h

        return jax.lax.scan(step, zeros, z)[1]
    if cell == "gru":
        z = x @ w_ih.T + b_ih

        def step(h, z):
            u = h @ w_hh.T + b_hh
            r = sigmoid(z[:, :hidden] + u[:, :hidden])
            k = sigmoid(z[:, hidden : 2 * hidden] + u[:, hidden : 2 * hidden])
            n = jnp.tanh(z[:, 2 * hidden :] + r * u[:, 2 * hidden :])
            h = (1 - k) * n + k * h
            return h, h

        return jax.lax.scan(step, zeros, z)[1]
    z = x @ w_ih.T + (b_ih + b_hh)

    def step(state, z):
        h, c = state
        i, f, g, o = jnp.split(z + h @ w_hh.T, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
        h = sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    return jax.lax.scan(step, (zeros, zeros), z)[1]


def prepare(load):
    rows, hidden = GATES[load["cell"]] * load["hidden"], load["hidden"]
    bound = hidden**-0.5
    keys = jax.random.split(jax.random.key(1), 5)
    shapes = [(rows, load["input"]), (rows, hidden), (rows,), (rows,)]
    weights = [jax.random.uniform(key, shape, minval=-bound, maxval=bound) for key, shape in zip(keys, shapes)]
    x = jax.random.uniform(keys[4], (load["steps"], load["batch"], load["input"]), minval=-1.0)
    cell = load["cell"]
    if load["mode"] == "infer":
        run = jax.jit(lambda weights, x: forward(cell, weights, x))
        return lambda: run(weights, x).block_until_ready()

    loss = lambda weights, x: jnp.mean(forward(cell, weights, x) ** 2)

    def step(state, x):
        weights, mean, square, t = state
        gradients = jax.grad(loss)(weights, x)
        t = t + 1
        mean = [0.9 * m + 0.1 * g for m, g in zip(mean, gradients)]
        square = [0.999 * v + 0.001 * g * g for v, g in zip(square, gradients)]
        scale = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        weights = [w - scale * m / (jnp.sqrt(v) + 1e-8) for w, m, v in zip(weights, mean, square)]
        return weights, mean, square, t

    run = jax.jit(step, donate_argnums=0)
    zeros = lambda: [jnp.zeros_like(w) for w in weights]
    state = (weights, zeros(), zeros(), jnp.zeros(()))

    def train():
        nonlocal state
        state = run(state, x)
        jax.block_until_ready(state)

    return train


serve(jax.__version__, prepare)
