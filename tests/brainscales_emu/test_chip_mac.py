"""Matrix mode: the documented mock without fixed pattern, spread and noise at their parameters with it."""

import dataclasses
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from normal_samples import ALPHA, assert_std
from scipy import stats

from brainscales_emu import ChipError, preset
from brainscales_emu.mac import MacArray, MacConfig, draw_noise, draw_pattern
from brainscales_emu.mismatch import draw_fixed_pattern, stream

UNIFORM = MacConfig(
    noise_std_lsb=0.0, column_gain_std=0.0, column_offset_std_lsb=0.0, row_gain_std=0.0, synapse_gain_std=0.0
)


def mock(inputs, weights, gain=0.002, num_sends=1, noise=None, rows=128):
    """The mock of hxtorch as its source describes it, in float32: noise (blocks, batch, n_out)."""
    total = np.zeros((len(inputs), weights.shape[1]), dtype=np.float32)
    for block, k in enumerate(range(0, len(weights), rows)):
        sums = inputs[:, k : k + rows].astype(np.int64) @ weights[k : k + rows].astype(np.int64)
        result = sums.astype(np.float32) * np.float32(num_sends * gain)
        if noise is not None:
            result = result + noise[block]
        total += np.clip(np.floor(result), -128, 127)
    return np.clip(total, -128, 127)


# Equal to the mock


@settings(deadline=None, max_examples=40)
@given(
    n_in=st.integers(1, 300),
    n_out=st.integers(1, 300),
    num_sends=st.integers(1, 40),
    seed=st.integers(0, 2**32),
    noisy=st.booleans(),
)
def test_without_fixed_pattern_it_is_the_mock(n_in, n_out, num_sends, seed, noisy):
    rng = np.random.default_rng(seed)
    inputs, weights = rng.integers(0, 32, (3, n_in)), rng.integers(-63, 64, (n_in, n_out))
    config = dataclasses.replace(UNIFORM, noise_std_lsb=2.0 if noisy else 0.0)
    array = MacArray(config, serial=1, seed=seed)
    found = array.multiply(array.program(weights), inputs, 5, 7, num_sends=num_sends)
    draws = stream(seed, "mac.noise", 5, 7)
    noise = [draw_noise(draws, 2.0, (3, n_out)) for _ in range(0, n_in, 128)] if noisy else None
    np.testing.assert_array_equal(found, mock(inputs, weights, num_sends=num_sends, noise=noise))


def test_largest_sums_are_exact():
    inputs = np.full((1, 128), 31)
    weights = np.full((128, 2), 63)
    weights[0, 1] = 62  # a difference of 31 in 249984
    config = dataclasses.replace(UNIFORM, gain=1e-6)
    array = MacArray(config, 1, 1)
    for sends in (100, 400, 508):  # up to 126.99 and 126.98 LSB
        exact = [math.floor(s * sends * 1e-6) for s in (249984, 249953)]
        assert array.multiply(array.program(weights), inputs, num_sends=sends).tolist() == [exact]
    array = MacArray(dataclasses.replace(UNIFORM, gain=100 / 249984), 1, 1)
    assert array.multiply(array.program(weights), inputs).tolist() == [[100, 99]]


def test_unsigned_rows_are_256_a_block():
    rng = np.random.default_rng(2)
    inputs, weights = rng.integers(0, 32, (4, 300)), rng.integers(0, 64, (300, 20))
    array = MacArray(dataclasses.replace(UNIFORM, signed=False, gain=1e-4), 1, 1)
    np.testing.assert_array_equal(
        array.multiply(array.program(weights), inputs), mock(inputs, weights, gain=1e-4, rows=256)
    )
    with pytest.raises(ChipError, match=re.escape("weights[0, 0] = -1 is outside 0..63")):
        array.program(np.full((2, 2), -1))


def test_unsigned_weights_meet_one_row_each():
    config = MacConfig(signed=False, noise_std_lsb=0.0, column_offset_std_lsb=0.0)
    pattern = draw_pattern(config, 3)
    effective = MacArray(config, 3, 1).program(np.full((256, 256), 10)).effective
    expected = 10 * pattern.row_gain[0][:, np.newaxis] * pattern.column_gain_exc[0] * pattern.synapse_gain[0]
    np.testing.assert_allclose(effective, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("sums", "code"), [(499, 0), (500, 1), (-1, -1), (-500, -1), (-501, -2), (63500, 127), (90000, 127), (-90000, -128)]
)
def test_floor_and_clamp(sums, code):
    """Gain 0.002: 500 make a code, down to the next lower one, within -128..127."""
    weights, inputs = np.zeros((128, 1), dtype=int), np.zeros((1, 128), dtype=int)
    left = abs(sums)
    for i in range(128):  # as many full products as fit, then the rest in ones
        for x, w in ((31, 63), (1, 63), (1, 1)):
            if left >= x * w:
                inputs[0, i], weights[i, 0] = x, int(math.copysign(w, sums))
                left -= x * w
                break
    assert left == 0
    array = MacArray(UNIFORM, 1, 1)
    assert array.multiply(array.program(weights), inputs) == [[code]]


def test_each_block_is_clamped_and_the_sum_again():
    array = MacArray(UNIFORM, 1, 1)
    inputs = np.full((1, 384), 31)

    def product(*values):
        weights = np.repeat(values, 128)[:, np.newaxis]
        return array.multiply(array.program(weights), inputs).item()

    # A weight of 63 would give 499 in a block, 8 gives 63.488.
    assert product(63, 0, 0) == 127 and product(-63, 0, 0) == -128
    assert product(63, -63, 0) == -1  # 127 - 128, whereas the sum is 0
    assert product(63, -8, 0) == 127 - 64
    assert product(63, 63, -63) == 126  # clamped after all blocks, not after two
    assert product(8, 8, 8) == 127
    codes = array.block_codes(array.program(np.repeat([63, -63, 8], 128)[:, np.newaxis]), inputs)
    assert codes.dtype == np.int8 and codes.ravel().tolist() == [127, -128, 63]


# What it refuses


def test_inputs_and_weights_out_of_range_are_refused():
    array = MacArray(UNIFORM, 1, 1)
    matrix = array.program(np.zeros((4, 3), dtype=int))
    inputs = np.zeros((2, 4), dtype=int)
    for value in (32, -1):
        inputs[1, 2] = value
        message = f"inputs[1, 2] = {value} is outside 0..31; an input is the length of a pulse, 5 bits, and there is"
        with pytest.raises(ChipError, match=re.escape(message)):
            array.multiply(matrix, inputs)
    for value in (64, -64):
        with pytest.raises(ChipError, match=re.escape(f"weights[0, 0] = {value} is outside -63..63; the synapses")):
            array.program(np.full((2, 2), value))
    with pytest.raises(ChipError, match=re.escape("inputs is of type float64, not integers; an input is")):
        array.multiply(matrix, np.zeros((2, 4)))
    with pytest.raises(ChipError, match=re.escape("inputs has shape (2, 5); expected (any, 4)")):
        array.multiply(matrix, np.zeros((2, 5), dtype=int))
    with pytest.raises(ChipError, match=re.escape("num_sends = 0 is outside 1..4096; give how often")):
        array.multiply(matrix, np.zeros((2, 4), dtype=int), num_sends=0)
    with pytest.raises(ChipError, match=re.escape("weights has shape (4, 2); expected (4, 3); the synapses")):
        array.program(np.zeros((4, 2), dtype=int), matrix.site)
    with pytest.raises(ChipError, match=re.escape("weights have shape (0, 2); give at least one input and one col")):
        array.program(np.zeros((0, 2), dtype=int))
    assert array.runs == 0 and array.time_ns == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gain": 0.0}, "mac.gain = 0 LSB is outside 1e-06..1 LSB; give the LSB per unit of input x weight"),
        ({"gain": 1.5}, "mac.gain = 1.5 LSB is outside 1e-06..1 LSB"),
        ({"noise_std_lsb": math.nan}, "mac.noise_std_lsb = nan LSB is outside 0..50 LSB; give a standard deviation"),
        ({"column_gain_std": 4.6}, "mac.column_gain_std = 4.6 is outside 0..1; give a relative standard deviation"),
        ({"signed": 1}, "mac.signed = 1 is not true or false"),
        ({"wait_between_events_cycles": 2.5}, "mac.wait_between_events_cycles = 2.5 is not an integer"),
        ({"readout_us": -1.0}, "mac.readout_us = -1 us is outside 0..1e+06 us; give a time"),
    ],
)
def test_config_is_checked(changes, message):
    with pytest.raises(ChipError, match=re.escape(message)):
        MacConfig(**changes)


# Fixed pattern


PARTS = (
    ("column_gain_exc", "column_gain_std", 200),
    ("column_gain_inh", "column_gain_std", 200),
    ("row_gain", "row_gain_std", 200),
    ("synapse_gain", "synapse_gain_std", 1),
)


@pytest.mark.parametrize(("part", "parameter", "chips"), PARTS)
def test_gains_are_lognormal_with_their_spread(part, parameter, chips):
    config = MacConfig()
    sample = np.concatenate([getattr(draw_pattern(config, k), part).ravel() for k in range(chips)])
    variance = math.log1p(getattr(config, parameter) ** 2)  # of the logarithm
    assert_std(np.log(sample), -variance / 2, math.sqrt(variance))
    assert sample.mean() == pytest.approx(1.0, abs=5 * sample.std() / math.sqrt(sample.size))


def test_offsets_are_normal():
    config = MacConfig(column_offset_std_lsb=1.7)
    assert_std(np.concatenate([draw_pattern(config, k).column_offset_lsb.ravel() for k in range(40)]), 0.0, 1.7)


def test_column_spread_shows_in_the_outputs():
    """The gain of each column, fitted to its outputs alone, has the configured spread."""
    config = dataclasses.replace(UNIFORM, column_gain_std=0.046, noise_std_lsb=1.0)
    inputs = np.full((100, 1), 25)
    gains = []
    for serial in range(40):
        array = MacArray(config, serial, 1)
        codes = array.multiply(array.program(np.full((1, 512), 20)), inputs, num_sends=80)
        gains.append((codes.mean(axis=0) + 0.5) / 80.0)  # nominal: 25 x 20 x 80 x 0.002 = 80
    variance = math.log1p(0.046**2)
    assert_std(np.log(np.concatenate(gains)), -variance / 2, math.sqrt(variance))


def test_demo_of_ten_columns():
    """Vendor's demo: 100 inputs of 15, weights of 21, columns read 55 60 59 56 60 63 57 58 56 62 once."""
    published = np.array([55, 60, 59, 56, 60, 63, 57, 58, 56, 62])
    assert published.std(ddof=1) / published.mean() == pytest.approx(0.046, abs=5e-4)
    gain = published.mean() / (100 * 15 * 21)
    assert gain == pytest.approx(0.00186, abs=5e-6)
    spreads, means = [], []
    for serial in range(100):
        array = MacArray(MacConfig(gain=gain), serial, 1)
        codes = array.multiply(array.program(np.full((100, 10), 21)), np.full((1, 100), 15))
        spreads.append(codes.std(ddof=1))
        means.append(codes.mean())
    # The published spread and mean are no outliers among those of the emulated chips, rounding down included.
    for sample, value in ((spreads, published.std(ddof=1)), (means, published.mean())):
        assert np.quantile(sample, 0.01) < value < np.quantile(sample, 0.99)


def test_positive_and_negative_weights_meet_their_own_rows():
    """Input i uses rows 2 i (inhibitory) and 2 i + 1 (excitatory); block after block down the inputs, half by half."""
    config = MacConfig(noise_std_lsb=0.0)
    pattern = draw_pattern(config, 3)
    array = MacArray(config, 3, 1)
    for sign, gain in ((1, pattern.column_gain_exc), (-1, pattern.column_gain_inh)):
        effective = array.program(np.full((200, 300), sign)).effective
        # Blocks: inputs 0..127 and 128..199 of columns 0..255 on halves 0 and 1, then the same of columns 256..299.
        for i, j, half in ((5, 7, 0), (130, 7, 1), (5, 258, 0), (199, 299, 1)):
            row, column = 2 * (i % 128) + (sign > 0), j % 256
            expected = pattern.row_gain[half, row] * gain[half, column] * pattern.synapse_gain[half, row, column]
            assert effective[i, j] == pytest.approx(sign * expected, rel=1e-6)
    np.testing.assert_allclose(array.site((200, 300)).offset_lsb[1, 256:], pattern.column_offset_lsb[1, :44], rtol=1e-6)


def test_odd_numbers_of_blocks_swap_halves():
    config = MacConfig()
    pattern = draw_pattern(config, 3)
    offsets = MacArray(config, 3, 1).site((300, 512)).offset_lsb  # three blocks of rows, two of columns
    for row, column, half in ((0, 0, 0), (1, 0, 1), (2, 0, 0), (0, 256, 1), (1, 256, 0), (2, 256, 1)):
        np.testing.assert_allclose(offsets[row, column], pattern.column_offset_lsb[half, 0], rtol=1e-6)


def test_the_parts_are_those_of_the_spiking_chip():
    calibrated = preset("calibrated")
    config = MacConfig(column_gain_std=calibrated.noise.neuron_gain_std)
    mac, chip = draw_pattern(config, 7), draw_fixed_pattern(calibrated, 7)
    np.testing.assert_array_equal(mac.synapse_gain, chip.synapse_gain)
    np.testing.assert_array_equal(mac.row_gain, chip.driver_gain)
    np.testing.assert_array_equal(mac.column_gain_inh.ravel(), chip.gain_inh)


# Trial noise


def test_noise_has_its_spread():
    array = MacArray(dataclasses.replace(UNIFORM, noise_std_lsb=2.0), 1, 4)
    matrix = array.program(np.zeros((128, 256), dtype=int))
    codes = array.multiply(matrix, np.zeros((400, 128), dtype=int), 1)
    # Rounding down adds a variance of 1/12 and a mean of -1/2 (Sheppard: exact to exp(-2 pi^2 4) for this noise).
    assert_std(codes + 0.5, 0.0, math.sqrt(4.0 + 1.0 / 12.0))
    counts = np.bincount((codes + 12).ravel(), minlength=25)[2:23]
    expected = codes.size * np.diff(stats.norm.cdf(np.arange(-10, 12), scale=2.0))
    assert stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > ALPHA


def test_noise_is_drawn_for_each_block_and_not_multiplied_by_sends():
    array = MacArray(dataclasses.replace(UNIFORM, noise_std_lsb=2.0), 1, 4)
    matrix = array.program(np.zeros((5 * 128, 200), dtype=int))
    codes = array.multiply(matrix, np.zeros((200, 640), dtype=int), 1, num_sends=100)
    assert_std(codes + 2.5, 0.0, math.sqrt(5 * (4.0 + 1.0 / 12.0)))


def test_the_same_numbers_give_the_same_bits():
    rng = np.random.default_rng(1)
    weights, inputs = rng.integers(-63, 64, (150, 30)), rng.integers(0, 32, (20, 150))

    def codes(serial=1, seed=1, trial=(3, 0)):
        array = MacArray(MacConfig(), serial, seed)
        return array.multiply(array.program(weights), inputs, *trial)

    first = codes()
    np.testing.assert_array_equal(codes(), first)
    array = MacArray(MacConfig(), 1, 1)
    matrix = array.program(weights, array.site(weights.shape))
    array.multiply(matrix, inputs, 4, 0)  # leaves nothing behind
    np.testing.assert_array_equal(array.multiply(matrix, inputs.astype(np.uint8), 3, 0), first)
    for other in (codes(serial=2), codes(seed=2), codes(trial=(4, 0)), codes(trial=(3, 1)), codes(trial=(3,))):
        assert np.mean(other != first) > 0.5


# Runs and time


def test_runs_and_modelled_time():
    config = MacConfig(program_us=1000.0, readout_us=10.0)
    array = MacArray(config, 1, 1)
    inputs = np.zeros((2, 200), dtype=int)
    inputs[0, :100] = 1  # of the first vector 100 events in the first block, none in the second
    inputs[1, 120:200] = 31  # of the second one 8 and 72
    array.multiply(array.program(np.zeros((200, 256), dtype=int)), inputs, num_sends=3)
    assert (array.runs, array.vectors) == (1, 2)
    assert array.time_ns == 1_000_000 + 2 * 10_000 + (100 + 72) * 3 * 5 * 8
    # Three column blocks of two row blocks: three runs; a single block: one run on one half.
    array.multiply(array.program(np.zeros((200, 600), dtype=int)), inputs)
    assert (array.runs, array.vectors) == (1 + 3, 2 + 6)
    before = array.time_ns
    array.multiply(array.program(np.zeros((128, 10), dtype=int)), inputs[:, :128])
    assert array.runs == 5 and array.time_ns - before == 1_000_000 + 2 * 10_000 + (100 + 8) * 5 * 8


def test_784_x_1024_takes_28_blocks():
    array = MacArray(MacConfig(), 1, 1)
    assert array.site((784, 1024)).n_runs == 14
    assert MacConfig().program_us == pytest.approx(16 * 131072 / 1000)  # 2 Mbit through 1 Gbit/s


def test_the_first_bad_number_is_named_and_not_one_at_the_limit():
    array = MacArray(MacConfig(), 1, 1)
    with pytest.raises(ChipError, match=r"^weights\[0, 2\] = 64 is outside -63\.\.63; "):
        array.program(np.array([[63, -63, 64, 65]]))
    with pytest.raises(ChipError, match=r"^weights\[1, 0\] = -64 is outside -63\.\.63; "):
        array.program(np.array([[63, -63], [-64, 0]]))
    matrix = array.program(np.zeros((3, 2), dtype=int))
    with pytest.raises(ChipError, match=r"^inputs\[0, 2\] = 32 is outside 0\.\.31; "):
        array.multiply(matrix, np.array([[0, 31, 32]]))
    with pytest.raises(ChipError, match=r"^inputs\[0, 2\] = -1 is outside 0\.\.31; "):
        array.multiply(matrix, np.array([[0, 31, -1]]))
