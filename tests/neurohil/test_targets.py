"""Both targets behind one protocol: what is written, what comes back, and in which units."""

import dataclasses
import re

import numpy as np
import pytest

from brainscales_emu import ChipConfig, preset
from brainscales_emu.calibration import Calibration
from brainscales_emu.capmem import PARAMETERS, median_codes
from brainscales_emu.chip import Chip
from neurohil.datasets import yin_yang
from neurohil.errors import UserError
from neurohil.protocols import Layer
from neurohil.targets.spiking.brainscales import BrainscalesConfig, BrainscalesTarget
from neurohil.targets.spiking.ideal import IdealTarget

THRESHOLD = 2.6
TICK = 1.0 / (125 * 6.0)  # 8 ns in units of tau = 6 us


def chip(preset="ideal", serial=1, seed=1, tau_ratio=1, **changes):
    return BrainscalesTarget(BrainscalesConfig(preset=preset, serial=serial, **changes), THRESHOLD, tau_ratio, seed)


@pytest.fixture
def network():
    """Weights on the chip's grid and delays on its register grid, strong enough that most neurons spike."""
    rng = np.random.default_rng(3)
    weights = [np.rint(30 * rng.normal(0.4, 0.5, shape).clip(-2.1, 2.1)) / 30 for shape in ((20, 30), (30, 3))]
    delays = [(np.rint((12 + 9 * rng.random(n)) * 8) / 8) / 6 for n in (20, 30)]
    return [Layer(w, axonal=d) for w, d in zip(weights, delays, strict=True)]


@pytest.fixture(scope="module")
def inputs():
    return yin_yang.encode(yin_yang.load("train").samples[:50], 0.15, 2.0, copies=5)


@pytest.mark.parametrize("tau_ratio", [1, 2])
def test_perfect_chip_equals_the_closed_form_to_one_time_stamp(network, inputs, tau_ratio):
    """The event-driven engine and DelGrad's closed form are independent solutions of the same neuron."""
    target, ideal = chip(tau_ratio=tau_ratio), IdealTarget(THRESHOLD, tau_ratio)
    target.write(network)
    ideal.write(network)
    (hidden, output), (hidden_ideal, output_ideal) = target.run(inputs, 1), ideal.run(inputs, 1)
    assert np.isfinite(output_ideal.spikes).mean() > 0.2
    for seen, wanted in (
        (hidden.arrivals, hidden_ideal.arrivals),
        (hidden.spikes, hidden_ideal.spikes),
        (output.arrivals, output_ideal.arrivals),
        (output.spikes, output_ideal.spikes),
    ):
        assert np.array_equal(np.isinf(seen), np.isinf(wanted))
        fired = np.isfinite(wanted)
        late = wanted[fired] - seen[fired]
        assert late.min() > -1e-6 * TICK and late.max() < (1 + 1e-5) * TICK  # rounded down to 8 ns


@pytest.mark.parametrize("kind", ["synaptic", "dendritic"])
def test_beyond_the_chip_delays_are_in_the_synapses(network, inputs, kind):
    """Delays of any length, shorter than the chip's shortest too: equal to the closed form to one time stamp."""
    target, ideal, undelayed = chip(delays="beyond"), IdealTarget(THRESHOLD, 1), IdealTarget(THRESHOLD, 1)
    assert kind in target.capabilities.delay_kinds and kind not in chip().capabilities.delay_kinds
    rng = np.random.default_rng(7)
    shapes = [layer.weights.shape if kind == "synaptic" else layer.weights.shape[1:] for layer in network]
    layers = [Layer(x.weights, **{kind: rng.uniform(0.0, 1.5, n)}) for x, n in zip(network, shapes, strict=True)]
    target.write(layers)
    ideal.write(layers)
    undelayed.write([Layer(layer.weights) for layer in network])
    seen, wanted, plain = (driven.run(inputs, 1) for driven in (target, ideal, undelayed))
    assert np.array_equal(seen[0].spikes, seen[1].arrivals)  # the delays come after what the host observes
    for one, two, without in zip(seen, wanted, plain, strict=True):
        assert np.array_equal(np.isinf(one.spikes), np.isinf(two.spikes))
        fired = np.isfinite(two.spikes)
        late = two.spikes[fired] - one.spikes[fired]
        assert fired.mean() > 0.2 and late.min() > -1e-6 * TICK and late.max() < (1 + 1e-5) * TICK
        both = fired & np.isfinite(without.spikes)
        assert np.median(np.abs(two.spikes[both] - without.spikes[both])) > 20 * TICK


def test_recorded_times_are_on_the_grid(network, inputs):
    target = chip("w66f3")
    target.write(network)
    layers = target.run(inputs, 1)
    assert len(layers) == 2
    for seen in layers:
        ticks = seen.spikes[np.isfinite(seen.spikes)] / TICK
        assert ticks.size and np.allclose(ticks, np.rint(ticks), atol=1e-6)


def test_weights_are_rounded_to_six_bits(inputs):
    """A change of less than half a step is invisible, a change of one step is not."""
    target = chip()
    weights = [np.full((20, 30), 10 / 30), np.full((30, 3), 10 / 30)]

    def outputs(change):
        target.write([Layer(weights[0] + change), Layer(weights[1])])
        return target.run(inputs, 1)[0].spikes

    assert np.array_equal(outputs(0.0), outputs(0.49 / 30))
    assert not np.array_equal(outputs(0.0), outputs(1.0 / 30))


def test_same_trial_same_bits_other_trial_other_bits(network, inputs):
    target, again = chip("w66f3"), chip("w66f3")
    target.write(network)
    again.write(network)
    first = target.run(inputs, 5)[1].spikes
    assert np.array_equal(first, again.run(inputs, 5)[1].spikes)
    assert not np.array_equal(first, target.run(inputs, 6)[1].spikes)


def test_only_the_first_spike_of_a_slot_counts():
    """One strong input drives the neuron again and again; without refractory time it spikes several times."""
    target = chip(chip={"refractory_us": 0.1})
    target.write([Layer(np.full((20, 1), 2.1)), Layer(np.full((1, 1), 2.1))])
    inputs = np.tile(np.linspace(0.1, 3.0, 20), (3, 1))
    spikes = target.run(inputs, 1)[0].spikes
    assert target.account()["recorded_events"] > 3
    assert spikes.shape == (3, 1)
    assert np.allclose(spikes, spikes[0], atol=1.01 * TICK)
    ideal = IdealTarget(THRESHOLD, 1)
    ideal.write([Layer(np.full((20, 1), 2.1)), Layer(np.full((1, 1), 2.1))])
    assert np.allclose(spikes, ideal.run(inputs, 1)[0].spikes, atol=1.01 * TICK)


def test_account_counts_chip_time_and_events(network, inputs):
    target = chip()
    target.write(network)
    target.run(inputs, 1)
    account = target.account()
    assert account["chip_seconds"] == pytest.approx(50 * 180e-6)
    assert account["input_events"] == inputs.size


@pytest.mark.parametrize("target", [chip(), IdealTarget(THRESHOLD, 1)], ids=["chip", "ideal"])
def test_record_shows_the_events_of_run_and_threshold_at_spikes(network, inputs, target):
    target.write(network)
    seen = target.record(inputs[0], 1, 9.0)
    hidden, output = target.run(inputs[:1], 1)
    expected = {0: inputs[0], 1: hidden.spikes[0], 2: output.spikes[0], 3: hidden.arrivals[0], 4: output.arrivals[0]}
    first = {0: 0, 1: 20, 2: 50, 3: 0, 4: 20}
    for kind, times in expected.items():
        chosen = seen.event_kinds == kind
        by_neuron = np.full(times.shape, np.inf)
        by_neuron[seen.event_neurons[chosen] - first[kind]] = seen.event_times[chosen]
        assert np.array_equal(by_neuron, times)
    assert np.all(np.diff(seen.event_times) >= 0)
    assert seen.membrane.shape == (33, seen.membrane_times.size)
    assert np.isfinite(seen.membrane).all()


def test_fixed_pattern_is_described_and_belongs_to_the_serial():
    patterns = [{q.name: q for q in chip("w66f3", serial=s).fixed_pattern()} for s in (1, 1, 2)]
    assert "threshold_lsb" in patterns[0] and patterns[0].keys() == patterns[1].keys() == patterns[2].keys()
    assert all(np.array_equal(patterns[0][n].values, patterns[1][n].values, equal_nan=True) for n in patterns[0])
    assert not np.array_equal(patterns[0]["threshold_lsb"].values, patterns[2]["threshold_lsb"].values)
    assert all(q.units and q.long_name and len(q.dims) == q.values.ndim for q in patterns[0].values())


@pytest.mark.parametrize("time", [-0.1, 30.0])
def test_inputs_outside_their_slot_are_refused(network, inputs, time):
    target = chip()
    target.write(network)
    inputs = inputs.copy()
    inputs[3, 2] = time
    with pytest.raises(UserError, match=r"don't fit into the slot 0..180 us of a sample; change data.t_early"):
        target.run(inputs, 1)


def test_a_network_that_does_not_fit_is_refused_with_the_rule():
    target = chip()
    with pytest.raises(UserError, match=r"rule 6: the top half needs 258 rows"):
        target.write([Layer(np.zeros((129, 30))), Layer(np.zeros((30, 3)))])


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Layer(np.full((20, 30), np.nan)), "weights[0][0, 0] = nan is not a number; lower the learning rate"),
        (Layer(np.zeros((20, 30)), synaptic=np.zeros((20, 30))), "the chip's delay elements are axonal"),
        (Layer(np.zeros((20, 30)), dendritic=np.zeros(30)), "or target.delays = 'beyond', which no real chip can"),
        (Layer(np.zeros((20, 30)), axonal=np.full(20, 1.0)), "6 us is outside 8.25..33.25 us"),
        (Layer(np.zeros((20, 30)), axonal=np.full(20, 6.0)), "36 us is outside 8.25..33.25 us"),
        (Layer(np.full((20, 30), 2.2)), "weights[0][0, 0] = 2.2 is outside -2."),
    ],
)
def test_what_the_chip_cannot_do_is_one_clear_error(layer, message):
    with pytest.raises(UserError, match=re.escape(message)):
        chip().write([layer, Layer(np.zeros((30, 3)))])


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            Layer(np.zeros((20, 30)), axonal=np.full(20, 2.0)),
            "dendritic or synaptic, or target.delays = 'hardware'",
        ),
        (Layer(np.zeros((20, 30)), synaptic=np.full((20, 30), -1.0)), "= -6 us is outside 0..inf us; give a time"),
    ],
)
def test_what_is_refused_beyond_the_chip(layer, message):
    with pytest.raises(UserError, match=re.escape(message)):
        chip(delays="beyond").write([layer, Layer(np.zeros((30, 3)))])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"noise": {"delay_jiter_us": 0.1}},
            "unknown key target.noise.delay_jiter_us, did you mean 'target.noise.delay_jitter_us'?",
        ),
        (
            {"chip": {"refractory": 3.0}},
            "unknown key target.chip.refractory, did you mean 'target.chip.refractory_us'?",
        ),
        ({"noise": {"weight_std": -0.1}}, "target.noise.weight_std = -0.1 is outside 0..1; give a relative standard"),
        ({"chip": {"synaptic_gain": 0.0}}, "otherwise no weight can make a neuron spike"),
        ({"chip": {"leak_lsb": 160.0}}, "target.chip.threshold_lsb must be above target.chip.leak_lsb"),
        ({"slot_us": 180.001}, "target.slot_us = 180.001 us is no multiple of the time stamp of 0.008 us; round it"),
    ],
)
def test_bad_chip_settings_are_named(changes, message):
    with pytest.raises(UserError, match=re.escape(message)):
        chip(**changes)


def test_a_calibration_decides_what_the_circuits_are(tmp_path):
    codes = median_codes(ChipConfig(), 5)
    codes = dataclasses.replace(codes, leak=codes.leak + 40)
    nothing = dict.fromkeys(PARAMETERS, np.zeros(0))
    found = Calibration(
        codes=codes,
        cadc_offset=np.zeros((2, 512), dtype=np.int64),
        circuits=np.zeros(0, dtype=np.int64),
        target=dict.fromkeys(PARAMETERS, 1.0),
        residual=nothing,
        success={name: values.astype(bool) for name, values in nothing.items()},
    )
    found.save(tmp_path / "chip5.h5")
    plain = chip("uncalibrated", serial=5)
    target = chip("uncalibrated", serial=5, calibration=str(tmp_path / "chip5.h5"))
    expected = Chip(preset("uncalibrated"), serial=5, seed=1, codes=codes).fixed_pattern
    patterns = [{quantity.name: quantity.values for quantity in one.fixed_pattern()} for one in (plain, target)]
    np.testing.assert_array_equal(patterns[1]["leak_lsb"], expected.leak_lsb)
    assert np.mean(patterns[1]["leak_lsb"]) > np.mean(patterns[0]["leak_lsb"]) + 4.0
    for name, values in patterns[0].items():  # what calibration can't change has no state before it
        np.testing.assert_array_equal(patterns[1].get(f"{name}_before", patterns[1][name]), values)
    assert "leak_lsb_before" in patterns[1] and "synapse_gain_before" not in patterns[1]
    with pytest.raises(UserError, match=r"target.preset = 'w66f3' has calibrated circuits already; choose 'uncalib"):
        chip("w66f3", calibration=str(tmp_path / "chip5.h5"))
    with pytest.raises(UserError, match=r"nowhere.h5 doesn't exist"):
        chip("uncalibrated", calibration=str(tmp_path / "nowhere.h5"))


def test_codes_can_stand_in_a_table(tmp_path):
    codes = median_codes(ChipConfig())
    rows = [",".join(map(str, (n, *(getattr(codes, name)[n] + 20 for name in PARAMETERS)))) for n in range(512)]
    table = tmp_path / "chip.csv"
    table.write_text("\n".join([",".join(("circuit", *PARAMETERS)), *rows]))
    found = {
        quantity.name: quantity.values for quantity in chip("uncalibrated", calibration=str(table)).fixed_pattern()
    }
    codes = codes.replace(**{name: getattr(codes, name) + 20 for name in PARAMETERS})
    np.testing.assert_array_equal(found["reset_lsb"], Chip("uncalibrated", codes=codes).fixed_pattern.reset_lsb)
    table.write_text(table.read_text().replace("reset", "rest"))
    with pytest.raises(UserError, match=r"^target\.calibration: file .*/chip\.csv has no column reset; give"):
        chip("uncalibrated", calibration=str(table))


def test_values_that_were_measured_are_those_of_the_chip_and_the_trace_says_so(tmp_path, network):
    table = tmp_path / "chip.csv"
    table.write_text("circuit;tau_mem_us;leak_lsb\n0;9,5;81\n511;;60\n")
    target = chip("calibrated", serial=5, measured=str(table))
    found = {quantity.name: quantity.values for quantity in target.fixed_pattern()}
    drawn = Chip("calibrated", serial=5).fixed_pattern
    assert found["tau_mem_us"][0] == 9.5 and found["leak_lsb"][[0, 511]].tolist() == [81.0, 60.0]
    np.testing.assert_array_equal(found["leak_lsb"][1:511], drawn.leak_lsb[1:511])
    assert np.flatnonzero(found["leak_lsb_measured"]).tolist() == [0, 511] and "reset_lsb_measured" not in found
    assert target.label == "emulated chip calibrated, serial 5, some circuits as measured"
    assert "given as measured: leak_lsb of 2, tau_mem_us of 1; all others were drawn" in target.provenance.source
    assert BrainscalesTarget.provenance == chip("calibrated").provenance != target.provenance
    target.write(network)
    for content, told in (
        ("circuit,tau_mem_us\n3,6e-6", r"^target\.measured: file .*/chip\.csv: tau_mem_us\[3\] = 6e-06 us is outside"),
        ("circuit,threshold_lsb\n3,1", r"^target\.measured: threshold_lsb\[3\] = 1 LSB is not above reset_lsb"),
    ):
        table.write_text(content)
        with pytest.raises(UserError, match=told):
            chip("calibrated", serial=5, measured=str(table))
    with pytest.raises(UserError, match=r"^target\.measured: file nowhere\.csv doesn't exist"):
        chip(measured="nowhere.csv")


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
@pytest.mark.parametrize("make", [lambda: chip(), lambda: IdealTarget(1.0, 2)])
def test_only_infinity_is_no_spike(network, inputs, make, bad):
    target = make()
    target.write(network)
    inputs = inputs.copy()
    inputs[3, 2] = bad
    with pytest.raises(UserError, match=r"inputs\[3, 2\] = "):
        target.run(inputs, 1)
