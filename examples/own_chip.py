"""A chip of one's own: what was measured on a real chip takes the place of what the emulator would draw."""

import tempfile
from pathlib import Path

from brainscales_emu import Chip, MeasuredCircuits, Network, SpikeSourceArray

# As a spreadsheet writes it: any columns, any circuits, an empty cell where nothing was measured.
TABLE = """\
# these three circuits were looked at on the bench
circuit, threshold_lsb, tau_mem_us
0,       130,           8.5
1,       150,
2,       175,           4.0
"""


def first_spikes(chip: Chip) -> str:
    """When the first four circuits answer five strong events."""
    net = Network(chip)
    stimulus = net.Population(4, SpikeSourceArray(times_us=[5.0, 6.0, 7.0, 8.0, 9.0]))
    neurons = net.Population(4)
    net.Projection(stimulus, neurons, weight=35)
    net.record(neurons, ["spikes"])
    net.run(until_us=60.0)
    return " ".join(f"{spikes[0]:6.2f}" if spikes.size else "  none" for spikes in net.spikes(neurons))


with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "bench.csv"
    path.write_text(TABLE)
    measured = MeasuredCircuits.load(path)

print(measured)
print("first spikes in us, circuits 0..3")
print("drawn   ", first_spikes(Chip("calibrated", serial=7)))
print("measured", first_spikes(Chip("calibrated", serial=7, measured=measured)))
