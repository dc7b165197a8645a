"""Seconds per training epoch of the metaplastic network against its matrix products alone, for one and two threads.

784-1024-10 on MNIST, batches of 100, ideal target. Epochs and products are taken in turn in one process per row, and
medians are given; ratios are what to quote. Only the products have threads, those of the BLAS library, and they may
change last bits: the sum over the state shows it. Two threads need two idle cores; otherwise they are slower than one.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable

THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
BATCH, STEPS = 100, 600


def products() -> Callable[[], None]:
    """The five matrix products of a step, for an epoch: two forward, two for weights, one for errors."""
    import numpy as np

    rng = np.random.default_rng(0)

    def uniform(*shape: int) -> np.ndarray:
        return rng.random(shape, dtype=np.float32)

    x, hidden, by_hidden, by_output = (
        uniform(BATCH, 784),
        uniform(BATCH, 1024),
        uniform(BATCH, 1024),
        uniform(BATCH, 10),
    )
    w_1, w_2 = uniform(784, 1024), uniform(1024, 10)

    def epoch() -> None:
        for _ in range(STEPS):
            x @ w_1
            hidden @ w_2
            hidden.T @ by_output
            by_output @ w_2.T
            x.T @ by_hidden

    return epoch


def measure(repeats: int) -> None:
    """One line: median seconds of products and of epochs, and the state's sum."""
    import numpy as np

    from neurohil.metaplasticity import tasks
    from neurohil.metaplasticity.network import Network
    from neurohil.metaplasticity.training import PRESETS, Trainer
    from neurohil.seeds import stream
    from neurohil.targets.matrix.ideal import IdealMatrixTarget

    preset = PRESETS["qnn-2023"]
    quantizer = preset.network.quantizer
    network = Network(preset.network, 784, 10, stream(1, "init"))
    target = IdealMatrixTarget(quantizer.max_level, quantizer.weight_range)
    mnist = tasks.whole("mnist", validation=False)
    trainer = Trainer(preset.training, network, [mnist] * (1 + repeats), target, seed=1)
    turns: dict[str, Callable[[], object]] = {"products": products(), "epoch": trainer.train_epoch}
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for repeat in range(1 + repeats):  # the first turn compiles and warms up
        for name, turn in turns.items():
            began = time.perf_counter()
            turn()
            if repeat:
                seconds[name].append(time.perf_counter() - began)
    digest = hashlib.sha256(b"".join(array.tobytes() for array in trainer.state().values())).hexdigest()
    print(*(float(np.median(values)) for values in seconds.values()), digest[:12])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--here", action="store_true", help="measure in this process, with its numbers of threads")
    options = parser.parse_args()
    if options.here:
        measure(options.repeats)
        return
    print("| threads | products, s | epoch of 60 000 images, s | ratio | state |\n| --- | --- | --- | --- | --- |")
    for threads in (1, 2):
        environment = os.environ | {name: str(threads) for name in THREAD_VARIABLES}
        command = [sys.executable, "-m", "benchmarks.metaplasticity_speed", "--here", "--repeats", str(options.repeats)]
        line = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()
        alone, epoch = float(line[0]), float(line[1])
        print(f"| {threads} | {alone:.2f} | {epoch:.2f} | {epoch / alone:.2f} | {line[2]} |", flush=True)


if __name__ == "__main__":
    main()
