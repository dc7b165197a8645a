"""Background generators: rates, intervals, labels, and the random numbers behind them."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from brainscales_emu import ChipConfig
from brainscales_emu.background import background_events, random_words
from brainscales_emu.chip import Chip
from brainscales_emu.constants import BACKGROUND, CYCLES_PER_US
from brainscales_emu.routing.fabric import Fabric, random_begin, random_labels
from brainscales_emu.routing.labels import FIRST_BACKGROUND_INPUT, FIRST_L2_OUTPUT

ALPHA = 1e-6


def generators(**changes):
    """All eight on, to the host; changes are arrays or single values of the fields background_..."""
    memory = {entry.name: getattr(Fabric.empty(), entry.name).copy() for entry in dataclasses.fields(Fabric)}
    memory["background_enabled"][:] = True
    memory["background_seed"][:] = np.arange(1, 9) * 12345
    for generator in range(8):
        memory["crossbar_enabled"][FIRST_BACKGROUND_INPUT + generator, FIRST_L2_OUTPUT + generator % 4] = True
    for name, value in changes.items():
        memory[f"background_{name}"][:] = value
    return Fabric(**memory)


def events(fabric, duration_us):
    return background_events(fabric, random_begin(fabric), duration_us)


def test_regular_events_begin_after_a_full_period():
    cycles, sources = events(generators(period=np.arange(10, 18)), 1.0)
    for generator in range(8):
        period = 10 + generator
        np.testing.assert_array_equal(cycles[sources == BACKGROUND + generator], np.arange(period, 126, period))
    assert np.all(np.diff(cycles) >= 0)
    same = np.diff(cycles) == 0
    assert np.all(np.diff(sources)[same] > 0)


def bit_polynomial_power(exponent, polynomial):
    """x ** exponent modulo a polynomial over bits of degree 32."""
    result, base = 1, 2

    def times(a, b):
        product = 0
        while b:
            if b & 1:
                product ^= a
            a, b = a << 1, b >> 1
            if a >> 32:
                a ^= polynomial
        return product

    while exponent:
        if exponent & 1:
            result = times(result, base)
        base, exponent = times(base, base), exponent >> 1
    return result


def test_the_register_goes_through_all_states():
    # Its polynomial is primitive: x has the order 2**32 - 1 = 3 * 5 * 17 * 257 * 65537.
    polynomial = 1 << 32 | 1 << 22 | 1 << 2 | 1 << 1 | 1
    order = 2**32 - 1
    assert bit_polynomial_power(order, polynomial) == 1
    assert all(bit_polynomial_power(order // prime, polynomial) != 1 for prime in (3, 5, 17, 257, 65537))


@pytest.mark.parametrize("seed", [1, 0xDEADBEEF, 2**32 - 1])
def test_words_are_those_of_the_register_bit_by_bit(seed):
    bits = [seed >> n & 1 for n in range(32)]
    while len(bits) < 32 + 16 * 50:
        bits.append(bits[-32] ^ bits[-22] ^ bits[-2] ^ bits[-1])
    expected = [sum(bits[32 + 16 * k + n] << n for n in range(16)) for k in range(50)]
    assert random_words(seed, 50).tolist() == expected


def test_seed_zero_is_one():
    np.testing.assert_array_equal(random_words(0, 10), random_words(1, 10))
    assert random_words(1, 1000).max() > 60000


@pytest.mark.parametrize("rate", [1, 30, 128, 200])
def test_poisson_intervals_are_geometric(rate):
    period = 5
    cycles, sources = events(generators(period=period, poisson=True, rate=rate), 4000.0)
    bins = 8 * (4000 * CYCLES_PER_US // period)
    # mean distance period * 255 / rate (vendor software)
    count = cycles.size
    assert stats.binomtest(count, bins, rate / 255).pvalue > ALPHA
    assert stats.binomtest(count, bins, min(rate / 255 * 1.05, 1.0)).pvalue < ALPHA or rate == 1
    assert np.all(cycles % period == 0)
    gaps = np.concatenate([np.diff(cycles[sources == s]) // period for s in range(BACKGROUND, BACKGROUND + 8)])
    p = rate / 255
    limit = int(np.ceil(np.log(0.02) / np.log1p(-p)))
    edges = np.unique(np.linspace(1, limit, min(limit, 10)).astype(int))
    expected = np.diff([1.0 - (1.0 - p) ** (edge - 1) for edge in edges] + [1.0])
    seen = np.array(
        [np.sum((gaps >= low) & (gaps < high)) for low, high in zip(edges, [*edges[1:], 10**9], strict=True)]
    )
    assert stats.chisquare(seen, expected * gaps.size).pvalue > ALPHA


def test_rate_255_always_and_rate_0_never():
    rates = np.array([255, 0] * 4)
    _, sources = events(generators(period=3, poisson=True, rate=rates), 100.0)
    assert np.sum(sources == BACKGROUND) == 12500 // 3
    assert set(sources) == {BACKGROUND + generator for generator in (0, 2, 4, 6)}


def test_masked_label_bits_are_uniform_and_the_others_stay():
    fabric = generators(period=2, label=0b10_1101_0101_0110, mask=[0b1010_0001, *[0] * 7])
    _, sources = events(fabric, 1000.0)
    begin = random_begin(fabric)
    random = sources[sources >= begin[0]]
    assert random.size == 62500
    counts = np.bincount(random - begin[0], minlength=8)
    assert counts.size == 8
    assert stats.chisquare(counts).pvalue > ALPHA
    labels = random_labels(fabric, 0)
    assert set(labels & ~0b1010_0001) == {0b10_1101_0101_0110 & ~0b1010_0001}
    assert not np.any(sources == BACKGROUND)


def test_same_seed_same_events_and_other_seed_other_events():
    fabric = generators(period=7, poisson=True, rate=100, seed=[5, 5, 6, 7, 8, 9, 10, 11])
    cycles, sources = events(fabric, 500.0)
    first, second, third = (cycles[sources == BACKGROUND + generator] for generator in range(3))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)
    longer, who = events(fabric, 700.0)
    np.testing.assert_array_equal(longer[who == BACKGROUND][: first.size], first)


def test_a_chip_plays_its_generators():
    fabric = generators(period=np.arange(100, 108), mask=[3, *[0] * 7], label=64)
    chip = Chip(ChipConfig(), serial=1, seed=1)
    chip.write(fabric)
    recording = chip.run([], [], 100.0, 0)
    cycles, sources = events(fabric, 100.0)
    order = np.lexsort((sources, cycles))
    np.testing.assert_array_equal(recording.ticks, cycles[order])
    np.testing.assert_array_equal(recording.circuits, sources[order])
    assert recording.passed_events[FIRST_L2_OUTPUT:].sum() == cycles.size
