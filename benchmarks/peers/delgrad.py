"""One epoch of DelGrad on ideal neurons, tau_m = 2 tau_s: ours, a plain PyTorch loop, and jitted JAX.

The peers get the same network, data, loss, Adam and batches. All causal sets are tried at once, as is usual in array
programs, and the earliest that holds is taken; gradients are those of automatic differentiation. They neither bump
silent neurons nor cut gradients, hence do less. `epochs` compares all first spikes before it returns anything to time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurohil.delgrad.losses import ShiftInvariantMse
from neurohil.delgrad.network import DelayKind, Network, NetworkConfig
from neurohil.delgrad.training import Trainer, TrainingConfig
from neurohil.targets.spiking.ideal import IdealTarget

Epoch = Callable[[], object]
Arrays = list[NDArray[np.float64]]
MARGIN, RATE = 0.2, 0.005
TOLERANCE = {"float64": 1e-9, "float32": 1e-5}  # of first spikes, relative


class Problem(NamedTuple):
    """Inputs (n, n_in) in tau_s, inf for none, labels (n,), samples per batch, and the network's shape."""

    inputs: NDArray[np.float64]
    labels: NDArray[np.int64]
    batch: int
    hidden: int
    delays: DelayKind
    weight_mean: tuple[float, float]
    weight_std: tuple[float, float]

    def trainer(self) -> Trainer:
        """Ours: the same initial parameters each time."""
        config = NetworkConfig(
            self.hidden, self.delays, 2, 1.0, self.weight_mean, self.weight_std, delay_shift=0.0, delay_scale=1.0
        )
        classes = int(self.labels.max()) + 1
        network = Network(config, self.inputs.shape[1], classes, 1, np.random.default_rng(1))
        training = TrainingConfig(
            ShiftInvariantMse(MARGIN), self.batch, RATE, learning_rate_delays=RATE, max_missing=(1.0, 1.0)
        )
        return Trainer(training, network, IdealTarget(1.0, 2), 1)


def small(delays: DelayKind, samples: int = 5000, hidden: int = 30) -> Problem:
    """4-30-3: the size of DelGrad's Yin-Yang networks."""
    rng = np.random.default_rng(0)
    inputs, labels = rng.uniform(0.15, 2.0, (samples, 4)), rng.integers(0, 3, samples)
    return Problem(inputs, labels, 150, hidden, delays, (1.0, 1.0), (1.0, 1.0))


def large(samples: int = 300) -> Problem:
    """784-350-10, where 19 % of the inputs arrive, as in MNIST."""
    rng = np.random.default_rng(0)
    inputs, labels = rng.uniform(0.15, 2.0, (samples, 784)), rng.integers(0, 10, samples)
    inputs[rng.random(inputs.shape) > 0.19] = np.inf
    return Problem(inputs, labels, 150, 350, "none", (0.04, 0.04), (0.06, 0.06))


def epochs(problem: Problem, names: Sequence[str] = ("torch", "jax float64", "jax float32")) -> dict[str, Epoch]:
    """One epoch of training by "neurohil" and each peer, ready to be called again and again.

    Raises
    ------
    AssertionError
        A peer's first spikes are others.
    ImportError
        A peer isn't installed.
    """
    trainer = problem.trainer()
    ours = _our_spikes(trainer, problem.inputs[: problem.batch])
    result: dict[str, Epoch] = {"neurohil": lambda: trainer.train_epoch(problem.inputs, problem.labels)}
    for name in names:
        peer, dtype = {"torch": ("torch", "float64")}.get(name) or name.split()
        spikes, epoch = {"torch": torch_epoch, "jax": jax_epoch}[peer](problem, dtype)
        for layer, (mine, theirs) in enumerate(zip(ours, spikes, strict=True)):
            same = np.isclose(mine, theirs, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype]) | (mine == theirs)
            touching = 0.0 if dtype == "float64" else 1e-3  # a membrane that only just reaches the threshold
            assert np.mean(~same) <= touching, f"{name}: other spikes in layer {layer}: {np.mean(~same):.2%}"
        result[name] = epoch
    return result


def _our_spikes(trainer: Trainer, inputs: NDArray[np.float64]) -> Arrays:
    trainer.target.write(trainer.network.layers())
    return [seen.spikes for seen in trainer.target.run(inputs, 0)]


def torch_epoch(problem: Problem, dtype: str = "float64") -> tuple[Arrays, Epoch]:
    """First spikes of the first batch, and an epoch, in PyTorch on one thread."""
    import torch

    torch.set_num_threads(1)
    network = problem.trainer().network
    inputs = torch.tensor(problem.inputs, dtype=getattr(torch, dtype))
    labels = torch.tensor(problem.labels)
    parameters = [torch.tensor(p, dtype=inputs.dtype, requires_grad=True) for p in network.parameters]
    weights, raw_delays = parameters[:2], parameters[2:]
    adam = torch.optim.Adam(parameters, lr=RATE)

    def layer(times: Any, weight: Any, delay: Any) -> Any:
        times = times[..., None].expand(-1, -1, weight.shape[1]) if problem.delays == "synaptic" else times
        if delay is not None:
            times = times + torch.sigmoid(delay)
        ordered, order = times.sort(dim=1)
        w = weight.expand(len(times), -1, -1).gather(1, order) if ordered.ndim == 3 else weight[order]
        ordered = ordered if ordered.ndim == 3 else ordered[..., None]
        arrives = torch.isfinite(ordered)
        x = torch.exp(torch.where(arrives, ordered, torch.zeros_like(ordered)) / 2) * arrives
        a_1, a_2 = (w * x * x).cumsum(1), (w * x).cumsum(1)
        root = a_2 * a_2 - 2 * a_1
        possible = (root > 0) & (a_1 > 0)
        root = torch.where(possible, root, torch.ones_like(root)).sqrt()
        ratio = 2 * a_1 / (a_2 + root)
        possible = possible & (ratio > 0)
        spike = 2 * torch.log(torch.where(possible, ratio, torch.ones_like(ratio)))
        after = torch.cat([ordered[:, 1:], torch.full_like(ordered[:, :1], torch.inf)], 1)
        valid = possible & (spike >= ordered) & (spike <= after) & arrives
        return torch.where(valid, spike, torch.full_like(spike, torch.inf)).min(dim=1).values

    def layers(times: Any) -> list[Any]:
        first, second = raw_delays or (None, None)
        hidden = layer(times, weights[0], first)
        return [hidden, layer(hidden, weights[1], second)]

    def epoch() -> None:
        for chosen in torch.randperm(len(inputs)).split(problem.batch):
            times = layers(inputs[chosen])[1]
            right = times.gather(1, labels[chosen, None])
            spiked = torch.isfinite(times).all(1)
            miss = times[spiked] - right[spiked] - MARGIN
            wrong = torch.ones_like(miss).scatter(1, labels[chosen][spiked, None], 0.0)
            adam.zero_grad()
            (0.5 * (miss * miss * wrong).sum(1)).sum().div(len(chosen)).backward()
            adam.step()

    with torch.no_grad():
        spikes = [times.numpy().astype(np.float64) for times in layers(inputs[: problem.batch])]
    return spikes, epoch


def jax_epoch(problem: Problem, dtype: str = "float64") -> tuple[Arrays, Epoch]:
    """First spikes of the first batch, and an epoch, in JAX: all full batches in one compiled loop."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    network = problem.trainer().network
    inputs, labels = jnp.asarray(problem.inputs, dtype), jnp.asarray(problem.labels)
    parameters = [jnp.asarray(p, dtype) for p in network.parameters]

    def layer(times: Any, weight: Any, delay: Any) -> Any:
        if problem.delays == "synaptic":
            times = times[..., None] + jax.nn.sigmoid(delay)
            order = jnp.argsort(times, axis=1)
            ordered = jnp.take_along_axis(times, order, 1)
            w = jnp.take_along_axis(jnp.broadcast_to(weight, times.shape), order, 1)
        else:
            times = times if delay is None else times + jax.nn.sigmoid(delay)
            order = jnp.argsort(times, axis=1)
            ordered = jnp.take_along_axis(times, order, 1)[..., None]
            w = weight[order]
        arrives = jnp.isfinite(ordered)
        x = jnp.where(arrives, jnp.exp(jnp.where(arrives, ordered, 0) / 2), 0)
        a_1, a_2 = jnp.cumsum(w * x * x, 1), jnp.cumsum(w * x, 1)
        root = a_2 * a_2 - 2 * a_1
        possible = (root > 0) & (a_1 > 0)
        ratio = 2 * a_1 / jnp.where(possible, a_2 + jnp.sqrt(jnp.where(possible, root, 1)), 1)
        possible &= ratio > 0
        spike = 2 * jnp.log(jnp.where(possible, ratio, 1))
        after = jnp.concatenate([ordered[:, 1:], jnp.full_like(ordered[:, :1], jnp.inf)], 1)
        valid = possible & (spike >= ordered) & (spike <= after) & arrives
        return jnp.min(jnp.where(valid, spike, jnp.inf), axis=1)

    def layers(parameters: Any, times: Any) -> list[Any]:
        first, second = parameters[2:] or (None, None)
        hidden = layer(times, parameters[0], first)
        return [hidden, layer(hidden, parameters[1], second)]

    def loss(parameters: Any, times: Any, label: Any) -> Any:
        answers = layers(parameters, times)[1]
        spiked = jnp.isfinite(answers).all(1)
        answers = jnp.where(spiked[:, None], answers, 0)
        miss = answers - jnp.take_along_axis(answers, label[:, None], 1) - MARGIN
        wrong = jnp.arange(answers.shape[1]) != label[:, None]
        return jnp.sum(jnp.where(wrong & spiked[:, None], 0.5 * miss * miss, 0)) / len(label)

    def step(state: Any, chosen: Any) -> Any:
        parameters, means, squares, count = state
        gradients = jax.grad(loss)(parameters, inputs[chosen], labels[chosen])
        count = count + 1
        means = [0.9 * m + 0.1 * g for m, g in zip(means, gradients, strict=True)]
        squares = [0.999 * v + 0.001 * g * g for v, g in zip(squares, gradients, strict=True)]
        parameters = [
            p - RATE * (m / (1 - 0.9**count)) / (jnp.sqrt(v / (1 - 0.999**count)) + 1e-8)
            for p, m, v in zip(parameters, means, squares, strict=True)
        ]
        return (parameters, means, squares, count), None

    full = len(inputs) // problem.batch * problem.batch
    whole = jax.jit(lambda state, batches: jax.lax.scan(step, state, batches)[0])
    rest = jax.jit(lambda state, chosen: step(state, chosen)[0])
    zeros = [jnp.zeros_like(p) for p in parameters]
    kept = [(parameters, zeros, zeros, jnp.asarray(0.0, dtype))]
    rng = np.random.default_rng(1)

    def epoch() -> None:
        order = rng.permutation(len(inputs))
        state = whole(kept[0], order[:full].reshape(-1, problem.batch))
        kept[0] = jax.block_until_ready(rest(state, order[full:]) if full < len(order) else state)

    answers = jax.jit(layers)(parameters, inputs[: problem.batch])
    return [np.asarray(times, dtype=np.float64) for times in answers], epoch
