"""Same inputs, same bits, for any number of threads of BLAS and numba, from Python as from the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Sizes at which OpenBLAS splits products among its threads.
PROGRAM = """
import hashlib, json
import numpy as np
from benchmarks.tasks import esn
from brainscales_emu.mac import MacArray, MacConfig
from neurohil.metaplasticity.network import Network, NetworkConfig
from neurohil.neurobench.models import Perceptron
from neurohil.neurobench.records import Linear
from neurohil.targets.matrix.ideal import IdealMatrixConfig, IdealMatrixTarget
from memristor.converters import AdcConfig
from memristor.config import CrossbarConfig
from memristor.crossbar import Crossbar

digests = {}

def digest(name, *arrays):
    digests[name] = hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()

rng = np.random.default_rng(0)
for bits in (None, 8):
    crossbar = Crossbar((300, 130), CrossbarConfig(adc=AdcConfig(bits=bits, range_uA=60.0)), serial=3, seed=3)
    crossbar.write(rng.integers(-7, 8, (300, 130)))
    crossbar.age(100.0)
    x = rng.uniform(-1, 1, (128, 300))
    digest(f"crossbar, {bits} bits", crossbar.multiply(x), [crossbar.calibrate(x)])
tile = crossbar.tiles[0][0]
digest("tile", tile.multiply(rng.uniform(-0.2, 0.2, (500, tile.shape[0]))))
ideal = CrossbarConfig(adc=AdcConfig(bits=None), tile_rows=512, tile_columns=512)
wide = Crossbar((500, 400), ideal, serial=3, seed=3)
wide.write(rng.integers(-7, 8, (500, 400)))
digest("wide crossbar", wide.multiply(rng.uniform(-1, 1, (257, 500))))

spread = MacConfig(row_gain_std=0.1, column_gain_std=0.1, synapse_gain_std=0.1)
chip = MacArray(spread, serial=1, seed=2)
matrix = chip.program(rng.integers(-63, 64, (500, 300)))
digest("matrix mode", chip.block_codes(matrix, rng.integers(0, 32, (300, 500)), 1), matrix.effective)

network = Network(NetworkConfig(hidden=(300,)), 784, 10, rng)
target = IdealMatrixTarget(4, 1.0)
target.write(network.levels)
x = rng.random((257, 784), dtype=np.float32)
records = network.forward(target, x, network.norms, 0)
errors = rng.standard_normal((257, 10), dtype=np.float32)
gradients = network.backward(records, errors)
digest("forward", *(record.outputs for record in records))
digest("backward", *gradients.weights, *gradients.norms)
digest("squared gradients", *network.squared_gradients(records, errors))
digest("perceptron", Perceptron([Linear("one", rng.standard_normal((300, 784)))])(rng.standard_normal((257, 784))))

digest("reservoir", esn.reservoir(esn.Config(200, 0.1, 0.9, 1.0, 0.2, 0.5, 1e-6), 1))
digest("read-out", esn.ridge_regression(rng.standard_normal((750, 200)), rng.standard_normal(750), 1e-6))
print(json.dumps(digests))
"""


def digests(threads):
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env=os.environ | dict.fromkeys(names, threads) | {"PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)


@pytest.mark.compiled
def test_products_do_not_depend_on_the_number_of_threads():
    assert digests("1") == digests("2")
