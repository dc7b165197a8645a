"""Least squares on one crossbar array, and what read noise, programming noise and wire resistance make of the answer.

The array holds A (30 x 10) and its transpose: driven with x it returns A x, driven with r it returns A^T r. The host
adds up x <- x + step * A^T (b - A x), the gradient method, which ends at the least-squares solution of A x = b.
"""

import numpy as np

from memristor import AdcConfig, Crossbar, CrossbarConfig, DacConfig, Recipe, WireConfig, preset

M, N, STEPS = 30, 10, 150
rng = np.random.default_rng(4)
levels = rng.integers(-7, 8, (M, N))
A = levels / 7.0
b = A @ rng.uniform(-1.0, 1.0, N) + 0.2 * rng.standard_normal(M)
solution = np.linalg.lstsq(A, b, rcond=None)[0]


def solve(device, wires=None, recipe=None, seed=1, bits=None):
    """Relative error of the solution after STEPS steps."""
    config = CrossbarConfig(
        device=device,
        wires=wires,
        recipe=recipe or Recipe(),
        dac=DacConfig(bits=bits),
        adc=AdcConfig(bits=bits, range_uA=40.0),
    )
    array = Crossbar((N + M, M + N), config, serial=seed, seed=seed)
    both = np.zeros((N + M, M + N), dtype=np.int64)
    both[:N, :M], both[N:, M:] = levels.T, levels
    array.write(both)

    def product(vector, rows, columns):
        """Inputs must be within -1..1, so the host scales them."""
        x, scale = np.zeros((1, N + M)), np.abs(vector).max() or 1.0
        x[0, rows] = vector / scale
        return scale * array.multiply(x)[0, columns]

    x, step = np.zeros(N), 1.0 / np.linalg.norm(A, 2) ** 2
    for _ in range(STEPS):
        residual = b - product(x, slice(0, N), slice(0, M))
        x += step * product(residual, slice(N, None), slice(M, None))
    return np.linalg.norm(x - solution) / np.linalg.norm(solution)


verified = Recipe("write_verify", tolerance_uS=0.5, max_pulses=60)
quiet = preset("hfox_wan2022", read_fraction=0.0)
cases = {
    "ideal array": lambda seed: solve(preset("ideal"), seed=seed),
    "8-bit converters": lambda seed: solve(preset("ideal"), bits=8, seed=seed),
    "read noise 0.3 %": lambda seed: solve(preset("ideal", read_fraction=0.003), seed=seed),
    "read noise 1 %": lambda seed: solve(preset("ideal", read_fraction=0.01), seed=seed),
    "read noise 3 %": lambda seed: solve(preset("ideal", read_fraction=0.03), seed=seed),
    "programming noise, one shot": lambda seed: solve(quiet, seed=seed),
    "programming noise, verified to 0.5 uS": lambda seed: solve(quiet, recipe=verified, seed=seed),
    "wires of 1 ohm per segment": lambda seed: solve(preset("ideal"), WireConfig(), seed=seed),
    "wires of 5 ohm per segment": lambda seed: solve(preset("ideal"), WireConfig(5.0, 5.0), seed=seed),
    "all: 8 bits, 1 %, verified, 1 ohm": lambda seed: solve(preset(), WireConfig(), verified, seed, 8),
}
print(f"{'least squares, 30 equations, 10 unknowns':42s} error (median of 5 arrays)")
for name, error in cases.items():
    print(f"{name:42s} {100 * np.median([error(seed) for seed in range(5)]):10.5f} %")
