"""Emulated chips beside real ones: codes that a calibration finds, and figures of the vendor's demos.

Codes: chips of the preset `uncalibrated` are calibrated by measurement alone, to the targets to which two real chips
were calibrated (`brainscales_emu.real_chips`), and the codes that are found are compared: medians, spreads within a
block of 128 circuits, spreads of the blocks' means, correlations. Demos: readings of the MADC for the raw codes of the
single-neuron demo (ts_00), and for more and more synaptic stimulation at the settings of the vendor's nightly
calibration (ts_06). The figure shows real chips as bands and emulated ones as points.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks import commands
from brainscales_emu import AllToAll, Chip, ChipConfig, Network, SpikeSourceArray, preset
from brainscales_emu.calibration import calibrate
from brainscales_emu.calibration.instrument import Instrument
from brainscales_emu.capmem import PARAMETERS, POTENTIALS, median_codes
from brainscales_emu.constants import N_CIRCUITS
from brainscales_emu.real_chips import REAL_CHIPS, RealChip, statistics
from neurohil.files import make_folder
from neurohil.pictures import load_matplotlib, new_figure, save

WIDENED = 0.2  # of the real chips' range, at both ends

# The real chips' transconductances were made alike around this code.
TARGETS = ChipConfig(synin_gm=500)

# Vendor's demos (brainscales2-demos, commit 11e31d8), read from the figures by eye, in LSB of the MADC.
TS_00 = {"silent, leak code 700": 375.0, "peak, threshold code 300": 400.0, "trough, reset code 400": 232.0}
WEIGHTS = (0, 96, 192, 288)
TS_06 = {"excitatory peak": (262.0, 335.0, 411.0, 489.0), "inhibitory trough": (246.0, 181.0, 138.0, 117.0)}

# Vendor's nightly calibration (calix).
NIGHTLY = replace(
    preset("calibrated"),
    tau_mem_us=10.0,
    tau_syn_exc_us=10.0,
    tau_syn_inh_us=10.0,
    reset_lsb=70.0,
    threshold_lsb=255.0,  # the demo has the threshold comparator off
    refractory_us=2.0,
    synapse_dac_bias=600,
    synin_gm=500,
)


def calibrated(serial: int, n_circuits: int) -> dict[str, float]:
    """What `figures` tells of an emulated chip that was calibrated by measurement."""
    config = replace(preset("uncalibrated"), synin_gm=TARGETS.synin_gm)
    circuits = np.arange(0, N_CIRCUITS, N_CIRCUITS // n_circuits)
    found = calibrate(Instrument(config, serial, seed=1, circuits=circuits), TARGETS)
    codes = {name: getattr(found.codes, name)[circuits] for name in PARAMETERS}
    return figures(statistics("emulated", codes, found.cadc_offset, circuits))


def figures(chip: RealChip) -> dict[str, float]:
    """All that is compared of a chip, in the order of the table."""
    rows = {f"{name}: median": code.median for name, code in chip.codes.items()}
    for name, code in chip.codes.items():
        unit, within, between = "log", code.log_std, code.log_block_std
        if name in POTENTIALS:
            unit, within, between = "codes", code.std, code.block_std
        rows[f"{name}: std within block ({unit})"] = within
        rows[f"{name}: std of block means ({unit})"] = between
    rows |= {f"correlation {one}, {other}": value for (one, other), value in chip.correlations.items()}
    return rows | {"CADC offsets: std (LSB)": chip.cadc_offset_std_lsb}


def single_neuron(serial: int) -> dict[str, float]:
    """Readings of the MADC for the raw codes of ts_00, on the first circuit of an uncalibrated chip."""
    codes, config = median_codes(preset("uncalibrated"), serial), replace(preset("uncalibrated"), refractory_us=2.04)

    def trace(**written: int) -> np.ndarray:
        net = Network(Chip(config, serial=serial, codes=codes.replace(**written)))
        neurons = net.Population(1)
        net.record(neurons, "v", device="madc")
        net.run(until_us=200.0)
        return net.v(neurons)[1][0]

    silent = trace(leak=700, tau_mem=1022, threshold=1022)
    pacemaker = trace(leak=1000, threshold=300, reset=400, tau_mem=150)
    return dict(zip(TS_00, (np.median(silent), pacemaker.max(), pacemaker.min()), strict=True))


def dynamic_range(serial: int, n_neurons: int, until_us: float) -> dict[str, tuple[float, ...]]:
    """Means over some neurons of the largest and the smallest reading of the MADC for the stimulation of ts_06."""
    found = {}
    for name, sign, extreme in (("excitatory peak", 1, np.max), ("inhibitory trough", -1, np.min)):
        found[name] = tuple(
            float(np.mean([extreme(stimulated(serial, k, n_neurons, sign * w, until_us)) for k in range(n_neurons)]))
            for w in WEIGHTS
        )
    return found


def stimulated(serial: int, neuron: int, n_neurons: int, weight: int, until_us: float) -> np.ndarray:
    """Readings of one neuron that gets one event."""
    net = Network(Chip(NIGHTLY, serial=serial))
    neurons, stimulus = net.Population(n_neurons), net.Population(1, SpikeSourceArray(times_us=[until_us / 2]))
    net.Projection(stimulus, neurons, AllToAll(), weight=weight)
    net.record(neurons, "v", device="madc", neurons=[neuron])
    net.run(until_us)
    return net.v(neurons)[1][0]


def inside(value: float, real: Sequence[float]) -> bool:
    """Whether a value lies in the range of the real chips', widened."""
    low, high = min(real), max(real)
    return low - WIDENED * abs(low) <= value <= high + WIDENED * abs(high)


def table_of_codes(emulated: Sequence[Mapping[str, float]]) -> str:
    """Markdown; the central range leaves out a twentieth of the chips at each end."""
    real, cut = [figures(chip) for chip in REAL_CHIPS], len(emulated) // 20
    lines = [
        f"| | {' | '.join(chip.name for chip in REAL_CHIPS)} | emulated, {len(emulated)} serials: median "
        f"| central {len(emulated) - 2 * cut} | median inside | serials inside |",
        "| --- " * (5 + len(REAL_CHIPS)) + "|",
    ]
    for name in real[0]:
        values, measured = np.sort([chip[name] for chip in emulated]), [chip[name] for chip in real]
        show = (lambda x: f"{x:.0f}") if name.endswith("median") else (lambda x: f"{x:.3g}")
        share = np.mean([inside(value, measured) for value in values])
        lines.append(
            f"| {name} | {' | '.join(show(x) for x in measured)} | {show(np.median(values))} | {show(values[cut])} ... "
            f"{show(values[-1 - cut])} | {'yes' if inside(np.median(values), measured) else 'no'} | {share:.0%} |"
        )
    return "\n".join(lines)


def table_of_demos(ts_00: Sequence[Mapping[str, float]], ts_06: Sequence[Mapping[str, tuple[float, ...]]]) -> str:
    """Markdown: the vendor's figures beside medians over the emulated chips."""
    lines = [
        f"| MADC LSB | in the vendor's figure | emulated, {len(ts_00)} serials: median | range | off by |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, wanted in TS_00.items():
        values = [chip[name] for chip in ts_00]
        off = np.median(values) / wanted - 1.0
        lines.append(
            f"| ts_00 {name} | {wanted:.0f} | {np.median(values):.0f} | {min(values):.0f} ... {max(values):.0f} "
            f"| {off:+.0%} |"
        )
    for name, readings in TS_06.items():
        span = max(readings) - min(readings)
        for k, (weight, wanted) in enumerate(zip(WEIGHTS, readings, strict=True)):
            values = [chip[name][k] for chip in ts_06]
            off = (np.median(values) - wanted) / span
            lines.append(
                f"| ts_06 {name}, weight {weight} | {wanted:.0f} | {np.median(values):.0f} "
                f"| {min(values):.0f} ... {max(values):.0f} | {off:+.0%} of the range |"
            )
    return "\n".join(lines)


def draw(
    emulated: Sequence[Mapping[str, float]], ts_06: Sequence[Mapping[str, tuple[float, ...]]], picture: Path
) -> None:
    """Each quantity as a part of the middle of the real chips' range; and the dynamic range."""
    real = [figures(chip) for chip in REAL_CHIPS]
    load_matplotlib()
    figure = new_figure(11.0, 8.5)
    figure.set_layout_engine("constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.5, 1.0])
    rng = np.random.default_rng(1)  # so that points don't hide each other
    for row, name in enumerate(real[0]):
        measured = [chip[name] for chip in real]
        middle = sum(measured) / len(measured)
        low, high = min(measured) / middle, max(measured) / middle
        left.barh(row, high - low + 0.02, left=low - 0.01, height=0.8, color="#DDCC77", label="two real chips")
        values = np.array([chip[name] for chip in emulated]) / middle
        left.plot(values, row + rng.uniform(-0.3, 0.3, values.size), ".", color="#332288", ms=4, label="emulated")
    left.set_yticks(range(len(real[0])), list(real[0]), fontsize=7)
    left.invert_yaxis()
    left.set(xlabel="relative to the middle of the real chips", xlim=(0.0, 2.2), title="codes that calibration finds")
    left.grid(axis="x", color="#DDDDDD")
    handles, labels = left.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    left.legend(unique.values(), unique.keys(), frameon=False, loc="lower right", fontsize=8)
    for name, color in (("excitatory peak", "#0077BB"), ("inhibitory trough", "#CC3311")):
        right.plot(WEIGHTS, TS_06[name], "s-", mfc="none", color=color, label=f"{name}, vendor's figure")
        for k, chip in enumerate(ts_06):
            label = None if k else f"{name}, emulated"
            right.plot(WEIGHTS, chip[name], ".", color=color, alpha=0.5, label=label)
    right.set(xlabel="sum of weights (LSB)", ylabel="MADC (LSB)", title="dynamic range (ts_06)")
    right.legend(frameon=False, fontsize=8)
    right.grid(color="#DDDDDD")
    save(figure, picture, dpi=110)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = commands.parser(__doc__)
    parser.add_argument("--serials", type=int, default=20, help="chips 1 to this")
    parser.add_argument("--circuits", type=int, default=N_CIRCUITS, help="of each chip, evenly spread")
    parser.add_argument("--neurons", type=int, default=8, help="for the dynamic range")
    parser.add_argument("--picture", type=Path, help="PNG file (default runs/real_chips.png)")
    options = commands.parsed(parser, arguments, serials=1, circuits=16, neurons=1)
    picture, until_us = options.picture or commands.runs("real_chips.png", options.quick), 1000.0
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")  # one process per core
    serials = range(1, options.serials + 1)
    workers = 1 if options.quick else None

    def each(job: Callable[..., dict], what: str, *more: object) -> list[dict]:
        columns = [[value] * len(serials) for value in more]
        if options.quick:
            return [job(*row) for row in zip(serials, *columns, strict=True)]
        return list(tqdm(pool.map(job, serials, *columns), total=len(serials), unit=what, disable=None))

    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        codes = each(calibrated, "calibration", options.circuits)
        ts_00 = each(single_neuron, "chip")
        ts_06 = each(dynamic_range, "chip", options.neurons, 100.0 if options.quick else until_us)
    print(table_of_codes(codes), table_of_demos(ts_00, ts_06), sep="\n\n")
    with commands.errors_of("real-chips"):
        make_folder(picture.parent)
        draw(codes, ts_06, picture)
        print(f"\n{picture}")


if __name__ == "__main__":
    main()
