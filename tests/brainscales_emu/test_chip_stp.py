"""Short-term plasticity of the synapse drivers: closed forms, and the engine against the readable law."""

import dataclasses
import math

import numpy as np
import pytest
from random_fabrics import random_fabric
from ways import run_by

from brainscales_emu import ChipConfig, ChipError
from brainscales_emu.chip import Chip
from brainscales_emu.config import StpConfig
from brainscales_emu.constants import EXTERNAL
from brainscales_emu.mismatch import draw_fixed_pattern, trial_key
from brainscales_emu.readable.chip import WiredChip, simulate_reference
from brainscales_emu.readable.stp import DriverEfficacy
from brainscales_emu.readable.trial_noise import TrialNoise
from brainscales_emu.recording import Probe
from brainscales_emu.routing.placement import place_feedforward
from brainscales_emu.stp import SHAPE, Plasticity

LAW = StpConfig(rest=(1.0, 0.2), target=(0.0, 0.9), slowest_recovery_us=80.0, offset_step=0.02)
QUIET = {"event_latency_us": 0.0, "exact_input_times": True, "stp": LAW}


@pytest.fixture(params=["one by one", "lockstep"])
def keeping(request, monkeypatch):
    run_by(request.param, monkeypatch)


@pytest.mark.parametrize("voltages", [0, 1])
def test_regular_events_settle_at_the_fixed_point(voltages):
    driver = DriverEfficacy(LAW, Plasticity.uniform(utilisation=6, recovery=7, voltages=voltages), 0, 0)
    effects = [driver.drive(4.0 * n) for n in range(200)]
    rest, target, used, left = LAW.rest[voltages], LAW.target[voltages], 6 / 15, math.exp(-4.0 / 10.0)
    settled = (rest * (1 - left) + left * used * target) / (1 - left * (1 - used))
    assert effects[0] == rest
    assert effects[-1] == pytest.approx(settled, rel=1e-12)
    assert effects[1] == pytest.approx(rest + used * (target - rest) * left, rel=1e-12)
    assert (effects[-1] < rest) == (voltages == 0)


def test_recovery_after_a_burst():
    driver = DriverEfficacy(LAW, Plasticity.uniform(utilisation=15, recovery=0, voltages=0), 1, 127)
    driver.drive(0.0)
    for wait in (1.0, 40.0, 300.0):
        again = DriverEfficacy(LAW, Plasticity.uniform(utilisation=15, recovery=0, voltages=0), 1, 127)
        again.drive(0.0)
        assert again.drive(wait) == pytest.approx(1 - math.exp(-wait / 80.0), rel=1e-12)


def test_offset_shifts_the_effect_and_is_clipped():
    def first(offset, voltages):
        return DriverEfficacy(LAW, Plasticity.uniform(3, 3, voltages, offset=offset), 0, 0).drive(0.0)

    assert first(0, 1) == pytest.approx(0.2 - 8 * 0.02)
    assert first(15, 1) == pytest.approx(0.2 + 7 * 0.02)
    assert first(15, 0) == 1.0
    narrow = dataclasses.replace(LAW, offset_step=0.1)
    assert DriverEfficacy(narrow, Plasticity.uniform(3, 3, 1, offset=0), 0, 0).drive(0.0) == 0.0


@pytest.mark.usefixtures("keeping")
def test_the_chip_weakens_a_train_as_the_law_says():
    chip = Chip(ChipConfig(**QUIET), serial=1, seed=1)
    placement = place_feedforward(1, [np.array([[10]])], [None])
    (line,), circuit = placement.lines["input"], placement.neurons["layer 0"][0, 0]
    times = np.array([0.0, 2.0, 5.0, 5.5, 30.0])
    chip.write(placement.fabric, Plasticity.uniform(utilisation=5, recovery=3, voltages=0))
    grid = np.linspace(0.5, 60.0, 100)
    membrane = chip.run(times, np.full(5, line), 60.0, 0, Probe([circuit], grid)).membrane_lsb[0]

    efficacy, expected, last = 1.0, np.full(100, 80.0), 0.0
    for time in times:
        efficacy = 1.0 + (efficacy - 1.0) * math.exp(-(time - last) / 20.0)
        s = np.maximum(grid - time, 0.0)
        expected += 10 * chip.config.synaptic_gain * efficacy * s * np.exp(-s / 6.0)
        efficacy -= efficacy / 3
        last = time
    np.testing.assert_allclose(membrane, expected, rtol=1e-12)

    chip.write(placement.fabric)
    without = chip.run(times, np.full(5, line), 60.0, 0, Probe([circuit], grid)).membrane_lsb[0]
    off = np.zeros(SHAPE, dtype=bool)
    chip.write(placement.fabric, dataclasses.replace(Plasticity.uniform(5, 3, 0), enabled=off))
    np.testing.assert_array_equal(
        chip.run(times, np.full(5, line), 60.0, 0, Probe([circuit], grid)).membrane_lsb[0], without
    )
    assert without.max() > membrane.max() + 1.0


@pytest.mark.usefixtures("keeping")
@pytest.mark.parametrize("seed", range(8))
def test_engine_equals_readable_twin(seed):
    rng = np.random.default_rng(seed)
    fabric = random_fabric(rng, n_rows=40)
    config = ChipConfig(**QUIET | {"synaptic_gain": 2.0, "refractory_us": 0.5, "event_latency_us": 0.08})
    codes = {name: rng.integers(0, 16, SHAPE) for name in ("utilisation", "recovery", "offset")}
    plasticity = Plasticity(rng.random(SHAPE) < 0.8, voltages=rng.integers(0, 2, SHAPE), **codes)
    times, lines = np.sort(rng.uniform(0.0, 40.0, 30)), rng.integers(0, 5, 30)
    chip = Chip(config, serial=seed, seed=seed)
    chip.write(fabric, plasticity)
    recording = chip.run(times, lines, 60.0, 0)
    spikes, lost = simulate_reference(
        WiredChip(config, draw_fixed_pattern(config, seed), fabric, plasticity),
        times.tolist(),
        (EXTERNAL + lines).tolist(),
        60.0,
        TrialNoise(trial_key(seed, 0)),
    )
    assert recording.lost_events == lost
    found = np.lexsort((recording.analogue_times_us, recording.circuits))
    expected = sorted((source, time) for time, source in spikes)
    assert recording.circuits[found].tolist() == [source for source, _ in expected]
    np.testing.assert_allclose(recording.analogue_times_us[found], [time for _, time in expected], rtol=1e-10)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: StpConfig(rest=(1.0, 2.0)),
            "chip.stp.rest[1] = 2 is outside 0..1; give a part of the full pulse",
        ),
        (
            lambda: StpConfig(target=0.5),
            "chip.stp.target = 0.5 is no pair; give the efficacies of set 0 and set 1",
        ),
        (
            lambda: Plasticity.uniform(16, 0, 0),
            "plasticity.utilisation[0, 0] = 16 is outside 0..15; clip the code",
        ),
        (
            lambda: Plasticity.uniform(1, 0, 2),
            "plasticity.voltages[0, 0] = 2 is outside 0..1; clip the code",
        ),
        (
            lambda: dataclasses.replace(Plasticity.uniform(1, 0, 0), recovery=np.zeros(128, dtype=int)),
            "plasticity.recovery has shape (128,); expected (2, 128); clip the code",
        ),
    ],
)
def test_errors(make, message):
    with pytest.raises(ChipError) as error:
        make()
    assert str(error.value) == message
