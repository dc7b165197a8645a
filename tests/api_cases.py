"""Valid calls of all public functions that hand something to a kernel, and of some on the way there.

A case makes fresh objects and returns the call with its arguments; `walk` changes the arguments.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from brainscales_emu import preset as chip_preset
from brainscales_emu.capmem import median_codes
from brainscales_emu.chip import Chip
from brainscales_emu.delay import register_to_us, us_to_register
from brainscales_emu.links import PackLink
from brainscales_emu.mac import MacArray, MacConfig
from brainscales_emu.multichip import Setup
from brainscales_emu.readable.correlation import neighbour_lags
from brainscales_emu.readout.adc import Cadc, CadcConfig, Madc, MadcConfig, count_spikes
from brainscales_emu.readout.correlation import CorrelationConfig, CorrelationSensors
from brainscales_emu.recording import Probe
from brainscales_emu.routing.placement import place_feedforward
from brainscales_emu.session import Session
from brainscales_emu.stp import Plasticity
from memristor import programming
from memristor.config import CrossbarConfig
from memristor.converters import AdcConfig, DacConfig, calibrate, digitise, encode, read_noise
from memristor.crossbar import Crossbar
from memristor.device import Cells
from memristor.parasitics import WireConfig, effective_matrix, refresh, solve, solve_dense, with_access
from memristor.presets import preset
from memristor.tile import Tile
from neurohil.delgrad import losses as delgrad_losses
from neurohil.delgrad.network import Network as DelgradNetwork
from neurohil.delgrad.network import NetworkConfig as DelgradConfig
from neurohil.first_spike import kernels as delgrad_kernels
from neurohil.first_spike import spike_time
from neurohil.metaplasticity import consolidation
from neurohil.metaplasticity import kernels as metaplasticity_kernels
from neurohil.metaplasticity.accounts import write_statistics
from neurohil.metaplasticity.network import cross_entropy
from neurohil.metaplasticity.quantizer import Quantizer
from neurohil.optimizers import Adam
from neurohil.protocols import Layer, LayerTimes
from neurohil.targets.matrix.brainscales import BrainscalesMatrixConfig, BrainscalesMatrixTarget
from neurohil.targets.matrix.crossbar import CrossbarTarget, CrossbarTargetConfig
from neurohil.targets.matrix.ideal import IdealMatrixTarget
from neurohil.targets.spiking.brainscales import BrainscalesConfig, BrainscalesTarget
from neurohil.targets.spiking.ideal import IdealTarget


class Call(NamedTuple):
    """A call, its valid arguments, other words by which a message may name them, and what a refused call must leave."""

    function: Callable[..., Any]
    arguments: dict[str, Any]
    names: tuple[str, ...] = ()
    state: Callable[[], Mapping[str, np.ndarray]] | None = None
    warns: bool = False  # sums of the readable reference overflow for inputs that the kernels refuse


CASES: dict[str, Callable[[], Call]] = {}


def case(*names: str) -> Callable[[Callable[[], Call]], Callable[[], Call]]:
    def add(make: Callable[[], Call]) -> Callable[[], Call]:
        for name in names:
            CASES[name] = make
        return make

    return add


# The chip


@cache
def _placement():
    return place_feedforward(3, [np.full((3, 2), 63)], [np.full(3, 60)])


def _chip(name: str = "calibrated") -> Chip:
    chip = _written(name)
    chip.write(_placement().fabric)
    return chip


@cache
def _written(name: str) -> Chip:
    chip = Chip(chip_preset(name), serial=1, seed=1)
    chip.write(_placement().fabric)
    return chip


def _events() -> dict[str, Any]:
    return {"times_us": np.array([1.0, 2.0, 30.0]), "lines": np.array([0, 2, 1]), "duration_us": 40.0, "trial": 1}


def _probed(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(circuits: Any, instants: Any, **arguments: Any) -> Any:
        return function(**arguments, probe=Probe(circuits, instants))

    return call


def _with_probe(function: Callable[..., Any]) -> Call:
    circuits = _placement().neurons["layer 0"][:, 0].copy()
    instants = np.array([0.0, 20.0, 40.0])
    return Call(_probed(function), _events() | {"circuits": circuits, "instants": instants}, ("probe.times_us",))


@case("brainscales_emu.chip.Chip.run")
def chip_run() -> Call:
    return _with_probe(_chip().run)


@case("brainscales_emu.chip.Chip.begin", "brainscales_emu.session.Session.__init__")
def chip_begin() -> Call:
    chip = _chip()
    return _with_probe(lambda **arguments: Session(chip, **arguments).advance(np.inf))


def _session() -> Session:
    return _chip().begin(**_events())


@case("brainscales_emu.session.Session.receive")
def session_receive() -> Call:
    session = _session()
    session.advance(5.0)

    def call(times_us: Any, lines: Any) -> None:
        session.receive(times_us, lines)
        session.advance(np.inf)

    return Call(call, {"times_us": np.array([6.0, 7.0, 7.0]), "lines": np.array([2, 0, 1])})


@case("brainscales_emu.session.Session.advance")
def session_advance() -> Call:
    session = _session()
    session.advance(5.0)
    return Call(session.advance, {"until_us": 20.0})


@case("brainscales_emu.session.Session.rewrite")
def session_rewrite() -> Call:
    session = _session()
    session.advance(5.0)

    def call(weight: Any) -> None:
        session.rewrite(weight)
        session.advance(np.inf)

    return Call(call, {"weight": _placement().fabric.weight.copy()})


@case("brainscales_emu.links.PackLink.__init__", "brainscales_emu.links.PackLink.send")
def pack_link() -> Call:
    def call(per_cycle: Any, depth: Any, cycles: Any) -> None:
        PackLink(per_cycle, depth).send(cycles)

    return Call(call, {"per_cycle": 2, "depth": 1, "cycles": np.array([0, 0, 0, 0, 5])})


@case("brainscales_emu.multichip.Setup.run")
def setup_run() -> Call:
    chips = [Chip(chip_preset("ideal"), serial=k, seed=k) for k in (1, 2)]
    setup = Setup(chips)
    setup.write([_placement().fabric] * 2, np.zeros((0, 4), dtype=int))

    def call(times_us: Any, lines: Any, duration_us: Any, trial: Any) -> None:
        setup.run([times_us, []], [lines, []], duration_us, trial)

    return Call(call, _events())


@case("brainscales_emu.chip.Chip.write")
def chip_write() -> Call:
    chip = _chip()

    def call(synapse_delay_us: Any) -> None:
        chip.write(_placement().fabric, synapse_delay_us=synapse_delay_us)
        chip.run(**_events())

    return Call(call, {"synapse_delay_us": np.where(_placement().fabric.weight > 0, 1.5, 0.0)})


@case("brainscales_emu.routing.placement.place_feedforward", "brainscales_emu.routing.fabric.Fabric.with_weights")
def place() -> Call:
    def call(weights: Any, delay_registers: Any) -> None:
        place_feedforward(3, [weights], [delay_registers])

    return Call(call, {"weights": np.full((3, 2), 9), "delay_registers": np.full(3, 60)})


@case("brainscales_emu.stp.Plasticity")
def plasticity() -> Call:
    codes = {name: np.zeros((2, 128), dtype=int) for name in ("utilisation", "recovery", "offset", "voltages")}
    return Call(Plasticity, {"enabled": np.zeros((2, 128), dtype=bool)} | codes)


@case("brainscales_emu.capmem.Codes.replace")
def codes_replace() -> Call:
    return Call(median_codes(chip_preset("ideal")).replace, {"leak": np.full(512, 400), "tau_mem": 300})


@case("brainscales_emu.delay.register_to_us")
def to_us() -> Call:
    return Call(register_to_us, {"registers": np.array([50, 250])}, ("delay_register",))


@case("brainscales_emu.delay.us_to_register")
def to_register() -> Call:
    return Call(us_to_register, {"delays_us": np.array([8.25, 33.25])}, ("chip.delay",))


@case("brainscales_emu.readout.adc.Cadc.convert")
def cadc_convert() -> Call:
    cadc = Cadc(CadcConfig(), 1, 1)
    return Call(cadc.convert, {"potential_lsb": np.full((2, 3), 80.0), "circuits": np.array([5, 511]), "trial": 1})


@case("brainscales_emu.readout.adc.Cadc.write_offsets")
def cadc_offsets() -> Call:
    return Call(Cadc(CadcConfig(), 1, 1).write_offsets, {"registers": np.zeros((2, 512), dtype=int)}, ("cadc.offset",))


@case("brainscales_emu.readout.adc.Madc.convert")
def madc_convert() -> Call:
    madc = Madc(MadcConfig(), 1)
    return Call(madc.convert, {"potential_lsb": np.full((2, 3), 80.0), "circuits": np.array([4, 7]), "trial": 1})


@case("brainscales_emu.readout.adc.count_spikes")
def counters() -> Call:
    return Call(count_spikes, {"circuits": np.array([0, 511, 3])})


@case("brainscales_emu.readout.correlation.CorrelationSensors.observe")
def correlation() -> Call:
    events = {"event_times_us": np.array([1.0, 4.0]), "rows": np.array([0, 255]), "columns": np.array([3, 3])}
    spikes = {"spike_times_us": np.array([2.0, 5.0, 9.0]), "spike_columns": np.array([3, 3, 255])}
    return Call(CorrelationSensors(CorrelationConfig(), 1, 0).observe, events | spikes)


@case("brainscales_emu.readable.correlation.neighbour_lags")
def lags() -> Call:
    names = ("event_times_us", "spike_times_us")
    return Call(neighbour_lags, {"events_us": np.array([1.0, 4.0]), "spikes_us": np.array([2.0])}, names)


@case("brainscales_emu.mac.MacArray.program", "brainscales_emu.mac.MacArray.multiply")
def mac() -> Call:
    array = _mac()

    def call(weights: Any, inputs: Any, trial: Any, num_sends: Any) -> None:
        array.multiply(array.program(weights), inputs, trial, num_sends=num_sends)

    arguments = {"weights": np.full((3, 2), -63), "inputs": np.full((4, 3), 31, np.uint8), "trial": 1, "num_sends": 2}
    return Call(call, arguments)


@cache
def _mac() -> MacArray:
    return MacArray(MacConfig(), 1, 1)


# The crossbar

_MODEL = preset("hfox_wan2022")
_CELLS = {"rows": np.array([0, 2, 3]), "columns": np.array([1, 0, 2]), "targets_uS": np.array([0.0, 20.0, 40.0])}


def _cells() -> Cells:
    cells = Cells(_MODEL, (4, 3))
    cells.program(**_CELLS, now_s=1.0)
    return cells


def _copied(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in arguments.items()}


@case("memristor.device.Cells.__init__", "memristor.tile.Tile")
def cells_init() -> Call:
    def call(rows: Any, columns: Any, **numbers: Any) -> None:
        Cells(_MODEL, (rows, columns), **numbers)

    return Call(call, {"rows": 4, "columns": 3, "serial": 1, "seed": 1})


def _of_cells(function: str) -> Callable[[], Call]:
    def make() -> Call:
        cells = _cells()
        return Call(getattr(cells, function), _copied(_CELLS) | {"now_s": 2.0}, ("cell [",), cells.state)

    return make


for _name in ("program", "pulse"):
    CASES[f"memristor.device.Cells.{_name}"] = _of_cells(_name)


@case("memristor.device.Cells.select", "memristor.device.Cells.cycle")
def cells_cycle() -> Call:
    from memristor.device import Selection

    cells = _cells()

    def call(now_s: Any, **chosen: Any) -> None:
        cells.select(**chosen)
        cells.cycle(Selection(**chosen), now_s)

    return Call(call, _copied(_CELLS) | {"now_s": 2.0}, ("cell [",), cells.state)


@case("memristor.device.Cells.relax", "memristor.device.Cells.check_time")
def cells_relax() -> Call:
    cells = _cells()
    return Call(cells.relax, {"now_s": 5.0}, (), cells.state)


@case("memristor.device.Cells.add_cycles")
def cells_add() -> Call:
    cells = _cells()
    return Call(cells.add_cycles, {"cycles": 10}, (), cells.state)


@case("memristor.device.Cells.expected_failed")
def cells_expected() -> Call:
    return Call(_cells().expected_failed, {"cycles": np.array([1.0, 1e6])})


@case("memristor.device.Cells.load_state")
def cells_load() -> Call:
    cells = _cells()

    def call(**state: Any) -> None:
        cells.load_state(state)
        cells.relax(9.0)
        cells.program(**_CELLS, now_s=9.0)

    return Call(call, dict(cells.state()), ("now_s",))


@case("memristor.tile.Tile.relax")
def tile_relax() -> Call:
    tile = Tile(_MODEL, (4, 3), WireConfig())
    return Call(tile.relax, {"now_s": 5.0}, (), tile.state)


@case("memristor.tile.Tile.voltages", "memristor.tile.Tile.multiply")
def tile_voltages() -> Call:
    tile = Tile(_MODEL, (4, 3), WireConfig())

    def call(v_V: Any) -> None:
        tile.voltages(v_V)
        tile.multiply(np.array([v_V]))

    return Call(call, {"v_V": np.full(4, 0.2)}, (), tile.state)


def _programming(function: str, **limits: Any) -> Callable[[], Call]:
    def make() -> Call:
        cells = _cells()

        def call(**arguments: Any) -> None:
            getattr(programming, function)(cells, **arguments)

        return Call(call, _copied(_CELLS) | {"now_s": 2.0} | limits, ("cell [",), cells.state)

    return make


CASES["memristor.programming.one_shot"] = _programming("one_shot")
CASES["memristor.programming.write_verify"] = _programming("write_verify", tolerance_uS=1.0, max_pulses=10, wait_s=1.0)
CASES["memristor.programming.incremental"] = _programming("incremental", tolerance_uS=1.0, max_pulses=10)


def _crossbar() -> Crossbar:
    crossbar = Crossbar((4, 3), CrossbarConfig(_MODEL, adc=AdcConfig(range_uA=20.0)))
    crossbar.write(np.array([[1, -7, 0], [7, 3, 2], [0, 0, 1], [5, 5, 5]]))
    return crossbar


@case("memristor.crossbar.Crossbar.__init__")
def crossbar_init() -> Call:
    def call(inputs: Any, outputs: Any, **choices: Any) -> None:
        Crossbar((inputs, outputs), **choices)

    return Call(call, {"inputs": 4, "outputs": 3, "levels": 9, "device": "ideal", "serial": 1, "seed": 1}, ("preset",))


@case("memristor.crossbar.Crossbar.age")
def crossbar_age() -> Call:
    crossbar = _crossbar()
    return Call(crossbar.age, {"seconds": 1.0}, (), crossbar.state)


@case("memristor.crossbar.Crossbar.read")
def crossbar_read() -> Call:
    crossbar = _crossbar()
    return Call(crossbar.read, {"trial": 1}, (), crossbar.state)


@case("memristor.crossbar.Crossbar.multiply")
def crossbar_multiply() -> Call:
    crossbar = _crossbar()
    return Call(crossbar.multiply, {"x": np.full((2, 4), 0.5), "trial": 1}, (), crossbar.state)


@case("memristor.crossbar.Crossbar.calibrate")
def crossbar_calibrate() -> Call:
    crossbar = _crossbar()
    return Call(crossbar.calibrate, {"x": np.full((2, 4), 0.5)}, ("observed currents",), crossbar.state)


@case("memristor.crossbar.Crossbar.plan", "memristor.crossbar.Crossbar.write")
def crossbar_write() -> Call:
    crossbar = _crossbar()
    return Call(crossbar.write, {"levels": np.full((4, 3), -7)}, (), crossbar.state)


@case("memristor.crossbar.Crossbar.program")
def crossbar_program() -> Call:
    crossbar = _crossbar()
    (job,) = crossbar.plan(np.full((4, 3), -7))

    def call(**changes: Any) -> None:
        crossbar.program(job._replace(**changes))

    return Call(call, _copied(job._asdict() | {"tile": (0, 0)}), ("job", "cell ["), crossbar.state)


@case("memristor.crossbar.Crossbar.load_state")
def crossbar_load() -> Call:
    crossbar = _crossbar()

    def call(**state: Any) -> None:
        crossbar.load_state(state)
        crossbar.multiply(np.full((2, 4), 0.5))
        crossbar.write(np.full((4, 3), -7))

    return Call(call, dict(crossbar.state()), ("state", "levels", "now_s", "range"))


_G = np.array([[1.0, 20.0], [40.0, 0.0], [3.0, 3.0]])


@case("memristor.parasitics.solve")
def wires_solve() -> Call:
    def call(**arguments: Any) -> None:
        solve(wires=WireConfig(), **arguments)

    return Call(call, {"g_uS": _G.copy(), "v_V": np.full((2, 3), 0.2), "tolerance": 1e-9, "max_sweeps": 2000})


@case("memristor.parasitics.solve_dense")
def wires_dense() -> Call:
    return Call(lambda **a: solve_dense(wires=WireConfig(), **a), {"g_uS": _G.copy(), "v_V": np.full(3, 0.2)})


@case("memristor.parasitics.effective_matrix")
def wires_effective() -> Call:
    return Call(lambda **a: effective_matrix(wires=WireConfig(), **a), {"g_uS": _G.copy()})


@case("memristor.parasitics.refresh")
def wires_refresh() -> Call:
    wires = WireConfig(column_ohm=0.0)
    arguments = {"g_eff_uS": effective_matrix(_G, wires), "g_uS": 0.5 * _G, "rows": np.array([0, 2])}
    return Call(lambda **a: refresh(wires=wires, **a), arguments)


@case("memristor.parasitics.with_access")
def wires_access() -> Call:
    return Call(with_access, {"g_uS": _G.copy(), "access_ohm": 100.0})


@case("memristor.converters.encode")
def converters_encode() -> Call:
    return Call(lambda x: encode(DacConfig(bit_serial=True), x), {"x": np.full((2, 4), -0.5)})


@case("memristor.converters.digitise", "memristor.converters.calibrate", "memristor.converters.read_noise")
def converters_rest() -> Call:
    def call(currents_uA: Any, percentile: Any, keys: Any, n: Any) -> None:
        calibrate(currents_uA, percentile)
        digitise(currents_uA, 1.0, 0.0, -7, 7)
        read_noise(keys, n)

    keys = np.array([[1, 2], [3, 4]], np.uint32)
    currents = np.array([1.0, -3.0, 9.0])
    return Call(call, {"currents_uA": currents, "percentile": 99.0, "keys": keys, "n": 5}, ("observed currents",))


@case("memristor.mapping.Mapping.to_conductance", "memristor.mapping.Mapping.difference")
def mapping() -> Call:
    config = CrossbarConfig(_MODEL).mapping()

    def call(levels: Any, columns: Any) -> None:
        config.to_conductance(levels)
        config.difference(columns)

    return Call(call, {"levels": np.array([[1, -7], [0, 7]]), "columns": np.full((2, 4), 20.0)})


@case("memristor.device_model.DeviceModel")
def device_model() -> Call:
    def call(g_uS: Any, age_s: Any) -> None:
        for name in ("relax_sigma_uS", "relax_mean_uS", "read_sigma_uS"):
            getattr(_MODEL, name)(g_uS, age_s)

    return Call(call, {"g_uS": np.array([1.0, 40.0]), "age_s": np.array([0.0, 1e5])}, ("shape",))


# The host


def _layer(**more: Any) -> dict[str, Any]:
    arrivals = np.array([[0.0, 1.0, np.inf], [0.0, 0.5, 1.0]])
    return {"arrivals": arrivals, "weights": np.ones((3, 2)), "threshold": 0.5, "tau_ratio": 2} | more


@case("neurohil.first_spike.kernels.spike_times")
def spike_times() -> Call:
    return Call(delgrad_kernels.spike_times, _layer(delays=np.full((3, 2), 0.1)), ("a delay", "a weight"))


@case("neurohil.first_spike.kernels.gradients")
def gradients() -> Call:
    more = {"spikes": np.full((2, 2), 2.0), "errors": np.ones((2, 2)), "max_dw": 0.2, "delays": np.full((3, 2), 0.1)}
    return Call(delgrad_kernels.gradients, _layer(**more), ("a delay", "a weight"))


@case("neurohil.first_spike.kernels.count_silent")
def count_silent() -> Call:
    arguments = {"spikes": np.array([[1.0, np.inf], [np.inf, np.inf]]), "heard": np.array([True, False])}
    return Call(delgrad_kernels.count_silent, arguments)


def _loss(loss: Any) -> Callable[[], Call]:
    def make() -> Call:
        def call(times: Any, labels: Any) -> None:
            loss(times, labels)
            loss.decide(times)

        return Call(call, {"times": np.array([[1.0, 2.0], [np.inf, 0.5], [3.0, 3.0]]), "labels": np.array([0, 1, 1])})

    return make


for _config in (delgrad_losses.ShiftInvariantMse(0.2), delgrad_losses.CrossEntropy()):
    for _method in ("__call__", "decide"):
        CASES[f"neurohil.delgrad.losses.{type(_config).__name__}.{_method}"] = _loss(_config)
for _method in ("__call__", "decide"):
    CASES[f"neurohil.delgrad.losses.MeanSquaredError.{_method}"] = _loss(delgrad_losses.MeanSquaredError(0.9, 1.4))


@case("neurohil.optimizers.Adam.__init__", "neurohil.optimizers.Adam.step", "neurohil.optimizers.Adam.load_state")
def adam() -> Call:
    adam = Adam([np.zeros((2, 3)), np.zeros(2)])

    def call(parameter: Any, gradient: Any, rate: Any, state: Any) -> None:
        adam.step([parameter, np.zeros(2)], [gradient, np.ones(2)], [rate, 0.1])
        adam.load_state(state)

    arguments = {"parameter": np.zeros((2, 3)), "gradient": np.ones((2, 3)), "rate": 0.1, "state": np.zeros(17)}
    return Call(call, arguments)


@case("neurohil.delgrad.network.Network.gradients", "neurohil.delgrad.network.Network.load_parameters")
def network_gradients() -> Call:
    config = DelgradConfig(4, "none", 2, 1.0, (1.0, 1.0), (0.5, 0.5))
    network = DelgradNetwork(config, 3, 2, 1, np.random.default_rng(1))

    def call(arrivals: Any, spikes: Any, errors: Any, max_dw: Any, parameters: Any) -> None:
        network.load_parameters(parameters)
        observed = [LayerTimes(arrivals, np.ones((2, 4))), LayerTimes(np.ones((2, 4)), spikes)]
        network.gradients(observed, network.layers(), errors, max_dw)

    parameters = np.concatenate([parameter.ravel() for parameter in network.parameters])
    arguments = {"arrivals": np.zeros((2, 3)), "spikes": np.full((2, 2), 2.0), "errors": np.ones((2, 2)), "max_dw": 0.2}
    return Call(call, arguments | {"parameters": parameters})


@case("neurohil.targets.spiking.ideal.IdealTarget.run", "neurohil.targets.spiking.ideal.IdealTarget.record")
def ideal_run() -> Call:
    target = IdealTarget(0.5, 2)

    def call(inputs: Any, sample: Any, weights: Any, delays: Any) -> None:
        target.write([Layer(weights, dendritic=delays)])
        target.run(inputs, 1)
        target.record(sample, 1, 5.0)

    arguments = {"inputs": np.array([[0.0, 1.0, np.inf]]), "sample": np.array([0.0, 1.0, np.inf])}
    arguments |= {"weights": np.ones((3, 2)), "delays": np.full(2, 0.1)}
    return Call(call, arguments, ("arrivals", "a delay", "a weight"))


@cache
def _chip_target() -> BrainscalesTarget:
    return BrainscalesTarget(BrainscalesConfig(preset="calibrated", serial=1), 0.5, 2, 1)


@case(
    "neurohil.targets.spiking.brainscales.BrainscalesTarget.run",
    "neurohil.targets.spiking.brainscales.BrainscalesTarget.write",
)
def chip_target_run() -> Call:
    target = _chip_target()

    def call(inputs: Any, weights: Any, axonal: Any, trial: Any) -> None:
        target.write([Layer(weights, axonal=axonal)])
        target.run(inputs, trial)

    arguments = {"inputs": np.array([[0.0, 1.0, np.inf]]), "weights": np.full((3, 2), 0.1), "axonal": np.full(3, 2.0)}
    return Call(call, arguments | {"trial": 1}, ("input spikes", "network.delay", "delay_registers"))


@case("neurohil.metaplasticity.kernels.update", "neurohil.metaplasticity.consolidation.update")
def metaplasticity_update() -> Call:
    arrays: dict[str, Any] = {n: np.full((2, 3), 0.1, np.float32) for n in ("hidden", "mean", "square", "gradient")}
    arrays |= {"levels": np.ones((2, 3), np.int8), "events": np.zeros((2, 3), np.int32)}
    numbers = {"strength": 2.0, "rate": 0.01, "decay": 0.0, "margin": 0.5}

    def call(**arguments: Any) -> None:
        metaplasticity_kernels.update(**arguments, rule="inner_threshold", quantizer=Quantizer())

    return Call(call, arrays | numbers)


@case("neurohil.metaplasticity.consolidation.distance", "neurohil.metaplasticity.quantizer.Quantizer.to_levels")
def hidden_weights() -> Call:
    def call(hidden: Any, levels: Any) -> None:
        consolidation.distance("local_binary", hidden, Quantizer())
        Quantizer().to_weights(Quantizer().to_levels(hidden))
        Quantizer().to_weights(levels)

    return Call(call, {"hidden": np.array([0.1, -0.9], np.float32), "levels": np.array([7, -7], np.int8)})


@case("neurohil.metaplasticity.network.cross_entropy")
def entropy() -> Call:
    return Call(cross_entropy, {"scores": np.zeros((2, 3), np.float32), "labels": np.array([0, 2])})


@case("neurohil.metaplasticity.accounts.write_statistics")
def statistics() -> Call:
    return Call(write_statistics, {"writes": np.array([[1, 2], [0, 99]])})


def _matrix_target(make: Callable[[], Any], *names: str) -> Callable[[], Call]:
    def build() -> Call:
        target = make()

        def call(levels: Any, x: Any, layer: Any, trial: Any) -> None:
            target.write([levels])
            target.calibrate(layer, x)
            target.multiply(layer, x, trial)
            target.read(layer, trial)

        arguments = {"levels": np.full((4, 3), -7), "x": np.full((2, 4), 0.5, np.float32), "layer": 0, "trial": 1}
        return Call(call, arguments, ("inputs", *names))

    return build


CASES["neurohil.targets.matrix.ideal.IdealMatrixTarget"] = _matrix_target(lambda: IdealMatrixTarget(7, 1.0))
CASES["neurohil.targets.matrix.crossbar.CrossbarTarget"] = _matrix_target(
    lambda: CrossbarTarget(CrossbarTargetConfig(), [(4, 3)]), "observed currents"
)
CASES["neurohil.targets.matrix.brainscales.BrainscalesMatrixTarget"] = _matrix_target(
    lambda: BrainscalesMatrixTarget(BrainscalesMatrixConfig(), [(4, 3)], 7, 1.0, 1)
)


def _reference(function: str) -> Callable[[], Call]:
    def make() -> Call:
        inputs = {"times": np.array([0.0, 0.5, np.inf]), "weights": np.array([2.0, 1.0, 1.0]), "tau_ratio": 2}
        more = {
            "membrane": {"t": np.array([1.0, 2.0])},
            "first_spike": {"threshold": 0.5},
            "measured_gradients": {"threshold": 0.5, "spike": 1.0},
            "implicit_gradients": {"spike": 1.0},
        }
        return Call(getattr(spike_time, function), inputs | more[function], warns=True)

    return make


for _name in ("membrane", "first_spike", "measured_gradients", "implicit_gradients"):
    CASES[f"neurohil.first_spike.spike_time.{_name}"] = _reference(_name)
