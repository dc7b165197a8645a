"""Facts about the BrainScaleS-2 chip, each with its source.

"Vendor software" is the public low-level stack of the chip (halco, haldls, calix, grenade, fisch); "DelGrad
code" is the code that the DelGrad authors published with their paper. What is marked *modelled* is a choice of
this emulator, not a fact about the chip.
"""

from __future__ import annotations

# Vendor software (halco): 512 neuron circuits in two rows of 256; a synapse array has 256 rows x 256 columns,
# two rows per synapse driver.
N_CIRCUITS = 512
N_COLUMNS = 256
N_ROWS = 256

# Vendor software (halco): four blocks of analogue parameter cells, 128 circuits each.
N_BLOCKS = 4

# Vendor software (haldls): 6-bit weights. The sign belongs to the row.
MAX_WEIGHT = 63

# All synapses that a neuron can have: a row in each of its circuits, 32 at most (see `routing.placement`).
MAX_TOTAL_WEIGHT = 32 * N_ROWS * MAX_WEIGHT

# Vendor software (halco): a spike label has 14 bits.
N_LABELS = 2**14

# Vendor software (halco): 8 background generators.
N_BACKGROUND = 8

# Source ids of this emulator: a circuit is its own number, then come the background generators, then the lines on
# which the host sends events.
BACKGROUND = N_CIRCUITS
EXTERNAL = BACKGROUND + N_BACKGROUND

# Vendor software (fisch): the FPGA runs at 125 MHz, one cycle is 8 ns, and so is every recorded time.
CYCLE_NS = 8
CYCLES_PER_US = 125

# Ours: what is closer than this part of the time since the start of the run is simultaneous, see `instant`.
SIMULTANEOUS = 1e-13

# DelGrad code: a delay element is a pair of neighbouring circuits of the second row; its delay is
# register / 8 us + 2 us, with the register clipped to 50..250.
N_DELAY_ELEMENTS = 128
FIRST_DELAY_OUTPUT = 257
DELAY_STEP_US = 0.125
DELAY_BASE_US = 2.0
MIN_DELAY_REGISTER = 50
MAX_DELAY_REGISTER = 250

# Vendor software (haldls): a refractory time is a count of 8 bits of a clock of 250 MHz / 2^(scale + 1), scale 0..15;
# calix: the shortest that is supported.
REFRACTORY_CLOCK_MHZ = 250.0
MAX_REFRACTORY_COUNT = 255
MAX_CLOCK_SCALE = 15
MIN_REFRACTORY_US = 0.04
MAX_REFRACTORY_US = MAX_REFRACTORY_COUNT * 2 ** (MAX_CLOCK_SCALE + 1) / REFRACTORY_CLOCK_MHZ

# Vendor software (calix): sane ranges of the time constants. The membrane converter has 8 bits.
TAU_MEM_RANGE_US = (0.5, 60.0)
TAU_SYN_RANGE_US = (0.3, 30.0)
MAX_POTENTIAL_LSB = 255.0

# Vendor software (haldls): 24 analogue parameter cells per circuit.
ANALOGUE_CELLS = 24 * N_CIRCUITS

# Vendor software (haldls): a synapse holds 16 bits: weight, label and two calibration fields.
SYNAPSE_BITS = 16
