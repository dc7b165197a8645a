"""Published rows, to stand beside ours. Each number is cited; none was measured here.

NeuroBench's leaderboard.rst and examples as of harness 2.3.0, commit e521c28 (Yik et al., Nat. Commun. 16, 1545, 2025),
on official data. Footprint in bytes; operations per sample, which for NHP is a point in time of 4 ms.
"""

from __future__ import annotations

from typing import NamedTuple

LEADERBOARD = "NeuroBench leaderboard"
EXAMPLE = "NeuroBench example"
NEHAR = "NeuroBench example, notebook of branch perf/dataset-model"
DELGRAD = "DelGrad authors' code, single run"


class Row(NamedTuple):
    """One published row; None where nothing is published. macs and acs: effective operations; unit: of correctness."""

    model: str
    correctness: str
    footprint: str | None = None
    connection_sparsity: float | None = None
    activation_sparsity: float | None = None
    dense: float | None = None
    macs: float | None = None
    acs: float | None = None
    source: str = LEADERBOARD
    label: str = "published, official data"


PUBLISHED: dict[str, tuple[Row, ...]] = {
    "chaotic function prediction": (
        Row("LSTM", "sMAPE 13.37", "4.90e5", 0.0, 0.530, 6.03e4, 6.03e4, 0.0),
        Row("echo-state network", "sMAPE 14.79", "2.81e5", 0.876, 0.0, 3.52e4, 4.37e3, 0.0),
    ),
    "Yin-Yang": (
        Row("DelGrad, weights, software", "96.7 %", source=DELGRAD),
        Row("DelGrad, weights and axonal delays, software", "97.5 %", source=DELGRAD),
        Row("DelGrad, weights, measured on the chip", "84.9 %", source=DELGRAD),
        Row("DelGrad, weights and axonal delays, measured on the chip", "92.6 %", source=DELGRAD),
    ),
    "keyword FSCIL": (
        Row("M5 ANN", "97.09 % / 89.27 %", "6.03e6", 0.0, 0.783, 2.59e7, 7.85e6, 0.0),
        Row("SNN", "93.48 % / 75.27 %", "1.36e7", 0.0, 0.916, 3.39e6, 0.0, 3.65e5),
    ),
    "event camera object detection": (
        Row("RED ANN", "mAP 0.429", "9.13e7", 0.0, 0.634, 2.84e11, 2.48e11, 0.0),
        Row("hybrid", "mAP 0.271", "1.21e7", 0.0, 0.613, 9.85e10, 3.76e10, 5.60e8),
    ),
    "NHP motor prediction": (
        Row("AEGRU", "R2 0.71", "45500", dense=25100),
        Row("GRU-t1", "R2 0.707", "352904", 0.0, 0.0, 22342, 8518, 793),
        Row("bigSNN", "R2 0.698", "4833360", 0.0, 0.968, 1206272, 0, 42003),
        Row("tinyRSNN", "R2 0.66", "27144", 0.455, 0.984, 13440, 0, 304),
        Row("GRU-t2", "R2 0.621", "174104", 0.0, 0.0, 4947, 627, 248),
        Row("SNN baseline, Indy", "R2 0.593", "19648", 0.0, 0.997, 4900, 0, 276),
        Row("SNN baseline, Loco", "R2 0.568", "38848", 0.0, 0.999, 9700, 0, 551),
        Row("ANN baseline, Indy", "R2 0.593", "20824", 0.0, 0.683, 4704, 3836, 0),
        Row("ANN baseline, Loco", "R2 0.558", "33496", 0.0, 0.668, 7776, 6103, 0),
        Row("ANN 3D, mean of 6", "R2 0.615", "94552 / 180952", 0.0, 0.681, 33888, 11507, 0.007, EXAMPLE),
        Row("SNN 3D, mean of 6", "R2 0.633", "24972 / 43020", 0.0, 0.788, 43680, 32256, 5831, EXAMPLE),
    ),
    "Google Speech Commands": (
        Row("M5 ANN", "86.53 %", "109228", 0.0, 0.385, 1880256, 1728071, 0, EXAMPLE),
        Row("SNN 20-256-256-256-35, batch 500", "85.63 %", "583900", 0.0, 0.967, 29030400, 0, 3289834, EXAMPLE),
    ),
    "DVS gesture": (Row("conv SNN", "86.36 %", "304828", 0.0, 0.951, 891206400, 9227012, 30564618, EXAMPLE),),
    # The notebook's table cuts off the other operations of the last two.
    "human activity": (
        Row("feed-forward SNN", "87.80 %", "40992", 0.0, 0.737, 397680, 7680, 157819, NEHAR),
        Row("recurrent SNN", "76.85 %", "455804", 0.0, 0.883, macs=38400, source=NEHAR),
        Row("convolutional SNN", "91.40 %", "121080", 0.0, 0.469, macs=96000, source=NEHAR),
    ),
}

REMARKS = {
    "chaotic function prediction": "The published rows don't say which series they cover.",
    "MNIST, then Fashion-MNIST": "Correctness after both tasks, in their order. No NeuroBench rows are published.",
}
