"""One of each of the objects that people send to other processes, and what it answers when it is used.

Each maker returns an object that has been used already, and a function that goes on with it; the function belongs to a
module, so that both can go to another process.
"""

from functools import partial

import numpy as np

from brainscales_emu import preset
from brainscales_emu.adex import AdexConfig
from brainscales_emu.calibration.instrument import Instrument
from brainscales_emu.chip import Chip
from brainscales_emu.config import ChipConfig, EventPathConfig, NoiseConfig
from brainscales_emu.execution import Phase
from brainscales_emu.mac import MacArray, MacConfig
from brainscales_emu.multichip import Setup
from brainscales_emu.network import FixedProbability, Network, SpikeSourceArray, SpikeSourcePoisson
from brainscales_emu.readout.correlation import CorrelationConfig, CorrelationSensors
from brainscales_emu.recording import Probe
from brainscales_emu.routing.placement import External, Population, Projection, place
from memristor.config import CrossbarConfig
from memristor.controller import Controller, Program
from memristor.costs import CostTable
from memristor.crossbar import Crossbar
from memristor.presets import preset as device
from neurohil.delgrad.model import SpikeTimeModel
from neurohil.delgrad.run import DelGradRun
from neurohil.kinds import KINDS
from neurohil.metaplasticity.run import MetaplasticityRun
from neurohil.protocols import Layer
from neurohil.targets.crossbar_bench import CrossbarBench
from neurohil.targets.matrix.brainscales import BrainscalesMatrixConfig, BrainscalesMatrixTarget
from neurohil.targets.matrix.crossbar import CrossbarTarget, CrossbarTargetConfig
from neurohil.targets.matrix.ideal import IdealMatrixTarget
from neurohil.targets.spiking.brainscales import BrainscalesConfig, BrainscalesTarget
from neurohil.targets.spiking.ideal import IdealTarget

TINY_DELGRAD = ["network.hidden=4", "epochs=3"]
TINY_TASKS = ["network.hidden=[6]", "tasks.train_images=60", "tasks.test_images=20", "training.epochs=1",
              "training.batch=20"]  # fmt: skip


def placed():
    """Noisy, recurrent, with delays."""
    rng = np.random.default_rng(3)
    inputs, neurons = External("input", 6), Population("neurons", 20)
    feed, back = rng.integers(20, 64, (6, 20)), rng.integers(-40, 64, (20, 20)) * (rng.random((20, 20)) < 0.25)
    placement = place([inputs, neurons], [Projection(inputs, neurons, feed), Projection(neurons, neurons, back)])
    times = np.sort(rng.uniform(0.0, 60.0, 60))
    return placement, times, placement.lines["input"][rng.integers(0, 6, 60)]


def written_chip(config, serial=3):
    chip = Chip(config, serial, 1)
    chip.write(placed()[0].fabric)
    return chip


def run_chip(chip):
    _, times, lines = placed()
    probe = Probe([int(chip.members[0][0])], [10.0, 20.0])
    seen = chip.run(times, lines, 100.0, chip.account.runs, probe)
    assert seen.ticks.size > 20
    return [seen.ticks, seen.circuits, seen.analogue_times_us, seen.membrane_lsb, [chip.account.recorded_events]]


def chip(**changes):
    made = written_chip(ChipConfig(noise=NoiseConfig(threshold_noise_std_lsb=2.0, tau_mem_std=0.1), **changes))
    run_chip(made)
    return made, run_chip


def session():
    chip = written_chip(preset("calibrated"))
    _, times, lines = placed()
    made = chip.begin(times, lines, 100.0, 0)
    made.advance(30.0)
    return made, finish_session


def finish_session(session):
    times, sources = session.advance(np.inf)
    assert times.size > 10
    seen = session.finish((Phase("upload", 0, 1), Phase("read-back", 1, 2)))
    return [times, sources, seen.ticks, seen.circuits]


def network():
    net = Network(Chip(preset("calibrated"), 3, 1))
    source = net.Population(1, SpikeSourceArray([5.0, 30.0]))
    noise = net.Population(4, SpikeSourcePoisson(20_000.0))
    groups = [net.Population(3, label=label) for label in "abc"]
    for group in groups:
        net.Projection(source, group, weight=300)
        net.Projection(noise, group, FixedProbability(0.5, seed=1), weight=40)
        net.record(group, ["spikes", "v"])
    net.run(60.0)
    return net, run_network


def run_network(net):
    net.run(60.0)
    return [array for group in net.populations[2:] for array in (*net.spikes(group), *net.v(group))]


def setup():
    made = Setup([written_chip(preset("calibrated"), serial) for serial in (1, 2)])
    fabric, n_lines = placed()[0].fabric, placed()[0].fabric.external_label.size
    links = [(a, int(placed()[0].neurons["neurons"][k, 0]), 1 - a, k % n_lines) for a in (0, 1) for k in range(6)]
    made.write([fabric, fabric], links)
    run_setup(made)
    return made, run_setup


def run_setup(setup):
    _, times, lines = placed()
    seen = setup.run([times, times[:5]], [lines, lines[:5]], 100.0, setup.chips[0].account.runs)
    return [array for one in seen.chips for array in (one.ticks, one.circuits, one.analogue_times_us)]


def instrument():
    made = Instrument(preset("uncalibrated"), 3, 1, circuits=np.arange(4))
    return made, read_instrument


def read_instrument(instrument):
    seen = instrument.run([5.0], 30, 40.0, 2.0)
    return [seen.readings, instrument.sample(120.0, 3)]


def mac():
    return MacArray(MacConfig(), 3, 1), run_mac


def run_mac(array):
    rng = np.random.default_rng(1)
    matrix = array.program(rng.integers(-63, 64, (20, 5)))
    return [array.multiply(matrix, rng.integers(0, 32, (4, 20)), array.vectors), [array.vectors]]


def sensors():
    return CorrelationSensors(CorrelationConfig(), 3, 0), read_sensors


def read_sensors(sensors):
    return [sensors.accumulated_lsb]


LAYERS = [Layer(np.full((5, 4), 1.5), axonal=np.full(5, 2.0)), Layer(np.full((4, 3), 1.5))]
SYNAPTIC = [Layer(np.full((5, 4), 1.5), synaptic=np.full((5, 4), 1.0)), Layer(np.full((4, 3), 1.5))]


def spiking(target, layers=LAYERS):
    target.write(layers)
    run_spiking(target)
    return target, run_spiking


def run_spiking(target):
    times = np.random.default_rng(2).uniform(0.0, 2.0, (6, 5))
    seen = target.run(times, 1)
    assert np.isfinite(seen[-1].spikes).any()
    return [array for layer in seen for array in layer] + [list(target.account().values())]


def ideal_target():
    return spiking(IdealTarget(2.6, 2))


def chip_target():
    return spiking(BrainscalesTarget(BrainscalesConfig(preset="w66f3", serial=70), 2.6, 2, 1))


def beyond_target():
    made = BrainscalesTarget(BrainscalesConfig(preset="calibrated", serial=70, delays="beyond"), 2.6, 2, 1)
    return spiking(made, SYNAPTIC)


SHAPES = [(20, 6), (6, 3)]


def matrix(target):
    rng = np.random.default_rng(1)
    target.write([rng.integers(-3, 4, shape) for shape in SHAPES])
    target.calibrate(0, rng.random((8, 20), dtype=np.float32))
    run_matrix(target)
    return target, run_matrix


def run_matrix(target):
    rng = np.random.default_rng(2)
    products = target.multiply(0, rng.random((5, 20), dtype=np.float32), 7)
    target.wait(10.0)
    target.write([rng.integers(-3, 4, shape) for shape in SHAPES])
    return [products, target.read(1, 0), *target.state().values()]


def ideal_matrix_target():
    return matrix(IdealMatrixTarget(3, 1.0))


def chip_matrix_target():
    return matrix(BrainscalesMatrixTarget(BrainscalesMatrixConfig(), SHAPES, 3, 1.0, 1))


def crossbar_target():
    return matrix(CrossbarTarget(CrossbarTargetConfig(array={"tile_rows": 8, "tile_columns": 8}), SHAPES))


def bench():
    made = CrossbarBench(CrossbarTargetConfig(array={"tile_rows": 8, "tile_columns": 8}), seed=1)
    run_bench(made)
    return made, run_bench


def run_bench(bench):
    writing = bench.write(bench.random_weights())
    bench.wait(100.0)
    return [writing.pulses, bench.conductance_uS(), bench.state()]


def crossbar():
    made = Crossbar((12, 5), CrossbarConfig(device(), tile_rows=8, tile_columns=8), serial=4, seed=4)
    run_crossbar(made)
    return made, run_crossbar


def run_crossbar(crossbar):
    rng = np.random.default_rng(1)
    report = crossbar.write(rng.integers(-2, 3, (12, 5)), only_changed=False)
    crossbar.calibrate(rng.random((6, 12)))
    crossbar.age(5.0)
    return [[report.pulses], crossbar.multiply(rng.random((3, 12)))]


def controller():
    made = Controller([crossbar()[0]], CostTable(), 2, log_pulses=True)
    run_controller(made)
    return made, run_controller


def run_controller(controller):
    report = controller.execute(Program(0, np.random.default_rng(5).integers(-2, 3, (12, 5)), only_changed=False))
    return [[report.pulses, controller.now_ns], *controller.pulse_log()]


def run_epoch(run):
    run.train_epoch()
    state = run.state()
    return list(state.values()) if isinstance(state, dict) else [state]


def delgrad_run(experiment="yin_yang_axonal"):
    made = DelGradRun(KINDS["delgrad"].load(experiment, TINY_DELGRAD))
    made.train_epoch()
    return made, run_epoch


def metaplasticity_run(experiment="mnist_fashion_crossbar"):
    made = MetaplasticityRun(KINDS["metaplasticity"].load(experiment, TINY_TASKS))
    made.train_epoch()
    return made, run_epoch


def spike_time_model():
    return SpikeTimeModel(ideal_target()[0], LAYERS, 30.0), run_model


def run_model(model):
    return [model(np.random.default_rng(2).uniform(0.0, 2.0, (6, 5)))]


MAKERS = {
    "chip": chip,
    "chip with limited event path": partial(chip, event_path=EventPathConfig()),
    "chip with AdEx": partial(chip, adex=AdexConfig()),
    "session": session,
    "network": network,
    "setup of two chips": setup,
    "instrument": instrument,
    "matrix mode": mac,
    "correlation sensors": sensors,
    "ideal target": ideal_target,
    "chip target": chip_target,
    "target beyond the chip": beyond_target,
    "ideal matrix target": ideal_matrix_target,
    "chip matrix target": chip_matrix_target,
    "crossbar target": crossbar_target,
    "crossbar bench": bench,
    "crossbar": crossbar,
    "controller": controller,
    "delgrad run": delgrad_run,
    "metaplasticity run": metaplasticity_run,
    "NeuroBench model": spike_time_model,
}
