"""Spike times of NEST's precise models and of a 40-digit solver, read with 1 ms as 1 us and 0 mV as 100 LSB."""

import numpy as np
import pytest
from nest_oracle import ORACLE, chip_config
from ways import WAYS, run_by

from brainscales_emu.chip import Chip
from brainscales_emu.constants import EXTERNAL
from brainscales_emu.mismatch import draw_fixed_pattern, trial_key
from brainscales_emu.readable.chip import WiredChip, simulate_reference
from brainscales_emu.readable.trial_noise import TrialNoise
from brainscales_emu.routing.placement import place_feedforward


def input_events(case):
    times = np.concatenate(case["input_times_ms"]) + ORACLE["delay_ms"]
    labels = np.repeat(np.arange(ORACLE["n_in"]), [len(train) for train in case["input_times_ms"]])
    return times, labels


def spikes_of_chip(case, config, fabric):
    chip = Chip(config, serial=1, seed=1)
    chip.write(fabric)
    recording = chip.run(*input_events(case), ORACLE["t_sim_ms"], trial=0)
    return recording.analogue_times_us, recording.circuits


def spikes_of_reference(case, config, fabric):
    times, labels = input_events(case)
    order = np.argsort(times, kind="stable")
    spikes, _ = simulate_reference(
        WiredChip(config, draw_fixed_pattern(config, 1), fabric),
        times[order].tolist(),
        (EXTERNAL + labels[order]).tolist(),
        ORACLE["t_sim_ms"],
        TrialNoise(trial_key(1, 0)),
    )
    return np.array([time for time, _ in spikes]), np.array([circuit for _, circuit in spikes])


@pytest.mark.parametrize("way", [*WAYS, "readable twin"])
@pytest.mark.parametrize("name", ORACLE["cases"])
def test_every_spike_of_nest(name, way, monkeypatch):
    simulate = spikes_of_reference
    if way in WAYS:
        simulate = spikes_of_chip
        run_by(way, monkeypatch)
    case = ORACLE["cases"][name]
    placement = place_feedforward(ORACLE["n_in"], [np.array(case["weights_lsb"])], [None])
    times, circuits = simulate(case, chip_config(case), placement.fabric)
    for neuron in range(ORACLE["n_out"]):
        found = times[circuits == placement.neurons["layer 0"][neuron, 0]]
        digits_40 = np.array([float(time) for time in case["spikes_ms_mpmath"][neuron]])
        assert len(found) == len(digits_40)
        np.testing.assert_allclose(found, digits_40, rtol=1e-12)
        np.testing.assert_allclose(found, case["spikes_ms"][neuron], rtol=1e-9)


def test_oracle_is_complete():
    assert len(ORACLE["cases"]) == 7
    assert sum(len(train) for case in ORACLE["cases"].values() for train in case["spikes_ms"]) == 345
