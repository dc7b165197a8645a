"""Every number that a chip is made with, against a table written from its sources, and each noise at its preset.

The tables are not read from the package: a number changes here and there, with its reason, or a test fails.
"""

import dataclasses
import importlib
import itertools
import math
import pkgutil
import zlib
from functools import partial

import numpy as np
import pytest
from normal_samples import assert_std
from scipy.stats import trimboth

import brainscales_emu
from brainscales_emu import PRESET_NAMES, ChipConfig, NoiseConfig, constants, preset
from brainscales_emu.adex import AdexConfig, draw_adex_pattern
from brainscales_emu.capmem import PARAMETERS, CapMem
from brainscales_emu.chip import Chip
from brainscales_emu.connectors import FixedProbability
from brainscales_emu.mac import MacArray, MacConfig
from brainscales_emu.mac import draw_pattern as draw_mac_pattern
from brainscales_emu.mismatch import FixedPattern, draw_fixed_pattern, stream
from brainscales_emu.network import AllToAll, Network, SpikeSourcePoisson
from brainscales_emu.readout.adc import CHANNELS, Cadc, CadcConfig, Madc, MadcConfig
from brainscales_emu.readout.correlation import CorrelationConfig, CorrelationSensors

SWING = 70.0  # LSB from leak (80) to threshold (150)

# The imperfections of each preset. Sources: vendor's acceptance tests and demos; fits to chip W66F3; docs/chip.md.
NO_NOISE = {
    "tau_mem_std": 0.0,
    "tau_syn_std": 0.0,
    "block_tau_mem_std": 0.0,
    "block_tau_syn_std": 0.0,
    "leak_std_lsb": 0.0,
    "reset_std_lsb": 0.0,
    "threshold_std_lsb": 0.0,
    "leak_reset_std_lsb": 0.0,
    "readout_std_lsb": 0.0,
    "block_leak_reset_std_lsb": 0.0,
    "block_threshold_std_lsb": 0.0,
    "threshold_mean_lsb": 0.0,
    "neuron_gain_std": 0.0,
    "circuit_gain_std": 0.0,
    "block_gain_std": 0.0,
    "chip_gain_std": 0.0,
    "driver_gain_std": 0.0,
    "weight_std": 0.0,
    "delay_gain_std": 0.0,
    "delay_offset_std_us": 0.0,
    "threshold_noise_std_lsb": 0.0,
    "delay_jitter_us": 0.0,
}
TRIAL_NOISE = {
    "threshold_noise_std_lsb": 0.84,  # 1.2 % of the swing
    "delay_jitter_us": 0.06,  # 0.01 tau
}
NOISE = {
    "ideal": NO_NOISE,
    "calibrated": {
        **NO_NOISE,
        **TRIAL_NOISE,
        "tau_mem_std": 0.05,
        "tau_syn_std": 0.03,
        "leak_std_lsb": 1.05,  # 0.30, 0.20 and 0.35 of 5 % of the swing
        "reset_std_lsb": 0.70,
        "threshold_std_lsb": 1.22,
        "neuron_gain_std": 0.05,
        "driver_gain_std": 1 / 15,  # 2 LSB of 30
        "weight_std": 0.075,
        "delay_offset_std_us": 0.18,  # 0.03 tau
    },
    "uncalibrated": {
        **NO_NOISE,
        **TRIAL_NOISE,
        # Codes of two real chips (their logarithm for currents), with the slopes 0.17 (leak, reset) and 0.3 (threshold)
        "tau_mem_std": 0.126,
        "tau_syn_std": 0.198,
        "block_tau_mem_std": 0.04,
        "block_tau_syn_std": 0.085,
        "leak_std_lsb": 3.25,
        "reset_std_lsb": 2.3,
        "threshold_std_lsb": 4.1,
        "leak_reset_std_lsb": 3.5,
        "readout_std_lsb": 2.5,
        "block_leak_reset_std_lsb": 2.8,
        "block_threshold_std_lsb": 3.0,
        "neuron_gain_std": 0.055,
        "circuit_gain_std": 0.027,
        "block_gain_std": 0.14,
        "driver_gain_std": 0.1,
        "weight_std": 0.075,
        "delay_offset_std_us": 0.18,
    },
    "w66f3": {
        **NO_NOISE,
        "tau_mem_std": 0.05,
        "tau_syn_std": 0.03,
        "threshold_std_lsb": 4.06,  # 5.8 % of the swing
        "weight_std": 0.1,
        "chip_gain_std": 0.06,
        "delay_offset_std_us": 0.18,
        "threshold_noise_std_lsb": 1.2,
        "delay_jitter_us": 0.06,
    },
}

# What a class of settings is by default.
DEFAULTS = {
    "ChipConfig": {  # DelGrad's runs on the chip
        "tau_mem_us": 6.0,
        "tau_syn_exc_us": 6.0,
        "tau_syn_inh_us": 6.0,
        "leak_lsb": 80.0,
        "reset_lsb": 80.0,
        "threshold_lsb": 150.0,
        "refractory_us": 20.0,
        "synaptic_gain": SWING / (2.6 * 30 * 6),
        "synapse_dac_bias": 1022,
        "synin_gm": 547,  # int(700 * 800 / 1022)
        "event_latency_us": 0.08,  # inferred from the 80.4 ns of vendor software
        "exact_input_times": False,
        "event_path": None,
        "adex": None,
    },
    "NoiseConfig": NO_NOISE,
    "LinkConfig": {
        "bandwidth_mbit_s": 1000.0,
        "latency_us": 10.0,
        "word_bits": 64,
        "words_per_event": 1,
        "settle_us": 20_000.0,  # 20 ms in the vendor's calibration software
    },
    "EventPathConfig": {
        "slot_ns": 8.0,
        "fifo_depth": 16,
        "l2_slot_ns": 8.0,
        "l2_fifo_depth": 16,
        "fpga_to_chip": 3,
        "chip_to_fpga": 3,
    },
    "SaturationConfig": {  # ts_06: 140 MADC LSB below leak, linear as far as its figure goes; end of the converter
        "lower_rail_lsb": 28.0,
        "upper_linear_lsb": 166.0,
        "upper_rail_lsb": 255.0,
    },
    "StpConfig": {"rest": (1.0, 0.25), "target": (0.0, 1.0), "slowest_recovery_us": 160.0, "offset_step": 0.02},
    "AdexConfig": {
        "a": 0.0,
        "w_leak_lsb": None,
        "b_lsb": 0.0,
        "tau_w_us": 100.0,
        "delta_t_lsb": 0.0,
        "v_t_lsb": 120.0,
        "tolerance": 1e-9,
        "a_std": 0.0,
        "b_std": 0.0,
        "tau_w_std": 0.0,
        "delta_t_std": 0.0,
        "w_leak_std_lsb": 0.0,
        "v_t_std_lsb": 0.0,
    },
    "CadcConfig": {"period_us": 1.7, "offset_std_lsb": 9.6, "noise_std_lsb": 1.2},
    "MadcConfig": {"lsb_per_cadc_lsb": 2.7, "zero_lsb": 38.0, "noise_std_lsb": 2.0},  # 254 at 80 LSB
    "CorrelationConfig": {  # calix: amplitude 0.5 and 5 us
        "tau_us": 5.0,
        "amplitude_lsb": 0.5,
        "tau_std": 0.3,
        "amplitude_std": 0.3,
        "baseline_lsb": 20.0,
    },
    "MacConfig": {  # hxtorch's mock; ten columns of the vendor's demo; docs/metaplasticity.md
        "gain": 0.002,
        "noise_std_lsb": 2.0,
        "column_gain_std": 0.046,
        "column_offset_std_lsb": 1.0,
        "row_gain_std": 1 / 15,
        "synapse_gain_std": 0.075,
        "signed": True,
        "wait_between_events_cycles": 5,
        "readout_us": 10.0,
        "program_us": 2097.152,  # 131,072 synapses of 16 bits at 1 Gbit/s
    },
    "CapMemConfig": {
        "leak_reset_chip_std": 95.0,  # half of 668 - 492 and of 675 - 467
        "reset_chip_std": 12.0,
        "threshold_chip_std": 14.0,  # half of 410 - 382
        "tau_mem_chip_std": 0.055,  # half of log(162 / 145)
        "tau_syn_chip_std": 0.27,  # half of log(137 / 80)
        "slope_std": 0.02,
        "current_std": 0.2,
        "crosstalk": 2.0,
        "crosstalk_width": 10.0,
    },
    "AggregatorConfig": {"latency_us": 1.3, "slot_ns": 0.0, "fifo_depth": 512, "node_links": 12},
    # What a network is made of.
    "Neuron": {"circuits": 1},
    "SpikeSourcePoisson": {"start_us": 0.0, "stop_us": math.inf},
    "AllToAll": {"allow_self_connections": True},
    "OneToOne": {"allow_self_connections": True},
    "FixedProbability": {"allow_self_connections": True},
    "Population": {"circuits": 1, "recorded": True},
    "Background": {"poisson": True, "rate": 255, "seed": 1},
    "Projection": {"delay_registers": None, "rewritable": False},
}

# The chip's inventory, from vendor software (halco, haldls, fisch, calix) and DelGrad's code.
CONSTANTS = {
    "N_CIRCUITS": 512,
    "N_COLUMNS": 256,
    "N_ROWS": 256,
    "N_BLOCKS": 4,
    "MAX_WEIGHT": 63,
    "MAX_TOTAL_WEIGHT": 516_096,
    "N_LABELS": 16_384,
    "N_BACKGROUND": 8,
    "BACKGROUND": 512,
    "EXTERNAL": 520,
    "CYCLE_NS": 8,
    "CYCLES_PER_US": 125,
    "SIMULTANEOUS": 1e-13,
    "N_DELAY_ELEMENTS": 128,
    "FIRST_DELAY_OUTPUT": 257,
    "DELAY_STEP_US": 0.125,
    "DELAY_BASE_US": 2.0,
    "MIN_DELAY_REGISTER": 50,
    "MAX_DELAY_REGISTER": 250,
    "REFRACTORY_CLOCK_MHZ": 250.0,
    "MAX_REFRACTORY_COUNT": 255,
    "MAX_CLOCK_SCALE": 15,
    "MIN_REFRACTORY_US": 0.04,
    "MAX_REFRACTORY_US": 255 / 250 * 65_536,  # of a clock of 250 MHz / 2^16
    "TAU_MEM_RANGE_US": (0.5, 60.0),
    "TAU_SYN_RANGE_US": (0.3, 30.0),
    "MAX_POTENTIAL_LSB": 255.0,
    "ANALOGUE_CELLS": 12_288,
    "SYNAPSE_BITS": 16,
}


def settings_of(config, *left_out):
    names = [entry.name for entry in dataclasses.fields(config)]
    return {name: getattr(config, name) for name in names if name not in left_out}


def defaults():
    """What may be left out of each public class of the package, but for that which only counts."""
    found = {}
    for module in pkgutil.walk_packages(brainscales_emu.__path__, "brainscales_emu."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and dataclasses.is_dataclass(value) and not value.__name__.startswith("_"):
                entries = {entry.name: entry.default for entry in dataclasses.fields(value)}
                found[value.__name__] = {k: v for k, v in entries.items() if v is not dataclasses.MISSING}
    return {name: entries for name, entries in found.items() if entries and name != "Account"}


def same(found, expected):
    """Equal names in equal order, and equal values; a number may be off by its last bits."""
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert type(found[name]) is type(value), name
        assert found[name] == (pytest.approx(value, rel=1e-14) if isinstance(value, float) else value), name


def test_every_default_is_that_of_the_table():
    found = defaults()
    assert sorted(found) == sorted(DEFAULTS)
    for name, values in found.items():
        same(values, DEFAULTS[name])


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_every_number_of_a_preset_is_that_of_the_table(name):
    config = preset(name)
    same(settings_of(config.noise), NOISE[name])
    shared = dict(DEFAULTS["ChipConfig"])
    if name == "ideal":
        shared.update(event_latency_us=0.0, exact_input_times=True)
    same(settings_of(config, "saturation", "stp", "noise", "link"), shared)
    if name == "ideal":
        assert config.saturation is None
    else:
        same(settings_of(config.saturation), DEFAULTS["SaturationConfig"])
    same(settings_of(config.link), DEFAULTS["LinkConfig"])
    same(settings_of(config.stp), DEFAULTS["StpConfig"])


def test_every_constant_is_that_of_the_table():
    names = [name for name in vars(constants) if name.isupper()]
    same({name: getattr(constants, name) for name in names}, CONSTANTS)


# The vendor accepts a calibrated chip whose spread, 5 % trimmed on both sides, is below this part of the
# uncalibrated one.
LIMITS = {
    "leak_lsb": 0.30,
    "reset_lsb": 0.20,
    "threshold_lsb": 0.35,
    "tau_mem_us": 0.45,
    "tau_syn_exc_us": 0.20,
    "tau_syn_inh_us": 0.20,
}


@pytest.mark.parametrize("serial", range(1, 21))
def test_a_calibrated_chip_keeps_the_vendors_six_limits(serial):
    before, after = (draw_fixed_pattern(preset(name), serial) for name in ("uncalibrated", "calibrated"))
    for name, limit in LIMITS.items():
        raw, done = (trimboth(getattr(pattern, name), 0.05).std() for pattern in (before, after))
        assert done < limit * raw, name
        if name.endswith("_lsb"):  # nor more than of 5 % of the swing; trimming takes a fifth, chance a tenth
            assert done < 0.9 * limit * 0.05 * SWING, name


# Each preset's chips have the spreads that the preset names.

WITHIN_BLOCK = {  # spreads that add up from circuit to circuit, and the mean
    "tau_mem_us": (["tau_mem_std"], 6.0),
    "tau_syn_exc_us": (["tau_syn_std"], 6.0),
    "tau_syn_inh_us": (["tau_syn_std"], 6.0),
    "leak_lsb": (["leak_std_lsb", "leak_reset_std_lsb", "readout_std_lsb"], 80.0),
    "reset_lsb": (["reset_std_lsb", "leak_reset_std_lsb", "readout_std_lsb"], 80.0),
    "threshold_lsb": (["threshold_std_lsb", "readout_std_lsb"], 150.0),
    "gain_exc": (["neuron_gain_std", "circuit_gain_std"], 1.0),
    "gain_inh": (["neuron_gain_std", "circuit_gain_std"], 1.0),
}
ELSEWHERE = {
    "driver_gain": ("driver_gain_std", 1.0),
    "synapse_gain": ("weight_std", 1.0),
    "delay_gain": ("delay_gain_std", 1.0),
    "delay_offset_us": ("delay_offset_std_us", 0.0),
}
BLOCKS = {  # spread from block to block, and the stream that it is drawn from
    "tau_mem_us": ("block_tau_mem_std", "tau_mem"),
    "tau_syn_exc_us": ("block_tau_syn_std", "tau_syn"),
    "tau_syn_inh_us": ("block_tau_syn_std", "tau_syn"),
    "leak_lsb": ("block_leak_reset_std_lsb", "leak_reset"),
    "reset_lsb": ("block_leak_reset_std_lsb", "leak_reset"),
    "threshold_lsb": ("block_threshold_std_lsb", "threshold"),
    "gain_exc": ("block_gain_std", "gain"),
    "gain_inh": ("block_gain_std", "gain"),
}


def log_std(std):
    """Of the logarithm of a lognormal quantity with this relative standard deviation."""
    return math.sqrt(math.log(1 + std**2))


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_chips_of_a_preset_have_its_spreads(name):
    config = preset(name)
    patterns = [draw_fixed_pattern(config, serial) for serial in range(160)]
    assert [*WITHIN_BLOCK, *ELSEWHERE] == [entry.name for entry in dataclasses.fields(FixedPattern)]
    for quantity, (spread, mean) in ELSEWHERE.items():
        std = NOISE[name][spread]
        sample = np.concatenate(
            [getattr(p, quantity).ravel() for p in patterns[: 1 if "synapse" in quantity else None]]
        )
        if std == 0.0:
            assert np.all(sample == mean), quantity
        elif spread.endswith("_us"):
            assert_std(sample, mean, std)
        else:
            assert_std(np.log(sample / mean), -(log_std(std) ** 2) / 2, log_std(std))
    residuals = {}
    for quantity, (spreads, mean) in WITHIN_BLOCK.items():
        values = np.array([getattr(p, quantity) for p in patterns]).reshape(-1, 128)
        stds = [NOISE[name][spread] for spread in spreads]
        if not quantity.endswith("_lsb"):
            values, stds = np.log(values / mean), [log_std(std) for std in stds]
        residuals[quantity] = values - values.mean(axis=1, keepdims=True)
        if any(stds):  # the means of the blocks take one degree of freedom of 128
            assert_std(residuals[quantity].ravel() * math.sqrt(128 / 127), 0.0, math.hypot(*stds))
        else:
            assert np.abs(residuals[quantity]).max() < 1e-12, quantity
    noise = NOISE[name]
    shared = noise["leak_reset_std_lsb"] ** 2 + noise["readout_std_lsb"] ** 2
    for one, other, expected in (
        ("leak_lsb", "reset_lsb", shared),
        ("leak_lsb", "threshold_lsb", noise["readout_std_lsb"] ** 2),
        ("reset_lsb", "threshold_lsb", noise["readout_std_lsb"] ** 2),
        ("gain_exc", "gain_inh", log_std(noise["circuit_gain_std"]) ** 2),
        ("leak_lsb", "gain_exc", 0.0),
    ):
        product = residuals[one] * residuals[other] * (128 / 127)
        assert product.mean() == pytest.approx(expected, abs=5 * product.std() / math.sqrt(product.size) + 1e-12)


@pytest.mark.parametrize("name", ["uncalibrated", "calibrated", "w66f3"])
def test_blocks_of_a_chip_have_its_spreads(name):
    """What is left without the spread of circuits is one number per block, of the stream that is its own."""
    noise, serial = preset(name).noise, 5
    alone = {spread for spread, _ in BLOCKS.values()} | {"chip_gain_std"}
    quiet = NoiseConfig(**{spread: getattr(noise, spread) for spread in alone})
    pattern = draw_fixed_pattern(ChipConfig(noise=quiet), serial)
    for quantity, (spread, drawn) in BLOCKS.items():
        normal, std = stream(serial, f"fixed_pattern.block.{drawn}").standard_normal(4), NOISE[name][spread]
        mean = WITHIN_BLOCK[quantity][1]
        if quantity.endswith("_lsb"):
            expected = mean + std * normal
        else:
            expected = mean * np.exp(log_std(std) * normal - log_std(std) ** 2 / 2)
        if quantity.startswith("gain"):
            std = NOISE[name]["chip_gain_std"]
            normal = stream(serial, "fixed_pattern.chip_gain").standard_normal()
            expected = expected * math.exp(log_std(std) * normal - log_std(std) ** 2 / 2)
        np.testing.assert_allclose(getattr(pattern, quantity), np.repeat(expected, 128), rtol=1e-12)


# Every source of noise draws from a stream of its own: no two have anything in common.


def everything_drawn(number):
    """Each source of noise of a chip, how to make it draw, and the names of its streams; one number is serial and seed.

    The names are a promise: with others, the chip with a serial number would be another one in the next version.
    What lies on the chip is named first: matrix mode and analogue parameters meet the same parts again.
    """
    noise = NoiseConfig(threshold_noise_std_lsb=1.0, delay_jitter_us=0.1)
    chip, membranes = Chip(ChipConfig(noise=noise), number, number), np.full((2, 5), 90.0)
    network = Network(chip)
    for size in (3, 4):
        sources = network.Population(size, SpikeSourcePoisson(1000.0))
        network.Projection(sources, network.Population(2), AllToAll(), weight=1)
    product = np.ones((4, 3), dtype=int)
    array = MacArray(MacConfig(), number, number)
    matrix = array.program(product)
    leak = np.full(512, 80.0)
    fabrication = ["tau_mem", "tau_syn_exc", "tau_syn_inh", "leak", "reset", "threshold", "gain_exc", "gain_inh"]
    fabrication += ["driver_gain", "synapse_gain", "delay_gain", "delay_offset"]
    fabrication += ["readout", "leak_reset", "circuit_gain", "chip_gain"]
    fabrication += [f"block.{name}" for name in ("tau_mem", "tau_syn", "leak_reset", "threshold", "gain")]
    adaptation = ["adex_a", "adex_w_leak", "adex_b", "adex_tau_w", "adex_delta_t", "adex_v_t"]
    laws = [f"slope.{name}" for name in ("leak", "reset", "threshold")]
    laws += [f"leakage.{name}" for name in ("tau_mem", "tau_syn_exc", "tau_syn_inh", "gain_exc", "gain_inh")]
    moved = ["leak_reset", "reset", "threshold", "tau_mem", "tau_syn"]
    sensors = [(f"correlation_{name}", half) for name in ("tau", "amplitude") for half in range(2)]
    made = "fixed_pattern"
    return {
        "fabrication": (
            lambda: draw_fixed_pattern(ChipConfig(), number),
            [(f"{made}.{name}",) for name in fabrication],
        ),
        "adaptation": (
            lambda: draw_adex_pattern(AdexConfig(), leak, partial(stream, number)),
            [(f"{made}.{name}",) for name in adaptation],
        ),
        "products, offsets": (lambda: draw_mac_pattern(MacConfig(), number), [(f"{made}.mac_offset",)]),
        "converters, offsets": (lambda: Cadc(CadcConfig(), number, number), [(f"{made}.cadc_offset",)]),
        "sensors": (
            lambda: [CorrelationSensors(CorrelationConfig(), number, half) for half in range(2)],
            [(f"{made}.{name}", half) for name, half in sensors],
        ),
        "parameters": (
            lambda: [CapMem(ChipConfig(), number).value(name, np.full(512, 700)) for name in PARAMETERS],
            [(f"{made}.capmem_{law}",) for law in laws] + [(f"{made}.capmem_chip.{name}",) for name in moved],
        ),
        "CADC": (
            lambda: [Cadc(CadcConfig(), number, number).convert(membranes, [0, 1], 3, name) for name in CHANNELS],
            [(f"cadc.{name}", 3) for name in ("causal", "acausal")],
        ),
        "MADC": (
            lambda: Madc(MadcConfig(), number).convert(membranes, [0, 1], 3),
            [("madc", 3, circuit) for circuit in (0, 1)],
        ),
        "products": (
            lambda: array.multiply(matrix, np.ones((2, 4), dtype=int), 3, 1),
            [("mac.noise", 3, 1)],
        ),
        "sources and neurons": (
            lambda: network.run(until_us=5.0),
            [("network.spike_source_poisson", 0, 0), ("network.spike_source_poisson", 0, 2), ("trial", 0)],
        ),
        "connections": (
            lambda: FixedProbability(0.5, number).connected("one", (3, 3)),
            [("network.fixed_probability",)],
        ),
    }


@pytest.fixture
def asked(monkeypatch):
    """All streams that were asked for, as (seed, key)."""
    keys = []

    class Recorded(np.random.SeedSequence):
        def __init__(self, entropy, *, spawn_key):
            super().__init__(entropy, spawn_key=spawn_key)
            keys.append((entropy, tuple(spawn_key)))

    monkeypatch.setattr(np.random, "SeedSequence", Recorded)
    return keys


def test_every_source_of_noise_has_streams_of_its_own(asked):
    taken = set()
    for source, (draw, names) in everything_drawn(5).items():
        asked.clear()
        draw()
        new = set(asked) - taken
        assert new == {(5, (zlib.crc32(name.encode()), *index)) for name, *index in names}, source
        assert len(new) == len(names), source
        assert not taken & set(asked) or source in ("products, offsets", "parameters", "CADC"), source
        taken |= new


def test_patterns_have_nothing_in_common():
    """512 pairs of independent numbers: the correlation has a spread of 1 / sqrt(512); of a shared stream it is 1."""
    shared = ("block_", "circuit_", "chip_", "leak_reset_", "readout_")
    noise = NoiseConfig(**{name: 0.1 for name in NO_NOISE if not name.startswith(shared)})
    chip = draw_fixed_pattern(ChipConfig(noise=noise), 7)
    spreads = dict.fromkeys(["a_std", "b_std", "tau_w_std", "delta_t_std", "w_leak_std_lsb", "v_t_std_lsb"], 0.1)
    config = AdexConfig(a=1.0, b_lsb=1.0, delta_t_lsb=1.0, **spreads)
    adex = draw_adex_pattern(config, np.full(512, 80.0), partial(stream, 7))
    mac = draw_mac_pattern(MacConfig(), 7)
    parts = {
        **{entry.name: getattr(chip, entry.name) for entry in dataclasses.fields(chip)},
        **{f"adaptation {entry.name}": getattr(adex, entry.name) for entry in dataclasses.fields(adex)},
        "products, offset": mac.column_offset_lsb,
    }
    assert len(parts) == 19
    for (one, first), (other, second) in itertools.combinations(parts.items(), 2):
        size = min(first.size, second.size, 512)
        correlation = np.corrcoef(first.ravel()[:size], second.ravel()[:size])[0, 1]
        assert abs(correlation) < 5.5 / math.sqrt(size), (one, other)
    # the same part of the chip in both modes
    np.testing.assert_array_equal(mac.row_gain, draw_fixed_pattern(preset("calibrated"), 7).driver_gain)
