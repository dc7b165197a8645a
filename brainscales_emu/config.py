"""What can be set on the emulated chip, and named presets.

Potentials are in LSB of the chip's 8-bit membrane converter (CADC), times in us of chip time.
"""

from __future__ import annotations

import difflib
import reprlib
from dataclasses import dataclass, field, fields

from .adex import AdexConfig
from .constants import (
    MAX_POTENTIAL_LSB,
    MAX_REFRACTORY_US,
    MIN_REFRACTORY_US,
    TAU_MEM_RANGE_US,
    TAU_SYN_RANGE_US,
)
from .errors import ChipError, check_number, exact

# DelGrad code: one weight unit of the model is 30 LSB, the threshold is 2.6 units, and the kernel is
# (t / tau) exp(-t / tau) with tau = 6 us. The swing from leak to threshold is 70 LSB, so a synapse of weight n
# must add n * SYNAPTIC_GAIN LSB/us to the current for the chip to follow the model.
SYNAPTIC_GAIN = 70.0 / (2.6 * 30.0 * 6.0)

# DelGrad code: the biases at which it does so, the second as int(700 * 800 / 1022).
SYNAPSE_DAC_BIAS, SYNIN_GM = 1022, 547


@dataclass(frozen=True)
class NoiseConfig:
    """Spread from part to part (fixed pattern) and from trial to trial; the default is no noise at all.

    A block has 128 circuits, whose analogue parameters come from one block of cells.

    Attributes
    ----------
    tau_mem_std, tau_syn_std : float
        Relative standard deviation of the time constants of each circuit.
    block_tau_mem_std, block_tau_syn_std : float
        The same of a factor of each block; that of the two synaptic inputs is one factor.
    leak_std_lsb, reset_std_lsb, threshold_std_lsb : float
        Standard deviation of the potentials of each circuit, each on its own, in LSB.
    leak_reset_std_lsb : float
        Standard deviation of what leak and reset of a circuit have in common, in LSB.
    readout_std_lsb : float
        Standard deviation of the offset of a circuit's read-out, which shifts all its potentials alike, in LSB.
    block_leak_reset_std_lsb, block_threshold_std_lsb : float
        Standard deviation of the potentials of each block, in LSB.
    threshold_mean_lsb : float
        Shift of all thresholds, in LSB.
    neuron_gain_std : float
        Relative standard deviation of the synaptic input gain of each circuit, excitatory and inhibitory apart.
    circuit_gain_std, block_gain_std, chip_gain_std : float
        The same of a factor that both inputs of a circuit, all of a block, or all of the chip have in common. That of
        a block is the bias of its synapses' converters.
    driver_gain_std : float
        Relative standard deviation of the drive of each synapse row.
    weight_std : float
        Relative standard deviation of each synapse.
    delay_gain_std : float
        Relative standard deviation of the gain of each delay element.
    delay_offset_std_us : float
        Standard deviation of the offset of each delay element, in us.
    threshold_noise_std_lsb : float
        Trial noise: each threshold is redrawn at the start of a run and after each spike of its neuron.
    delay_jitter_us : float
        Trial noise: standard deviation of the delay of each event, drawn once per event.
    """

    tau_mem_std: float = 0.0
    tau_syn_std: float = 0.0
    block_tau_mem_std: float = 0.0
    block_tau_syn_std: float = 0.0
    leak_std_lsb: float = 0.0
    reset_std_lsb: float = 0.0
    threshold_std_lsb: float = 0.0
    leak_reset_std_lsb: float = 0.0
    readout_std_lsb: float = 0.0
    block_leak_reset_std_lsb: float = 0.0
    block_threshold_std_lsb: float = 0.0
    threshold_mean_lsb: float = 0.0
    neuron_gain_std: float = 0.0
    circuit_gain_std: float = 0.0
    block_gain_std: float = 0.0
    chip_gain_std: float = 0.0
    driver_gain_std: float = 0.0
    weight_std: float = 0.0
    delay_gain_std: float = 0.0
    delay_offset_std_us: float = 0.0
    threshold_noise_std_lsb: float = 0.0
    delay_jitter_us: float = 0.0

    def __post_init__(self) -> None:
        for entry in fields(self):
            name, value = f"chip.noise.{entry.name}", getattr(self, entry.name)
            if entry.name == "threshold_mean_lsb":
                check_number(name, value, -50.0, 50.0, "LSB", "move chip.threshold_lsb instead")
            elif entry.name.endswith("_lsb"):
                check_number(name, value, 0.0, 50.0, "LSB", "give a standard deviation in LSB")
            elif entry.name.endswith("_us"):
                check_number(name, value, 0.0, 1.0, "us", "give a standard deviation in us")
            else:
                check_number(name, value, 0.0, 1.0, "", "give a relative standard deviation, 0.05 for 5 %")


@dataclass(frozen=True)
class LinkConfig:
    """Host link and analogue settling. All of it is modelled: no published number of the real set-up was found,
    except for the settle time.

    Attributes
    ----------
    bandwidth_mbit_s : float
        Payload rate in each direction. Modelled as gigabit Ethernet.
    latency_us : float
        Time of flight of one transfer. Modelled.
    word_bits : int
        Size of one word of a playback program. Modelled.
    words_per_event : int
        Words of one input event or of one recorded spike. Modelled.
    settle_us : float
        Wait after analogue parameters were written: 20 ms in the vendor's calibration software.
    """

    bandwidth_mbit_s: float = 1000.0
    latency_us: float = 10.0
    word_bits: int = 64
    words_per_event: int = 1
    settle_us: float = 20_000.0

    def __post_init__(self) -> None:
        check_number("chip.link.bandwidth_mbit_s", self.bandwidth_mbit_s, 0.001, 1e6, "Mbit/s", "give a link rate")
        check_number("chip.link.latency_us", self.latency_us, 0.0, 1e6, "us", "give a time of flight")
        check_number("chip.link.word_bits", self.word_bits, 16, 1024, "bit", "give a word size", whole=True)
        check_number("chip.link.words_per_event", self.words_per_event, 1, 64, "", "give a count", whole=True)
        check_number("chip.link.settle_us", self.settle_us, 0.0, 1e6, "us", "give the settle time")


@dataclass(frozen=True)
class EventPathConfig:
    """How many events get through the digital part of the chip.

    A crossbar output lets one event pass per slot. Slots lie on a clock, slot n begins at n * slot_ns; an event that
    finds its slot taken waits for the next free one, and is dropped if as many as fit into the FIFO wait already.
    That outputs work so is modelled. No depth and no rate of the real chip is published, except that the FPGA handles
    up to three events per 8 ns cycle.

    Attributes
    ----------
    slot_ns : float
        Slot of an output to a PADI bus; 0 switches all limits off. Assumed: one cycle of the FPGA.
    fifo_depth : int
        Events that can wait at an output to a PADI bus. Assumed.
    l2_slot_ns, l2_fifo_depth : float, int
        The same for an output to the host. Assumed. A recorded spike's time stamp is taken when it passes (modelled).
    fpga_to_chip, chip_to_fpga : int
        Events per 8 ns cycle on the link into the chip and out of it, all channels together. 3 is the size of the
        largest pack in vendor software; that one pack goes per cycle is inferred. Towards the chip, late events shift,
        because the FPGA plays one after the other (modelled); from the chip, they wait in a FIFO of `l2_fifo_depth`
        and are dropped beyond it (modelled).
    """

    slot_ns: float = 8.0
    fifo_depth: int = 16
    l2_slot_ns: float = 8.0
    l2_fifo_depth: int = 16
    fpga_to_chip: int = 3
    chip_to_fpga: int = 3

    def __post_init__(self) -> None:
        if self.slot_ns != 0:
            check_number("chip.event_path.slot_ns", self.slot_ns, 1.0, 1e6, "ns", "give 0 for no limits")
        check_number("chip.event_path.l2_slot_ns", self.l2_slot_ns, 1.0, 1e6, "ns", "give the length of a slot")
        for name in ("fifo_depth", "l2_fifo_depth"):
            remedy = "give the number of events that can wait"
            check_number(f"chip.event_path.{name}", getattr(self, name), 0, 65536, "", remedy, whole=True)
        for name in ("fpga_to_chip", "chip_to_fpga"):
            remedy = "give the number of events per 8 ns cycle"
            check_number(f"chip.event_path.{name}", getattr(self, name), 1, 3, "", remedy, whole=True)


@dataclass(frozen=True)
class SaturationConfig:
    """How far the synaptic inputs push a membrane, see `engine.saturation`; the law is modelled.

    Attributes
    ----------
    lower_rail_lsb : float
        Inhibition alone pulls no membrane below it. Fit to the inhibitory stacked inputs of the vendor's tutorial
        ts_06: 140 MADC LSB below a rest at 80 LSB, with 2.7 MADC LSB per LSB.
    upper_linear_lsb : float
        Excitation adds up as far as this, like in ts_06 as far as its figure goes (489 MADC LSB). Neurons whose
        threshold isn't above it have a linear excitatory input: they spike before they get near.
    upper_rail_lsb : float
        Excitation alone pushes no membrane above it. Assumed: the end of the converter.
    """

    lower_rail_lsb: float = 28.0
    upper_linear_lsb: float = 166.0
    upper_rail_lsb: float = 255.0

    def __post_init__(self) -> None:
        remedy = "choose a potential that the 8-bit converter can read"
        for entry in fields(self):
            check_number(
                f"chip.saturation.{entry.name}", getattr(self, entry.name), 0.0, MAX_POTENTIAL_LSB, "LSB", remedy
            )
        for lower, upper in (("lower_rail_lsb", "upper_linear_lsb"), ("upper_linear_lsb", "upper_rail_lsb")):
            if getattr(self, upper) <= getattr(self, lower):
                raise ChipError(
                    f"chip.saturation.{upper} = {exact(getattr(self, upper))} LSB is not above "
                    f"chip.saturation.{lower} = {exact(getattr(self, lower))} LSB; raise the one or lower the other"
                )


@dataclass(frozen=True)
class StpConfig:
    """What the codes of the drivers' short-term plasticity are worth (see `stp`); all of it is modelled.

    Attributes
    ----------
    rest, target : (float, float)
        Efficacy at rest and after infinitely many events, 0..1, of each of the two sets of voltages. Set 0
        depresses, set 1 facilitates.
    slowest_recovery_us : float
        Recovery time of code 0; code n is 1 + n times as fast.
    offset_step : float
        Change of the efficacy per step of the offset code; code 8 is no change.
    """

    rest: tuple[float, float] = (1.0, 0.25)
    target: tuple[float, float] = (0.0, 1.0)
    slowest_recovery_us: float = 160.0
    offset_step: float = 0.02

    def __post_init__(self) -> None:
        for name in ("rest", "target"):
            values = getattr(self, name)
            if not isinstance(values, tuple) or len(values) != 2:
                raise ChipError(f"chip.stp.{name} = {values!r} is no pair; give the efficacies of set 0 and set 1")
            for index, value in enumerate(values):
                check_number(f"chip.stp.{name}[{index}]", value, 0.0, 1.0, "", "give a part of the full pulse")
        remedy = "give the recovery time of code 0"
        check_number("chip.stp.slowest_recovery_us", self.slowest_recovery_us, 0.1, 1e6, "us", remedy)
        check_number("chip.stp.offset_step", self.offset_step, 0.0, 0.1, "", "give the change per step")


@dataclass(frozen=True)
class ChipConfig:
    """Targets of all neuron circuits; the defaults are those of the DelGrad chip runs.

    Attributes
    ----------
    tau_mem_us, tau_syn_exc_us, tau_syn_inh_us : float
        Time constants of the membrane and of the two synaptic inputs.
    leak_lsb, reset_lsb, threshold_lsb : float
        Potentials. A leak above the threshold makes a pacemaker.
    refractory_us : float
        Time for which the membrane is held at reset after a spike. The chip takes the nearest that is a count of its
        clock, see `refractory`: of 20 us, 19.968 us.
    synaptic_gain : float
        Step of the synaptic current per event and weight LSB, in (membrane LSB per us) per weight LSB, at the biases
        of DelGrad's runs; see `event_gain`.
    synapse_dac_bias, synin_gm : int
        Codes of the bias of the synapses' converters and of the inputs' transconductance. The defaults are those of
        DelGrad's runs; those of the vendor's nightly calibration are 600 and 500.
    event_latency_us : float
        From a spike on the chip to its synapses. Not published; 0.08 us is inferred from the -80.4 ns by which
        vendor software shifts recorded spikes.
    exact_input_times : bool
        Play input events at their exact times instead of on the FPGA's 8 ns cycle, and hold refractory times exactly
        instead of for a count of a clock: no real chip can.
    event_path : EventPathConfig or None
        Limits of the event path; None has none: no event waits or is dropped.
    adex : AdexConfig or None
        Adaptation and exponential upswing of the neurons; None: plain leaky integrate-and-fire in closed form.
    saturation : SaturationConfig or None
        Rails of the synaptic inputs; None: the inputs are linear.
    stp : StpConfig
        What the codes of the drivers' short-term plasticity are worth, if it is switched on (`Chip.write`).
    noise : NoiseConfig
    link : LinkConfig
    """

    tau_mem_us: float = 6.0
    tau_syn_exc_us: float = 6.0
    tau_syn_inh_us: float = 6.0
    leak_lsb: float = 80.0
    reset_lsb: float = 80.0
    threshold_lsb: float = 150.0
    refractory_us: float = 20.0
    synaptic_gain: float = SYNAPTIC_GAIN
    synapse_dac_bias: int = SYNAPSE_DAC_BIAS
    synin_gm: int = SYNIN_GM
    event_latency_us: float = 0.08
    exact_input_times: bool = False
    event_path: EventPathConfig | None = None
    adex: AdexConfig | None = None
    saturation: SaturationConfig | None = field(default_factory=SaturationConfig)
    stp: StpConfig = field(default_factory=StpConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    link: LinkConfig = field(default_factory=LinkConfig)

    def __post_init__(self) -> None:
        if not isinstance(self.adex, AdexConfig | None):
            raise ChipError(f"chip.adex is a {type(self.adex).__name__}; give an AdexConfig, or None for none of it")
        if not isinstance(self.event_path, EventPathConfig | None):
            raise ChipError(
                f"chip.event_path is a {type(self.event_path).__name__}; give an EventPathConfig, or None for no limits"
            )
        if not isinstance(self.saturation, SaturationConfig | None):
            raise ChipError(
                f"chip.saturation is a {type(self.saturation).__name__}; give a SaturationConfig, or None for linear "
                "inputs"
            )
        for name, kind in (("stp", StpConfig), ("noise", NoiseConfig), ("link", LinkConfig)):
            given = getattr(self, name)
            if not isinstance(given, kind):
                raise ChipError(f"chip.{name} is a {type(given).__name__}; give a {kind.__name__}")
        remedy = "choose a time constant that the circuit can make"
        check_number("chip.tau_mem_us", self.tau_mem_us, *TAU_MEM_RANGE_US, "us", remedy)
        check_number("chip.tau_syn_exc_us", self.tau_syn_exc_us, *TAU_SYN_RANGE_US, "us", remedy)
        check_number("chip.tau_syn_inh_us", self.tau_syn_inh_us, *TAU_SYN_RANGE_US, "us", remedy)
        for name in ("leak_lsb", "reset_lsb", "threshold_lsb"):
            remedy = "choose a potential that the 8-bit converter can read"
            check_number(f"chip.{name}", getattr(self, name), 0.0, MAX_POTENTIAL_LSB, "LSB", remedy)
        if self.threshold_lsb <= self.reset_lsb:
            raise ChipError(
                f"chip.threshold_lsb = {self.threshold_lsb} LSB is not above chip.reset_lsb = {self.reset_lsb} LSB;"
                " raise the threshold or lower the reset"
            )
        remedy = "choose a refractory time that the clocks can make"
        check_number("chip.refractory_us", self.refractory_us, MIN_REFRACTORY_US, MAX_REFRACTORY_US, "us", remedy)
        remedy = "give the current step per weight LSB"
        check_number("chip.synaptic_gain", self.synaptic_gain, 0.0, 100.0, "LSB/us per weight LSB", remedy)
        for name in ("synapse_dac_bias", "synin_gm"):
            remedy = "give a code within the vendor's range"  # calix
            check_number(f"chip.{name}", getattr(self, name), 30, 1022, "", remedy, whole=True)
        check_number("chip.event_latency_us", self.event_latency_us, 0.0, 10.0, "us", "give the on-chip latency")
        if not isinstance(self.exact_input_times, bool):
            raise ChipError(
                f"chip.exact_input_times = {self.exact_input_times!r} is not true or false; give one of the two"
            )
        if self.adex is not None and self.event_path is not None and self.event_path.slot_ns > 0:
            raise ChipError(
                "chip.event_path has limits, which aren't modelled with chip.adex; leave one of the two out"
            )

    @property
    def event_gain(self) -> float:
        """Step of the synaptic current per event and weight LSB with these biases, in LSB/us: proportional to both
        (vendor's dynamic-range demo, whose slope at biases of 600 and 500 is that of the default ones times 0.54)."""
        return self.synaptic_gain * (self.synapse_dac_bias / SYNAPSE_DAC_BIAS) * (self.synin_gm / SYNIN_GM)


# "Fit to W66F3" below: DelGrad's published networks and spike times, measured on chip W66F3 and published with
# the DelGrad code, compared with an ideal model; the simple simulation with these values has the measured spread
# and trial noise of the network with delays (the network without delays is noisier than this).
_FITTED_TRIAL_NOISE = {
    "threshold_noise_std_lsb": 0.012 * 70.0,  # fit to W66F3: 1.2 % of the swing from leak to threshold
    "delay_jitter_us": 0.06,  # DelGrad code (hardware-aware runs): 0.01 tau
}

_PRESETS = {
    # The equations without any imperfection: a null model, not a chip.
    "ideal": ChipConfig(event_latency_us=0.0, exact_input_times=True, saturation=None),
    # A chip after the vendor's calibration.
    "calibrated": ChipConfig(
        noise=NoiseConfig(
            # The vendor's acceptance limits are 0.45 (membrane) and 0.20 (inputs) of the uncalibrated spread, and 0.30,
            # 0.20, 0.35 for the potentials, here of 5 % of the swing, which is the least that it could be.
            tau_mem_std=0.05,
            tau_syn_std=0.03,
            leak_std_lsb=1.05,
            reset_std_lsb=0.70,
            threshold_std_lsb=1.22,
            neuron_gain_std=0.05,  # vendor's demo of matrix multiplication: 4.6 % from column to column
            driver_gain_std=2.0 / 30.0,  # vendor's driver tests: "some 2 LSB expected" of about 30
            weight_std=0.075,  # fit to W66F3 gives 5..10 %; cannot be calibrated away
            delay_offset_std_us=0.18,  # fit to W66F3: 0.03 tau; no measurement of the elements is published
            **_FITTED_TRIAL_NOISE,
        )
    ),
    # A chip on which every circuit gets the same settings: the median of those that a calibration would find. Measured
    # below means: spreads and correlations of the codes that the vendor's calibration found on two real chips, W66
    # and chip 55, times the slopes of the laws in `capmem`, which are assumed for potentials (make real-chips).
    "uncalibrated": ChipConfig(
        noise=NoiseConfig(
            tau_mem_std=0.126,  # measured: 0.122 and 0.138 (logarithm of the codes)
            tau_syn_std=0.198,  # measured: 0.198 to 0.222
            block_tau_mem_std=0.04,  # measured: 0.055 and 0.024
            block_tau_syn_std=0.085,  # measured: 0.067 to 0.099
            # Measured: 35.3 and 30.8 (leak), 32.6 and 27.0 (reset), 15.6 and 17.0 codes (threshold); correlations
            # 0.62 and 0.77 (leak, reset), 0.27 and 0.25 (leak, threshold), 0.21 and 0.27 (reset, threshold).
            leak_std_lsb=3.25,
            reset_std_lsb=2.3,
            threshold_std_lsb=4.1,
            leak_reset_std_lsb=3.5,
            readout_std_lsb=2.5,
            block_leak_reset_std_lsb=2.8,  # measured: 6.9 to 19.3 codes
            block_threshold_std_lsb=3.0,  # measured: 14.7 and 6.2 codes
            neuron_gain_std=0.055,  # measured with the next: 0.059 to 0.108, correlation 0.29 and 0.10
            circuit_gain_std=0.027,
            block_gain_std=0.14,  # measured: 0.10 and 0.17
            driver_gain_std=0.10,  # not verified
            weight_std=0.075,  # as calibrated
            delay_offset_std_us=0.18,  # as calibrated: delay elements don't work without a calibration
            **_FITTED_TRIAL_NOISE,
        )
    ),
    # The chip of the published DelGrad runs. Threshold and weight spread are effective: they stand for all
    # potentials and gains, which the published spike times can't tell apart.
    "w66f3": ChipConfig(
        noise=NoiseConfig(
            tau_mem_std=0.05,  # as calibrated
            tau_syn_std=0.03,  # as calibrated
            threshold_std_lsb=0.058 * 70.0,  # fit to W66F3: 5.8 % of the swing
            weight_std=0.10,  # fit to W66F3
            # Fit to W66F3 (python -m benchmarks.w66f3 --published): its two networks are driven 6 % more than the ideal
            # chip's, each by itself. One chip is one draw: anything from 3 % upwards would do.
            chip_gain_std=0.06,
            delay_offset_std_us=0.18,  # fit to W66F3: 0.03 tau
            # Effective, with one estimator for chip and emulator: quieter would be right with delays (1.1 LSB), noisier
            # without them.
            threshold_noise_std_lsb=1.2,
            delay_jitter_us=0.06,  # DelGrad code (hardware-aware runs): 0.01 tau
        )
    ),
}

PRESET_NAMES = tuple(_PRESETS)


def preset(name: str) -> ChipConfig:
    """Configuration of a named chip.

    Parameters
    ----------
    name : str
        ``ideal`` (the equations alone), ``calibrated``, ``uncalibrated`` (priors from vendor software) or ``w66f3``
        (fitted to spike times measured on chip W66F3, published with the DelGrad code).

    Returns
    -------
    ChipConfig

    Raises
    ------
    ChipError
        Unknown name; the message names the nearest one.
    """
    if name not in _PRESETS:
        near = difflib.get_close_matches(str(name), PRESET_NAMES, n=1, cutoff=0.0)[0]
        raise ChipError(
            f"chip.preset = {reprlib.repr(name)} is unknown; did you mean {near!r}? Known are {', '.join(PRESET_NAMES)}"
        )
    return _PRESETS[name]


def preset_name(config: ChipConfig) -> str | None:
    """Name of the preset that a configuration equals; None if it equals none."""
    return next((name for name, known in _PRESETS.items() if known == config), None)
