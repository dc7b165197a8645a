"""Named random streams, and the fixed pattern that makes one chip differ from the next."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .config import ChipConfig
from .constants import N_BLOCKS, N_CIRCUITS, N_COLUMNS, N_DELAY_ELEMENTS, N_ROWS
from .errors import check_number

FloatArray = NDArray[np.float64]


def stream(seed: int, name: str, *index: int) -> np.random.Generator:
    """Random generator that belongs to a seed, a name and indices, and to nothing else.

    Parameters
    ----------
    seed : int
        Not negative.
    name : str
        What the numbers are for.
    *index : int
        E.g. the number of a trial.

    Returns
    -------
    numpy.random.Generator
        PCG64, seeded by ``SeedSequence(seed, spawn_key=(crc32(name), *index))``.
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(zlib.crc32(name.encode()), *index))
    return np.random.Generator(np.random.PCG64(sequence))


def trial_key(seed: int, trial: int) -> int:
    """Key of the noise of a trial, see `engine.trial_noise`: 0..2**63 - 1."""
    sequence = np.random.SeedSequence(seed, spawn_key=(zlib.crc32(b"trial"), trial))
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


@dataclass(frozen=True)
class FixedPattern:
    """What one particular chip has become in fabrication: arrays of float64.

    Attributes
    ----------
    tau_mem_us, tau_syn_exc_us, tau_syn_inh_us, leak_lsb, reset_lsb, threshold_lsb : (512,)
        Per neuron circuit; potentials as the circuit's own read-out shows them.
    gain_exc, gain_inh : (512,)
        Relative gain of the two synaptic inputs of each circuit.
    driver_gain : (2, 256)
        Relative drive of each synapse row [half, row].
    synapse_gain : (2, 256, 256)
        Relative strength of each synapse [half, row, column].
    delay_gain, delay_offset_us : (128,)
        An element delays by nominal delay * gain + offset.
    """

    tau_mem_us: FloatArray
    tau_syn_exc_us: FloatArray
    tau_syn_inh_us: FloatArray
    leak_lsb: FloatArray
    reset_lsb: FloatArray
    threshold_lsb: FloatArray
    gain_exc: FloatArray
    gain_inh: FloatArray
    driver_gain: FloatArray
    synapse_gain: FloatArray
    delay_gain: FloatArray
    delay_offset_us: FloatArray


def draw_fixed_pattern(config: ChipConfig, serial: int) -> FixedPattern:
    """Fixed pattern of the chip with this serial number.

    Every quantity has its own stream, so that changing one spread leaves all other draws as they were. Positive
    quantities are lognormal with the configured mean and relative standard deviation, potentials and offsets are
    normal.

    Parameters
    ----------
    config : ChipConfig
    serial : int
        0..2**63 - 1.

    Returns
    -------
    FixedPattern
    """
    check_number("chip.serial", serial, 0, 2**63 - 1, "", "give a serial number", whole=True)
    noise = config.noise

    def normal(name: str, std: float, shape: tuple[int, ...]) -> FloatArray:
        return std * stream(serial, f"fixed_pattern.{name}").standard_normal(shape)

    def relative(name: str, std: float, shape: tuple[int, ...]) -> FloatArray:
        variance = np.log1p(std**2)  # of the logarithm, so that mean 1 and std are those of the quantity
        return np.exp(normal(name, np.sqrt(variance), shape) - variance / 2)

    circuits, rows, elements = (N_CIRCUITS,), (2, N_ROWS), (N_DELAY_ELEMENTS,)

    def of_blocks(values: FloatArray) -> FloatArray:
        return np.repeat(values, N_CIRCUITS // N_BLOCKS)

    def block(name: str, std: float) -> FloatArray:
        return of_blocks(relative(f"block.{name}", std, (N_BLOCKS,)))

    def block_shift(name: str, std: float) -> FloatArray:
        return of_blocks(normal(f"block.{name}", std, (N_BLOCKS,)))

    readout = normal("readout", noise.readout_std_lsb, circuits)
    leak_reset = readout + normal("leak_reset", noise.leak_reset_std_lsb, circuits)
    leak_reset += block_shift("leak_reset", noise.block_leak_reset_std_lsb)
    threshold = config.threshold_lsb + noise.threshold_mean_lsb + readout
    threshold += block_shift("threshold", noise.block_threshold_std_lsb)
    tau_mem = config.tau_mem_us * block("tau_mem", noise.block_tau_mem_std)
    tau_syn = block("tau_syn", noise.block_tau_syn_std)
    gain = relative("circuit_gain", noise.circuit_gain_std, circuits) * block("gain", noise.block_gain_std)
    gain *= relative("chip_gain", noise.chip_gain_std, ())
    return FixedPattern(
        tau_mem_us=tau_mem * relative("tau_mem", noise.tau_mem_std, circuits),
        tau_syn_exc_us=config.tau_syn_exc_us * tau_syn * relative("tau_syn_exc", noise.tau_syn_std, circuits),
        tau_syn_inh_us=config.tau_syn_inh_us * tau_syn * relative("tau_syn_inh", noise.tau_syn_std, circuits),
        leak_lsb=config.leak_lsb + leak_reset + normal("leak", noise.leak_std_lsb, circuits),
        reset_lsb=config.reset_lsb + leak_reset + normal("reset", noise.reset_std_lsb, circuits),
        threshold_lsb=threshold + normal("threshold", noise.threshold_std_lsb, circuits),
        gain_exc=gain * relative("gain_exc", noise.neuron_gain_std, circuits),
        gain_inh=gain * relative("gain_inh", noise.neuron_gain_std, circuits),
        driver_gain=relative("driver_gain", noise.driver_gain_std, rows),
        synapse_gain=relative("synapse_gain", noise.weight_std, (2, N_ROWS, N_COLUMNS)),
        delay_gain=relative("delay_gain", noise.delay_gain_std, elements),
        delay_offset_us=normal("delay_offset", noise.delay_offset_std_us, elements),
    )
