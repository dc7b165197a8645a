"""Limits: each number may be as small and as large as is promised, and not a bit smaller or larger.

Vendor software gives those of time constants, refractory time, converters, generators and sensors; the others keep
unit mistakes out.
"""

import dataclasses
import math
import re
from functools import partial

import numpy as np
import pytest

from brainscales_emu import ChipConfig, ChipError, LinkConfig, NoiseConfig
from brainscales_emu.adex import AdexConfig
from brainscales_emu.capmem import CapMemConfig
from brainscales_emu.cells import SpikeSourcePoissonOnChip
from brainscales_emu.chip import Chip
from brainscales_emu.config import EventPathConfig, SaturationConfig, StpConfig
from brainscales_emu.connectors import FixedProbability
from brainscales_emu.mac import MacArray, MacConfig
from brainscales_emu.mismatch import draw_fixed_pattern
from brainscales_emu.multichip import AggregatorConfig
from brainscales_emu.readout.adc import Cadc, CadcConfig, Madc, MadcConfig
from brainscales_emu.readout.correlation import CorrelationConfig, CorrelationSensors
from brainscales_emu.routing.placement import Background, External, Population, Projection, place
from brainscales_emu.system import Ppu

LARGEST_SEED = 2**63 - 1
RELATIVE = (0.0, 1.0)
POTENTIAL = (0.0, 255.0)  # 8-bit converter
RATE = {"rate_kHz": (125_000 / (65_535 * 255), 125_000.0)}  # a period of 16 bits, a rate of 8; cycles of 8 ns

# What is made, and for each number that it takes: smallest, largest. Numbers that are whole have whole limits.
LIMITS = [
    (
        ChipConfig,
        {
            "tau_mem_us": (0.5, 60.0),
            "tau_syn_exc_us": (0.3, 30.0),
            "tau_syn_inh_us": (0.3, 30.0),
            "leak_lsb": POTENTIAL,
            "synapse_dac_bias": (30, 1022),
            "synin_gm": (30, 1022),
            "refractory_us": (0.04, 255 * 65_536 / 250),
            "synaptic_gain": (0.0, 100.0),
            "event_latency_us": (0.0, 10.0),
        },
    ),
    (partial(ChipConfig, reset_lsb=0.0), {"threshold_lsb": (math.ulp(0.0), 255.0)}),
    (partial(ChipConfig, threshold_lsb=255.0), {"reset_lsb": (0.0, math.nextafter(255.0, 0.0))}),
    (
        NoiseConfig,
        {
            "tau_mem_std": RELATIVE,
            "tau_syn_std": RELATIVE,
            "block_tau_mem_std": RELATIVE,
            "block_tau_syn_std": RELATIVE,
            "leak_std_lsb": (0.0, 50.0),
            "reset_std_lsb": (0.0, 50.0),
            "threshold_std_lsb": (0.0, 50.0),
            "leak_reset_std_lsb": (0.0, 50.0),
            "readout_std_lsb": (0.0, 50.0),
            "block_leak_reset_std_lsb": (0.0, 50.0),
            "block_threshold_std_lsb": (0.0, 50.0),
            "threshold_mean_lsb": (-50.0, 50.0),
            "neuron_gain_std": RELATIVE,
            "circuit_gain_std": RELATIVE,
            "block_gain_std": RELATIVE,
            "chip_gain_std": RELATIVE,
            "driver_gain_std": RELATIVE,
            "weight_std": RELATIVE,
            "delay_gain_std": RELATIVE,
            "delay_offset_std_us": (0.0, 1.0),
            "threshold_noise_std_lsb": (0.0, 50.0),
            "delay_jitter_us": (0.0, 1.0),
        },
    ),
    (
        LinkConfig,
        {
            "bandwidth_mbit_s": (0.001, 1e6),
            "latency_us": (0.0, 1e6),
            "word_bits": (16, 1024),
            "words_per_event": (1, 64),
            "settle_us": (0.0, 1e6),
        },
    ),
    (
        EventPathConfig,
        {
            "slot_ns": (1.0, 1e6),
            "l2_slot_ns": (1.0, 1e6),
            "fifo_depth": (0, 65_536),
            "l2_fifo_depth": (0, 65_536),
            "fpga_to_chip": (1, 3),
            "chip_to_fpga": (1, 3),
        },
    ),
    (partial(SaturationConfig, upper_linear_lsb=254.0), {"lower_rail_lsb": (0.0, math.nextafter(254.0, 0.0))}),
    (
        partial(SaturationConfig, lower_rail_lsb=0.0, upper_rail_lsb=255.0),
        {"upper_linear_lsb": (math.ulp(0.0), math.nextafter(255.0, 0.0))},
    ),
    (
        partial(SaturationConfig, lower_rail_lsb=0.0, upper_linear_lsb=math.ulp(0.0)),
        {"upper_rail_lsb": (2 * math.ulp(0.0), 255.0)},
    ),
    (StpConfig, {"slowest_recovery_us": (0.1, 1e6), "offset_step": (0.0, 0.1)}),
    (lambda first: StpConfig(rest=(first, 0.0)), {"first": RELATIVE}),
    (lambda second: StpConfig(target=(0.0, second)), {"second": RELATIVE}),
    (
        AdexConfig,
        {
            "a": (-10.0, 100.0),
            "b_lsb": (-255.0, 255.0),
            "tau_w_us": (0.5, 10_000.0),
            "delta_t_lsb": (0.5, 50.0),
            "w_leak_lsb": POTENTIAL,
            "v_t_lsb": POTENTIAL,
            "tolerance": (1e-13, 1e-3),
            "a_std": RELATIVE,
            "b_std": RELATIVE,
            "tau_w_std": RELATIVE,
            "delta_t_std": RELATIVE,
            "w_leak_std_lsb": (0.0, 50.0),
            "v_t_std_lsb": (0.0, 50.0),
        },
    ),
    (CadcConfig, {"period_us": (1 / 1.85, 1e6), "offset_std_lsb": (0.0, 50.0), "noise_std_lsb": (0.0, 50.0)}),
    (
        MadcConfig,
        {"lsb_per_cadc_lsb": (0.01, 100.0), "zero_lsb": (-1000.0, 1000.0), "noise_std_lsb": (0.0, 100.0)},
    ),
    (
        CorrelationConfig,
        {
            "tau_us": (2.0, 30.0),
            "amplitude_lsb": (0.2, 2.0),
            "tau_std": RELATIVE,
            "amplitude_std": RELATIVE,
            "baseline_lsb": (0.0, 255.0),
        },
    ),
    (
        MacConfig,
        {
            "gain": (1e-6, 1.0),
            "noise_std_lsb": (0.0, 50.0),
            "column_gain_std": RELATIVE,
            "column_offset_std_lsb": (0.0, 50.0),
            "row_gain_std": RELATIVE,
            "synapse_gain_std": RELATIVE,
            "wait_between_events_cycles": (1, 65_536),
            "readout_us": (0.0, 1e6),
            "program_us": (0.0, 1e6),
        },
    ),
    (
        CapMemConfig,
        {
            "leak_reset_chip_std": (0.0, 200.0),
            "reset_chip_std": (0.0, 200.0),
            "threshold_chip_std": (0.0, 200.0),
            "tau_mem_chip_std": (0.0, 0.3),
            "tau_syn_chip_std": (0.0, 0.3),
            "slope_std": (0.0, 0.3),
            "current_std": (0.0, 0.3),
            "crosstalk": (0.0, 5.0),
            "crosstalk_width": (4.0, 100.0),
        },
    ),
    (partial(CapMemConfig, crosstalk=0.0), {"crosstalk_width": (1.0, 100.0)}),
    (partial(CapMemConfig, crosstalk_width=6.0), {"crosstalk": (0.0, 3.0)}),
    (
        AggregatorConfig,
        {"latency_us": (0.01, 1e6), "slot_ns": (0.0, 1e6), "fifo_depth": (0, 2**20), "node_links": (1, 4096)},
    ),
    (partial(Ppu, update=print), {"period_us": (0.1, 1e9)}),
    (lambda rate_kHz: SpikeSourcePoissonOnChip(rate_kHz, 1).generator("a", 1), RATE),
    (lambda seed: SpikeSourcePoissonOnChip(100.0, seed).generator("a", 1), {"seed": (0, 2**32 - 1)}),
    (lambda p_connect: FixedProbability(p_connect, 1).connected("a", (2, 2)), {"p_connect": RELATIVE}),
    (lambda seed: FixedProbability(0.5, seed).connected("a", (2, 2)), {"seed": (0, LARGEST_SEED)}),
    (lambda serial: draw_fixed_pattern(ChipConfig(), serial), {"serial": (0, LARGEST_SEED)}),
    (lambda serial: Cadc(CadcConfig(), serial, 1), {"serial": (0, LARGEST_SEED)}),
    (lambda seed: Cadc(CadcConfig(), 1, seed), {"seed": (0, LARGEST_SEED)}),
    (lambda seed: Madc(MadcConfig(), seed), {"seed": (0, LARGEST_SEED)}),
    (lambda trial: Cadc(CadcConfig(), 1, 1).convert(np.zeros((1, 1)), [0], trial), {"trial": (0, LARGEST_SEED)}),
    (lambda trial: Madc(MadcConfig(), 1).convert(np.zeros((1, 1)), [0], trial), {"trial": (0, LARGEST_SEED)}),
    (lambda half: CorrelationSensors(CorrelationConfig(), 1, half), {"half": (0, 1)}),
    (lambda serial: CorrelationSensors(CorrelationConfig(), serial, 0), {"serial": (0, LARGEST_SEED)}),
    (lambda seed: MacArray(MacConfig(), 1, seed), {"seed": (0, LARGEST_SEED)}),
    (lambda serial: Chip(ChipConfig(), serial, 1), {"serial": (0, LARGEST_SEED)}),
    (lambda seed: Chip(ChipConfig(), 1, seed), {"seed": (0, LARGEST_SEED)}),
    (lambda duration_us: Cadc(CadcConfig(), 1, 1).instants(duration_us), {"duration_us": (1e-3, None)}),
    (lambda start_us: Cadc(CadcConfig(), 1, 1).instants(9.0, start_us), {"start_us": (0.0, 9.0)}),
    (
        lambda **entry: heard(Background("noise", 1, **{"period": 100} | entry)),
        {"period": (1, 65_535), "rate": (0, 255), "seed": (0, 2**32 - 1)},
    ),
    (lambda circuits: heard(External("input", 1), circuits), {"circuits": (1, None)}),
]  # fmt: skip


def heard(source, circuits=1):
    neuron = Population("neuron", 1, circuits=circuits)
    return place([source, neuron], [Projection(source, neuron, np.ones((1, 1), dtype=int))])


def beyond(limit, direction):
    return limit + int(direction) if isinstance(limit, int) else math.nextafter(limit, direction * math.inf)


CASES = [
    pytest.param(make, field, *limits, id=f"{getattr(make, '__name__', 'call')}-{number}-{field}")
    for number, (make, entries) in enumerate(LIMITS)
    for field, limits in entries.items()
]


@pytest.mark.parametrize(("make", "field", "low", "high"), CASES)
def test_a_number_may_reach_its_limits_and_not_pass_them(make, field, low, high):
    for limit, direction in ((low, -1.0), (high, 1.0)):
        if limit is None:
            continue
        make(**{field: limit})
        with pytest.raises(ChipError, match=r"outside|above|slot_ns|delta_t_lsb") as error:
            make(**{field: beyond(limit, direction)})
        assert re.search(rf"\b{field if field not in ('first', 'second') else 'stp'}\b", str(error.value))


def test_every_number_of_every_class_of_settings_is_held():
    held: dict[type, set[str]] = {}
    for make, entries in LIMITS:
        made = getattr(make, "func", make)
        if isinstance(made, type) and dataclasses.is_dataclass(made):
            held.setdefault(made, set()).update(entries)
    for made, names in held.items():
        numbers = {entry.name for entry in dataclasses.fields(made) if entry.type in ("int", "float", "float | None")}
        assert numbers == names, made
