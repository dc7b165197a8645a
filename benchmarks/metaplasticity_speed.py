"""Seconds per training epoch of the metaplastic network against its matrix products alone, for one and two threads.

784-1024-10 on MNIST, batches of 100, on ideal weights and on the emulated crossbar: the recipes of mnist_fashion_ideal
and mnist_fashion_crossbar. Epochs and products are taken in turn in one process per row, and medians are given; ratios
are what to quote. Only the products alone have threads: in a training each is done by one, so that the sum over the
state is the same. Two threads need two idle cores; otherwise they are slower than one.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import product

from benchmarks import commands

THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
EXPERIMENTS = ("mnist_fashion_ideal", "mnist_fashion_crossbar")
IMAGES, BATCH = 60_000, 100
# The test after each epoch is left as small as it can be: two batches of 600.
CHANGES = ("tasks.data_sets=['mnist']", "tasks.test_images=100")


def products(steps: int) -> Callable[[], None]:
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
        for _ in range(steps):
            x @ w_1
            hidden @ w_2
            hidden.T @ by_output
            by_output @ w_2.T
            x.T @ by_hidden

    return epoch


def measure(experiment: str, images: int, repeats: int) -> None:
    """One line: median seconds of products and of epochs, and the state's sum."""
    import numpy as np

    from neurohil.kinds import KINDS
    from neurohil.metaplasticity.run import MetaplasticityRun

    changes = [*CHANGES, f"tasks.train_images={images}", f"training.epochs={1 + repeats}"]
    run = MetaplasticityRun(KINDS["metaplasticity"].load(experiment, changes))
    alone = products(images // BATCH)
    seconds: dict[str, list[float]] = {"products": [], "epoch": []}

    def after_epoch(_: object) -> None:
        seconds["epoch"].append(run.seconds - sum(seconds["epoch"]))
        began = time.perf_counter()
        alone()
        seconds["products"].append(time.perf_counter() - began)

    run.train(after_epoch=after_epoch)
    digest = hashlib.sha256(b"".join(array.tobytes() for array in run.trainer.state().values())).hexdigest()
    # The first of each compiles and warms up.
    print(*(float(np.median(values[1:])) for values in seconds.values()), digest[:12])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--here", metavar="EXPERIMENT", help="measure it in this process, with its numbers of threads")
    parser.add_argument("--images", type=int, default=IMAGES, help="of an epoch, in hundreds (default all 60 000)")
    options = commands.parsed(parser, arguments, repeats=1, images=200)
    if options.here:
        measure(options.here, options.images, options.repeats)
        return
    print(f"| experiment | threads | products, s | epoch of {options.images} images, s | ratio | state |")
    print("| --- | --- | --- | --- | --- | --- |")
    for experiment, threads in product(EXPERIMENTS, (1, 2)):
        environment = os.environ | {name: str(threads) for name in THREAD_VARIABLES}
        command = [sys.executable, "-m", "benchmarks.metaplasticity_speed", "--here", experiment]
        command += ["--repeats", str(options.repeats), "--images", str(options.images)]
        line = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()
        alone, epoch = float(line[0]), float(line[1])
        print(f"| {experiment} | {threads} | {alone:.4g} | {epoch:.4g} | {epoch / alone:.2f} | {line[2]} |", flush=True)


if __name__ == "__main__":
    main()
