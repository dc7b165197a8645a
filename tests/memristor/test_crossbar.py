"""A layer on arrays: exact where nothing disturbs, disturbed as stated where something does, and honest counts."""

import dataclasses
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from memristor.config import CrossbarConfig
from memristor.converters import AdcConfig, DacConfig, digitise, encode
from memristor.crossbar import Crossbar
from memristor.device import FaultConfig, RtnConfig, WearConfig
from memristor.errors import CrossbarError
from memristor.parasitics import WireConfig, with_access
from memristor.presets import preset
from memristor.programming import Recipe

ALPHA = 1e-6
ANALOGUE = {"dac": DacConfig(bits=None), "adc": AdcConfig(bits=None)}


def variance_is(sample, std):
    chi2 = np.sum((sample / std) ** 2)
    return ALPHA / 2 < stats.chi2.cdf(chi2, sample.size) < 1 - ALPHA / 2


def assert_std(sample, std):
    """Mean 0 and this standard deviation; 5 % more or less must be told apart."""
    assert abs(sample.mean()) * math.sqrt(sample.size) / std < stats.norm.isf(ALPHA / 2)
    assert variance_is(sample, std)
    assert not variance_is(sample, 1.05 * std) and not variance_is(sample, 0.95 * std)


def random_levels(crossbar, seed=0):
    top = crossbar.mapping.max_level
    return np.random.default_rng(seed).integers(-top, top + 1, crossbar.shape)


def inputs(crossbar, batch=4, seed=1):
    signed = crossbar.config.dac.signed
    return np.random.default_rng(seed).uniform(-1.0 if signed else 0.0, 1.0, (batch, crossbar.shape[0]))


def written(config, shape=(20, 9), seed=5):
    crossbar = Crossbar(shape, config, serial=seed, seed=seed)
    levels = random_levels(crossbar)
    crossbar.write(levels)
    return crossbar, levels


def ideal(**changes):
    return CrossbarConfig(**{"device": preset("ideal"), "levels_per_device": 9, **ANALOGUE, **changes})


# Ideal devices

SCHEMES, LAYOUTS = st.sampled_from(["pair", "offset"]), st.sampled_from(["tiled", "statistical"])


@settings(deadline=None, max_examples=40)
@given(
    scheme=SCHEMES,
    layout=LAYOUTS,
    subtraction=st.sampled_from(["before", "after"]),
    conversion=st.sampled_from(["tile", "output"]),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 30)),
    tile=st.tuples(st.integers(1, 16), st.integers(2, 17)),
)
@example("pair", "tiled", "before", "tile", (1, 1), (128, 128))
@example("pair", "tiled", "after", "tile", (784, 10), (128, 128))
@example("offset", "tiled", "before", "tile", (784, 10), (128, 128))
@example("offset", "tiled", "after", "output", (300, 130), (128, 128))
@example("pair", "statistical", "before", "tile", (300, 130), (128, 128))
def test_ideal_devices_multiply_exactly(scheme, layout, subtraction, conversion, shape, tile):
    config = ideal(
        scheme=scheme,
        layout=layout,
        conversion=conversion,
        tile_rows=tile[0],
        tile_columns=tile[1],
        adc=AdcConfig(bits=None, subtraction=subtraction),
    )
    crossbar, levels = written(config, shape)
    weights, x = levels / crossbar.mapping.max_level, inputs(crossbar)
    np.testing.assert_allclose(crossbar.multiply(x), x @ weights, rtol=0, atol=1e-12)
    np.testing.assert_allclose(crossbar.effective_weights(), weights, rtol=0, atol=1e-14)


def test_an_unwritten_crossbar_answers_with_zero():
    crossbar = Crossbar((20, 9), ideal())
    np.testing.assert_array_equal(crossbar.multiply(inputs(crossbar)), 0.0)


def test_weights_lie_where_stated():
    crossbar, levels = written(ideal(tile_rows=8, tile_columns=5))
    g = crossbar.maps()["conductance"]
    assert g.unit == "uS" and g.values.shape == (20, 18)
    np.testing.assert_allclose(g.values, crossbar.mapping.to_conductance(levels))
    # 5 columns hold 2 pairs: weight [17, 5] is weight [1, 1] of tile (2, 2)
    weights = crossbar.mapping.difference(crossbar.tiles[2][2].cells.g_uS) * crossbar.mapping.weight_per_uS
    assert weights[1, 1] == pytest.approx(levels[17, 5] / 8)


# Converters


@pytest.mark.parametrize("scheme", ["pair", "offset"])
@pytest.mark.parametrize("subtraction", ["before", "after"])
@pytest.mark.parametrize("dac", [DacConfig(6), DacConfig(5, bit_serial=True), DacConfig(4, signed=False)])
@pytest.mark.parametrize("conversion", ["tile", "output"])
def test_quantised_product_is_its_twin(scheme, subtraction, dac, conversion):
    """Tile by tile and bit plane by bit plane in float64, with `encode` and `digitise`; no current is at a tie."""
    adc = AdcConfig(bits=14, range_uA=15.0123, offset_lsb=0.2971, subtraction=subtraction)
    config = ideal(scheme=scheme, dac=dac, adc=adc, conversion=conversion, tile_rows=8, tile_columns=7)
    crossbar, levels = written(config)
    mapping, x = crossbar.mapping, inputs(crossbar)
    per_tile = 3 if scheme == "pair" else 6
    starts = range(0, 20, 8) if conversion == "tile" else [0]
    lowest, highest = adc.codes(dac.signed)
    total, clipped, conversions = np.zeros((4, 9)), 0, 0
    for volts, weight in encode(dac, x):
        for start in starts:
            rows = slice(start, start + 8) if conversion == "tile" else slice(None)
            for first in range(0, 9, per_tile):
                outputs = slice(first, first + per_tile)
                currents = volts[:, rows] @ mapping.to_conductance(levels[rows, outputs])
                if subtraction == "before":
                    currents = mapping.difference(currents)
                codes, beyond = digitise(currents, highest / 15.0123, 0.2971, lowest, highest)
                total[:, outputs] += weight * (codes if subtraction == "before" else mapping.difference(codes))
                clipped, conversions = clipped + beyond, conversions + codes.size
    want = total * (15.0123 / highest) * mapping.weight_per_uS / dac.v_read_V
    np.testing.assert_allclose(crossbar.multiply(x), want, rtol=0, atol=1e-9)
    account = crossbar.account()
    assert (account["clipped"], account["conversions"], account["vectors"]) == (clipped, conversions, 4)


def test_clipping_is_counted_and_holds_the_output():
    config = ideal(adc=AdcConfig(bits=8, range_uA=1.0), tile_rows=10)
    crossbar = Crossbar((20, 3), config)
    crossbar.write(np.repeat([[8, 0, -8]], 20, axis=0))
    y = crossbar.multiply(np.ones((5, 20)))
    # 10 rows at 0.2 V and 40 uS make 80 uA, far beyond 1 uA, which stands for 1 uA / (0.2 V * 40 uS) = 1 / 8 per tile
    np.testing.assert_allclose(y, np.repeat([[0.25, 0.0, -0.25]], 5, axis=0))
    assert crossbar.account()["clipped"] == 5 * 2 * 2 and crossbar.account()["conversions"] == 5 * 2 * 3


@pytest.mark.parametrize("converter", ["dac", "adc"])
def test_error_falls_with_bits(converter):
    errors = []
    for bits in (3, 4, 5, 6, 7, 8, 10, 12):
        dac = DacConfig(bits=bits if converter == "dac" else None)
        adc = AdcConfig(bits=bits if converter == "adc" else None, percentile=100.0)
        crossbar, levels = written(ideal(dac=dac, adc=adc), (100, 40))
        x = inputs(crossbar, 60)
        crossbar.calibrate(x)
        errors.append(np.std(crossbar.multiply(x) - x @ levels / 8))
    ratios = np.array(errors[:-1]) / np.array(errors[1:])
    assert np.all(ratios > 1.5)
    # white quantisation error: one step over the square root of 12, and one bit halves it
    assert ratios[-1] == pytest.approx(4.0, rel=0.1)


def test_quantisation_error_is_a_step_over_root_twelve():
    config = ideal(adc=AdcConfig(bits=8, percentile=100.0), tile_rows=25)
    crossbar, levels = written(config, (100, 60))
    x = inputs(crossbar, 100)
    step_uA = crossbar.calibrate(x) / 127
    step = step_uA * crossbar.mapping.weight_per_uS / 0.2
    error = crossbar.multiply(x) - x @ levels / 8
    assert np.std(error) == pytest.approx(step * math.sqrt(4 / 12), rel=0.03)  # four tiles add up
    assert crossbar.account()["clipped"] == 0


def test_calibration_holds_the_stated_share():
    config = ideal(adc=AdcConfig(bits=8, percentile=99.0))
    crossbar, _ = written(config, (100, 60))
    x = inputs(crossbar, 200)
    crossbar.calibrate(x)
    crossbar.multiply(x)
    share = crossbar.account()["clipped"] / crossbar.account()["conversions"]
    # a current is clipped half a step beyond the range
    assert 0.006 < share <= 0.01


def test_offset_cancels_after_and_stays_before():
    results = {}
    for subtraction in ("before", "after"):
        for offset_lsb in (0.0, 4.0):
            adc = AdcConfig(bits=10, range_uA=200.0, offset_lsb=offset_lsb, subtraction=subtraction)
            crossbar, _ = written(ideal(adc=adc), (100, 30))
            results[subtraction, offset_lsb] = crossbar.multiply(inputs(crossbar))
    step = 200.0 / 511 / (0.2 * 40.0)
    np.testing.assert_allclose(results["before", 4.0] - results["before", 0.0], 4.0 * step)
    np.testing.assert_allclose(results["after", 4.0], results["after", 0.0], atol=1e-12)


@pytest.mark.parametrize("bits", [8, 12, 13, 16])
def test_rounding_of_the_products_stays_far_below_half_a_step(bits):
    """Up to 12 bits are computed in float32: codes against currents in float64."""
    config = ideal(adc=AdcConfig(bits=bits, percentile=99.0), conversion="output")
    crossbar, levels = written(config, (784, 40))
    x = inputs(crossbar, 64)
    crossbar.calibrate(x)
    top = 2 ** (bits - 1) - 1
    codes = crossbar.multiply(x) * 0.2 / crossbar.mapping.weight_per_uS * top / crossbar.range_uA
    exact = np.clip(0.2 * x @ (levels * 5.0) * top / crossbar.range_uA, -top, top)
    np.testing.assert_allclose(codes, np.rint(codes), rtol=0, atol=1e-6)
    assert np.abs(codes - exact).max() < 0.5 + (0.01 if bits <= 12 else 1e-6)


# Noise of devices


@pytest.mark.parametrize("layout", ["tiled", "statistical"])
def test_programming_noise_adds_up_alike_in_both_layouts(layout):
    """Prediction from the published quartic at 1 s, for a layer that is the same in all 8192 independent outputs."""
    config = CrossbarConfig(levels_per_device=4, low_uS=10.0, layout=layout, tile_rows=4, tile_columns=4096, **ANALOGUE)
    crossbar = Crossbar((6, 8192), config, serial=11, seed=11)
    column = np.array([3, -2, 1, 0, -3, 2])
    crossbar.write(np.repeat(column[:, None], 8192, axis=1))
    x = np.array([[1.0, -0.5, 0.7, 0.3, 0.9, -1.0]])
    c = [0.348, 16.030, -43.853, 45.393, -16.815]
    sigma_uS = np.polyval(c[::-1], np.array([10.0, 20.0, 30.0, 40.0]) / 40.0)
    devices = sigma_uS[np.maximum(column, 0)] ** 2 + sigma_uS[np.maximum(-column, 0)] ** 2
    noise = 2 * 0.4**2  # of a read: 1 % of 40 uS, two devices
    std = math.sqrt(np.sum(x[0] ** 2 * (devices + noise))) / 30.0
    assert_std(crossbar.multiply(x)[0] - x[0] @ column / 3, std)


@pytest.mark.parametrize("scheme", ["pair", "offset"])
@pytest.mark.parametrize("subtraction", ["before", "after"])
@pytest.mark.parametrize("bits", [None, 16])
def test_read_noise_has_the_variance_of_the_devices(scheme, subtraction, bits):
    """var(y) = sum x^2 sigma^2 over both devices (or device and reference) of every row."""
    adc = AdcConfig(bits=bits, range_uA=100.0, subtraction=subtraction)
    dac = DacConfig(bits=None)
    config = ideal(
        device=preset("ideal", read_fraction=0.01), scheme=scheme, adc=adc, dac=dac, tile_rows=4, tile_columns=6
    )
    crossbar, levels = written(config, (7, 13))
    x = np.repeat(inputs(crossbar, 1), 1500, axis=0)
    per_uS = crossbar.mapping.weight_per_uS
    exact = x[0] @ levels / crossbar.mapping.max_level
    std = per_uS * 0.4 * math.sqrt(2 * np.sum(x[0] ** 2))
    noise = (crossbar.multiply(x) - exact) / std
    correlation = np.corrcoef(noise.T)
    if scheme == "pair":
        assert_std(noise.ravel(), 1.0)
        assert np.abs(correlation[np.triu_indices(13, 1)]).max() < 6 / math.sqrt(1500)
    else:
        # outputs of one array (5 weights) share the noise of its reference column, half of the variance
        for output in range(13):
            assert variance_is(noise[:, output], 1.0)
        same = np.equal.outer(np.arange(13) // 5, np.arange(13) // 5)
        np.fill_diagonal(same, False)
        assert np.abs(correlation[same] - 0.5).max() < 6 / math.sqrt(1500)
        different = ~same & ~np.eye(13, dtype=bool)
        assert np.abs(correlation[different]).max() < 6 / math.sqrt(1500)


@pytest.mark.parametrize("subtraction", ["before", "after"])
def test_read_noise_of_unlike_devices_adds_up_too(subtraction):
    """CMO/HfOx: the noise of a read depends on the conductance; one cell is stuck off and silent."""
    adc = AdcConfig(bits=16, range_uA=100.0, subtraction=subtraction)
    config = CrossbarConfig(device=preset("cmo_hfox"), adc=adc, dac=DacConfig(None), tile_rows=4, tile_columns=6)
    crossbar = Crossbar((7, 8), config, serial=3, seed=3)
    crossbar.tiles[1][0].cells.stuck[2, 1] = -1
    crossbar.write(random_levels(crossbar))
    x = np.repeat(inputs(crossbar, 1), 2500, axis=0)
    crossbar.age(60.0)
    y = crossbar.multiply(x)
    sigma = np.block([[tile.cells.read_sigma_uS() for tile in row] for row in crossbar.tiles])
    assert sigma.min() == 0.0 and np.unique(sigma).size > 60
    variance = np.square(sigma[:, 0::2]) + np.square(sigma[:, 1::2])
    std = np.sqrt(np.square(x[0]) @ variance) * crossbar.mapping.weight_per_uS
    assert_std(((y - x[0] @ crossbar.effective_weights()) / std).ravel(), 1.0)


@pytest.mark.parametrize("seconds", [1e-3, 1.0, 3600.0])
def test_the_first_product_sees_the_time_since_the_write(seconds):
    """Devices whose spread grows from 55 us on, read without noise."""
    device = preset("cmo_hfox", read_flicker_uS=0.0)
    exact = {"adc": AdcConfig(bits=None), "dac": DacConfig(bits=None), "relax_tolerance_uS": 0.0}
    crossbar = Crossbar((1, 2), CrossbarConfig(device, levels_per_device=5, **exact))
    crossbar.write(np.array([[4, -3]]))
    crossbar.age(seconds)
    product = crossbar.multiply(np.ones((1, 1)))
    cells = crossbar.tiles[0][0].cells
    relaxed = cells.written_uS + cells.xi * device.relax_sigma_uS(cells.target_uS, seconds)
    relaxed += device.relax_mean_uS(cells.target_uS, seconds)
    weights = (relaxed[0, 0::2] - relaxed[0, 1::2]) / 80.0  # a weight of 1 is the whole range
    np.testing.assert_allclose(product[0], weights, rtol=1e-9)
    assert np.abs(relaxed - cells.written_uS).min() > 1e-4


def test_telegraph_noise_is_held_during_a_call():
    config = ideal(rtn=RtnConfig(share=1.0, amplitude=0.1))
    crossbar, _ = written(config, (30, 12))
    x = np.repeat(inputs(crossbar, 1), 3, axis=0)
    first, second = crossbar.multiply(x), crossbar.multiply(x)
    # BLAS may add up equal rows of a batch in different orders: two sums of n products are at most n eps times the sum
    # of their magnitudes apart; twice that with what comes after, and 1.1 G at most.
    cells_uS = crossbar.tiles[0][0].cells.g_uS
    magnitudes = np.abs(x[0]) @ (cells_uS[:, 0::2] + cells_uS[:, 1::2]) * crossbar.mapping.weight_per_uS
    rounding = 2 * len(cells_uS) * np.finfo(np.float64).eps * 1.1 * magnitudes
    assert np.all(np.abs(first[0] - first[2]) <= rounding)
    assert np.all(np.abs(first - second) > 100 * rounding)
    # with all devices at +a G or -a G: var = sum x^2 (a G)^2
    many = np.array([crossbar.multiply(x[:1])[0] for _ in range(400)])
    a_g = crossbar.tiles[0][0].cells.rtn_amplitude * crossbar.tiles[0][0].cells.g_uS / 40.0
    std = np.sqrt(np.square(x[0]) @ (np.square(a_g[:, 0::2]) + np.square(a_g[:, 1::2])))
    assert variance_is(((many - x[0] @ crossbar.effective_weights()) / std).ravel(), 1.0)


def test_same_seed_same_bits():
    def run(seed, layout="tiled"):
        config = CrossbarConfig(layout=layout, adc=AdcConfig(range_uA=60.0), tile_rows=32, tile_columns=16)
        crossbar, _ = written(config, (100, 30), seed)
        crossbar.age(1e4)
        return [crossbar.multiply(inputs(crossbar, 20)) for _ in range(2)]

    once, again, other = run(1), run(1), run(2)
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once[0], once[1]) and not np.array_equal(once[0], other[0])


@pytest.mark.compiled
def test_same_bits_for_any_number_of_threads():
    program = (
        "import numpy as np, hashlib; from memristor import AdcConfig, Crossbar, CrossbarConfig\n"
        "c = Crossbar((300, 130), CrossbarConfig(adc=AdcConfig(range_uA=60.0)), serial=3, seed=3)\n"
        "rng = np.random.default_rng(0); c.write(rng.integers(-7, 8, (300, 130))); c.age(100.0)\n"
        "print(hashlib.sha256(c.multiply(rng.uniform(-1, 1, (128, 300))).tobytes()).hexdigest())"
    )
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | dict.fromkeys(names, threads),
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(digests) == 1


# What the arrays really answer


def test_outputs_are_those_of_the_devices_stuck_and_relaxed():
    config = CrossbarConfig(faults=FaultConfig(stuck_fraction=0.2, dead_row_fraction=0.1), relax_tolerance_uS=0.0)
    config = dataclasses.replace(config, device=preset(read_fraction=0.0), tile_rows=16, tile_columns=8, **ANALOGUE)
    crossbar, levels = written(config, (40, 9))
    x = inputs(crossbar)
    for seconds in (0.0, 3600.0, 1e6):
        crossbar.age(seconds)
        y = crossbar.multiply(x)
        g = crossbar.maps()["conductance"].values
        np.testing.assert_allclose(y, x @ (g[:, 0::2] - g[:, 1::2]) / 40.0, rtol=0, atol=1e-12)
    stuck = crossbar.maps()["stuck"].values
    assert np.all(g[stuck < 0] == 0.0) and np.count_nonzero(stuck) > 50
    assert np.abs(y - x @ levels / 7).max() > 0.5


def test_wear_shows_in_the_outputs():
    config = ideal(device=preset("ideal", endurance_cycles=1e3), wear=WearConfig(shape=0.01), levels_per_device=2)
    crossbar = Crossbar((10, 6), config)
    for _ in range(1100):
        crossbar.write(np.ones((10, 6), dtype=int), only_changed=False)
    x = inputs(crossbar)
    # a positive device had 1100 cycles of about 1000 and is stuck on (weight 1) or off (0), the negative one likewise
    weights = crossbar.effective_weights()
    assert set(np.round(weights, 9).ravel().tolist()) == {-1.0, 0.0, 1.0}
    np.testing.assert_allclose(crossbar.multiply(x), x @ weights, atol=1e-12)


def test_wires_take_their_share_in_every_tile():
    wires = WireConfig(row_ohm=2.0, column_ohm=2.0)
    crossbar, levels = written(ideal(wires=wires, tile_rows=16, tile_columns=16), (40, 20))
    x = inputs(crossbar)
    want = np.zeros((4, 20))
    for r, row in enumerate(crossbar.tiles):
        for c, tile in enumerate(row):
            currents = np.stack([tile.voltages(0.2 * v).currents_uA for v in x[:, 16 * r : 16 * r + 16]])
            want[:, 8 * c : 8 * c + 8] += crossbar.mapping.difference(currents) / (0.2 * 40.0)
    np.testing.assert_allclose(crossbar.multiply(x), want, rtol=1e-9, atol=1e-12)
    ratio = np.sum(want * (x @ levels / 8)) / np.sum(np.square(x @ levels / 8))
    assert 0.9 < ratio < 0.999
    g, effective = (crossbar.maps()[name].values for name in ("conductance", "effective_conductance"))
    assert np.all(effective[g > 0] < g[g > 0])


def test_levels_are_calibrated_behind_the_access_transistor():
    wires = WireConfig(row_ohm=0.0, column_ohm=0.0, access_ohm=5000.0)
    crossbar, levels = written(ideal(wires=wires))
    np.testing.assert_allclose(crossbar.effective_weights(), levels / 8, atol=1e-12)
    assert crossbar.mapping.high_uS == pytest.approx(float(with_access(40.0, 5000.0)))


# Writing


def counts(crossbar):
    return crossbar.maps()["writes"].values


@pytest.mark.parametrize("layout", ["tiled", "statistical"])
def test_only_devices_whose_target_changed_are_programmed(layout):
    config = CrossbarConfig(layout=layout, adc=AdcConfig(range_uA=50.0), tile_rows=8, tile_columns=6)
    crossbar = Crossbar((20, 7), config)
    levels = np.full((20, 7), 3)
    report = crossbar.write(levels)
    assert (report.weights, report.cells, report.rounds) == (140, 280, 0)
    assert np.all(counts(crossbar) == 1)
    assert report.pulses == 140 * 2 + 140  # the negative devices are at the lowest conductance: RESET alone
    before = crossbar.maps()["conductance"].values.copy()

    levels[3, 2], levels[12, 6], levels[19, 0] = 5, -2, 0
    report = crossbar.write(levels)
    assert (report.weights, report.cells) == (3, 4)  # a sign change touches both devices
    want = np.ones((20, 14), dtype=int)
    want[3, 4] = want[12, 12] = want[12, 13] = want[19, 0] = 2
    np.testing.assert_array_equal(counts(crossbar), want)
    changed = crossbar.maps()["conductance"].values != before
    np.testing.assert_array_equal(changed, want == 2)
    assert crossbar.write(levels) == (0, 0, 0, 0, pytest.approx(np.empty((0, 4))))
    np.testing.assert_array_equal(crossbar.weight_levels, levels)

    report = crossbar.write(levels, only_changed=False)
    assert report.cells == 280 and np.all(counts(crossbar) == want + 1)


def test_the_reference_column_is_programmed_once():
    crossbar = Crossbar((10, 5), ideal(scheme="offset", tile_rows=8, tile_columns=4))
    levels = np.zeros((10, 5), dtype=int)
    assert crossbar.write(levels).cells == 50 + 10 * 2  # two columns of tiles
    levels[4, 4] = -4
    assert crossbar.write(levels).cells == 1
    assert crossbar.write(levels, only_changed=False).cells == 70
    np.testing.assert_allclose(crossbar.effective_weights(), levels / 4)


@settings(deadline=None, max_examples=25)
@given(scheme=SCHEMES, layout=LAYOUTS, seeds=st.lists(st.integers(0, 99), min_size=1, max_size=4))
def test_any_sequence_of_writes_ends_at_the_levels(scheme, layout, seeds):
    crossbar = Crossbar((9, 6), ideal(scheme=scheme, layout=layout, tile_rows=4, tile_columns=5), serial=2, seed=2)
    x, cells = inputs(crossbar), 0
    for seed in seeds:
        levels = random_levels(crossbar, seed)
        cells += crossbar.write(levels).cells
        np.testing.assert_allclose(crossbar.multiply(x), x @ levels / crossbar.mapping.max_level, atol=1e-12)
    account = crossbar.account()
    maps = crossbar.maps()
    assert account["cells_written"] == cells == maps["writes"].values.sum()
    assert account["pulses"] == maps["set_pulses"].values.sum() + maps["reset_pulses"].values.sum()


def test_cells_that_are_not_verified_are_named():
    recipe = Recipe("write_verify", tolerance_uS=1.0, max_pulses=30)
    config = CrossbarConfig(recipe=recipe, tile_rows=8, tile_columns=6, adc=AdcConfig(range_uA=50.0))
    crossbar = Crossbar((20, 7), config)
    crossbar.tiles[1][2].cells.stuck[5, 0] = 1  # weight [13, 6]: stuck at 40 uS
    levels = np.full((20, 7), 3)
    report = crossbar.write(levels)
    assert [1, 2, 5, 0] in report.unverified.tolist() and len(report.unverified) < 5
    assert report.rounds <= 30 and report.pulses > 420
    error = np.abs(crossbar.maps()["conductance"].values - crossbar.mapping.to_conductance(levels))
    missed = {(8 * r + i, 6 * c + j) for r, c, i, j in report.unverified.tolist()}
    assert {tuple(place) for place in np.argwhere(error > 1.0).tolist()} == missed


def test_a_recipe_that_waits_moves_the_clock():
    recipe = Recipe("write_verify", tolerance_uS=3.0, wait_s=2.0)
    crossbar = Crossbar((20, 7), CrossbarConfig(recipe=recipe, tile_rows=8, adc=AdcConfig(range_uA=50.0)))
    report = crossbar.write(random_levels(crossbar))
    assert crossbar.now_s == pytest.approx(2.0 * report.rounds) and report.rounds > 1
    crossbar.age(1.0)
    crossbar.multiply(inputs(crossbar))
    assert crossbar.account()["time_s"] == crossbar.now_s == pytest.approx(2.0 * report.rounds + 1.0)


def test_a_controller_can_do_the_work_of_a_write():
    config = CrossbarConfig(tile_rows=8, tile_columns=6, adc=AdcConfig(range_uA=50.0))
    by_hand, at_once = Crossbar((20, 7), config), Crossbar((20, 7), config)
    levels = random_levels(by_hand)
    jobs = by_hand.plan(levels)
    assert sorted(job.tile for job in jobs) == [(r, c) for r in range(3) for c in range(3)]
    for job in reversed(jobs):
        by_hand.program(job)
    at_once.write(levels)
    assert by_hand.plan(levels) == []
    np.testing.assert_array_equal(by_hand.maps()["conductance"].values, at_once.maps()["conductance"].values)


# Misuse

BAD_CALLS = [
    (lambda c: c.write(np.full((20, 9), 8)), "levels[0, 0] = 8 is outside -7..7; 8 levels per device give 15"),
    (lambda c: c.write(np.zeros((9, 20), dtype=int)), "levels has shape (9, 20); expected (20, 9)"),
    (lambda c: c.write(np.zeros((20, 9))), "levels is of type float64, not integers"),
    (
        lambda c: c.multiply(np.full((2, 20), 1.01)),
        "x[0, 0] = 1.01 is outside -1..1; an input of 1 is the read voltage",
    ),
    (lambda c: c.multiply(np.full((2, 20), np.nan)), "x[0, 0] = nan is not a number"),
    (lambda c: c.multiply(np.ones((2, 19))), "x has shape (2, 19); expected (any, 20)"),
    (lambda c: c.multiply(np.ones(20)), "x has shape (20,); expected (any, 20)"),
    (lambda c: c.multiply(np.ones((2, 20))), "adc.range_uA = None: the converters have no range yet; call calibrate"),
    (lambda c: c.calibrate(np.zeros((2, 20))), "99.9 % of the 18 observed currents are 0 uA"),
    (lambda c: c.age(-1.0), "seconds = -1 s is outside"),
    (lambda c: c.age(math.nan), "seconds = nan s is outside"),
]


@pytest.mark.parametrize(("call", "text"), BAD_CALLS)
def test_misuse_changes_nothing(call, text):
    crossbar, _ = written(CrossbarConfig())

    def state():
        arrays = [np.copy(a) for row in crossbar.tiles for tile in row for a in tile.cells._state]
        return [crossbar.weight_levels.copy(), *arrays], (crossbar.account(), crossbar.now_s, crossbar.range_uA)

    arrays, others = state()
    with pytest.raises(CrossbarError) as error:
        call(crossbar)
    assert text in str(error.value)
    arrays_after, others_after = state()
    assert others == others_after
    for before, after in zip(arrays, arrays_after, strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: CrossbarConfig(tile_columns=1),
            "crossbar.tile_columns = 1 is outside 2..65536; a weight takes two columns",
        ),
        (lambda: CrossbarConfig(tile_rows=0), "crossbar.tile_rows = 0 is outside 1..65536"),
        (lambda: CrossbarConfig(layout="tile"), "crossbar.layout = 'tile' is unknown; choose tiled or statistical"),
        (lambda: CrossbarConfig(conversion="row"), "crossbar.conversion = 'row' is unknown; choose tile or output"),
        (
            lambda: CrossbarConfig(device="ideal"),
            "crossbar.device = 'ideal' is not a DeviceModel; get one from presets",
        ),
        (lambda: CrossbarConfig(layout="statistical", wires=WireConfig()), "crossbar.wires are for layout 'tiled'"),
        (lambda: CrossbarConfig(high_uS=45.0), "mapping.high_uS = 45 uS, seen through 0 ohm, takes a device of 45 uS"),
        (
            lambda: CrossbarConfig(high_uS=38.0, wires=WireConfig(access_ohm=2000.0)),
            "mapping.high_uS = 38 uS, seen through 2000 ohm, takes a device of 41.125541125541126 uS, outside 0..40 uS"
            " of hfox_wan2022; the highest it can show is 37.03703703703704 uS",
        ),
        (
            lambda: CrossbarConfig(device=preset("hfo2_milo2021"), low_uS=20.0),
            "mapping.low_uS = 20 uS, seen through 0 ohm, takes a device of 20 uS, outside 50..225 uS",
        ),
        (lambda: Crossbar((0, 3), CrossbarConfig()), "shape: inputs = 0 is outside 1..65536"),
        (lambda: Crossbar([3, 3], CrossbarConfig()), "shape = [3, 3] is not a pair; give (inputs, outputs)"),
        (lambda: Crossbar((3, 3), serial=-1), "crossbar.serial = -1 is outside"),
        (lambda: Crossbar((3, 3), seed=-1), "crossbar.seed = -1 is outside"),
    ],
)
def test_bad_configuration(make, text):
    with pytest.raises(CrossbarError) as error:
        make()
    assert text in str(error.value)
