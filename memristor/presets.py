"""The kinds of devices that have a name: published fits, each with its source and range, and what is assumed beside.

A preset is added here, and nowhere else.
"""

from __future__ import annotations

import difflib
import math
import reprlib
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import floats
from .device_model import DAY_S, MAX_TIME_S, DeviceModel, Pieces, changed
from .errors import CrossbarError

FloatArray = NDArray[np.float64]


def _in_units_of(scale_uS: float, *coefficients: float) -> Pieces:
    """One piece from coefficients for increasing powers of G / scale."""
    return (tuple(c / scale_uS**power for power, c in enumerate(coefficients)),)


_WAN_SPREAD = (
    _in_units_of(40.0, 0.348, 16.030, -43.853, 45.393, -16.815),
    _in_units_of(40.0, 0.701, 22.086, -50.773, 47.095, -16.458),
    _in_units_of(40.0, 0.782, 20.274, -43.507, 37.062, -11.934),
)
_MILO_SPREAD = ((4.782 - 0.009107 * 50.0, -0.009107),)  # the piece starts at 50 uS
_CMO_WRITE = {2.0: ((0.01122, 0.01129),), 0.2: ((8.1e-4, 1.069e-3),)}  # acceptance in %: sigma in uS
_NOTHING = ((0.0,),)


def _cmo_relaxation(name: str, citation: str) -> DeviceModel:
    """The laws in ln t are straight lines between knots: where the spread starts, 1 s, and the longest time."""
    start_s = math.exp(-0.4118 / 0.0420)
    ln_end = math.log(MAX_TIME_S)
    return DeviceModel(
        name=name,
        citation=citation,
        fitted="write spread for 2 % and 0.2 % acceptance; relaxation mean and spread from 1 s; read noise",
        assumed="range 10..90 uS; below 1 s the spread follows its law down to 0 at 55 us and the mean stays 0;"
        " incremental pulses; endurance",
        g_low_uS=10.0,
        g_high_uS=90.0,
        breaks_uS=(0.0, 200.0),
        program_fit=_CMO_WRITE[2.0],
        times_s=(start_s, 1.0, MAX_TIME_S),
        spread_fit=(_NOTHING, ((0.4118,),), ((0.4118 + 0.0420 * ln_end,),)),
        drift_fit=(_NOTHING, _NOTHING, ((-0.0890 * ln_end,),)),
        read_fraction=0.0,
        read_flicker_uS=0.02773,
    )


_WAN = DeviceModel(
    name="hfox_wan2022",
    citation="Wan et al., Nature 2022 (NeuRRAM); polynomials as published in aihwkit",
    fitted="spread 1 s, 1 day and 2 days after the write, 0..40 uS",
    assumed="in between linear in ln t, held after 2 days; read noise 1 % of 40 uS; incremental pulses;"
    " endurance 1e6 cycles",
    g_low_uS=0.0,
    g_high_uS=40.0,
    breaks_uS=(0.0, 40.0),
    program_fit=_WAN_SPREAD[0],
    times_s=(1.0, DAY_S, 2.0 * DAY_S),
    spread_fit=_WAN_SPREAD,
    drift_fit=(_NOTHING, _NOTHING, _NOTHING),
)
_CMO = _cmo_relaxation(
    name="cmo_hfox",
    citation="CMO/HfOx devices of IBM Research Zurich; fits as published in aihwkit",
)
_PRESETS = {
    model.name: model
    for model in (
        DeviceModel(
            name="ideal",
            citation="none: a null model, not a device",
            fitted="nothing",
            assumed="everything: no spread, no relaxation, no read noise, no wear",
            g_low_uS=0.0,
            g_high_uS=40.0,
            breaks_uS=(0.0, 40.0),
            program_fit=_NOTHING,
            times_s=(1.0,),
            spread_fit=(_NOTHING,),
            drift_fit=(_NOTHING,),
            read_fraction=0.0,
            pulse_step_spread=0.0,
            endurance_cycles=math.inf,
        ),
        _WAN,
        DeviceModel(
            name="hfo2_milo2021",
            citation="Milo et al., IRPS 2021 (IGVVA-100 verify); fit as published in CrossSim",
            fitted="spread after a write, 50..225 uS; current over voltage (hfo2_milo2021_current_uA)",
            assumed="no relaxation; read noise 1 % of 225 uS; incremental pulses; endurance 1e6 cycles",
            g_low_uS=50.0,
            g_high_uS=225.0,
            breaks_uS=(50.0, 225.0),
            program_fit=_MILO_SPREAD,
            times_s=(1.0,),
            spread_fit=(_MILO_SPREAD,),
            drift_fit=(_NOTHING,),
        ),
        _CMO,
        DeviceModel(
            name="hfo2_gong2022",
            citation="Gong, Rasch et al., IEDM 2022; values as published in aihwkit",
            fitted="9.8 % stuck devices; incremental pulses: step 0.46 of the range, spread 0.71 from device to device",
            assumed="range 0..40 uS; one-shot spread 5 % of the range; no relaxation; read noise 1 % of 40 uS;"
            " endurance 1e6 cycles",
            g_low_uS=0.0,
            g_high_uS=40.0,
            breaks_uS=(0.0, 40.0),
            program_fit=((2.0,),),
            times_s=(1.0,),
            spread_fit=(((2.0,),),),
            drift_fit=(_NOTHING,),
            stuck_fraction=0.098,
            pulse_step=0.46,
            pulse_step_spread=0.71,
        ),
    )
}

PRESET_NAMES = tuple(_PRESETS)
DEFAULT_PRESET = _WAN.name
# What can be chosen of a preset beside the attributes of its model: its name, and for each of them its values.
_WRITE_FITS = {_CMO.name: _CMO_WRITE}
EXTRA_CHANGES = {name: ("acceptance_percent",) for name in _WRITE_FITS}


def preset(name: str = DEFAULT_PRESET, **changes: object) -> DeviceModel:
    """Model of a named kind of device.

    Parameters
    ----------
    name : str
        One of `PRESET_NAMES`. ``model.citation`` tells where it is from, ``model.fitted`` and ``model.assumed`` what is
        published and what isn't.
    **changes
        Attributes of `DeviceModel` that shall differ; for the CMO/HfOx devices also ``acceptance_percent``, 2 (default)
        or 0.2: how close to its target a write must be to be accepted.

    Returns
    -------
    DeviceModel

    Raises
    ------
    CrossbarError
        Unknown name or attribute, with the nearest one; a value outside its range.
    """
    if name not in _PRESETS:
        near = difflib.get_close_matches(str(name), PRESET_NAMES, n=1, cutoff=0.0)[0]
        raise CrossbarError(
            f"crossbar.preset = {reprlib.repr(name)} is unknown; did you mean {near!r}?"
            f" Known are {', '.join(PRESET_NAMES)}"
        )
    model = _PRESETS[name]
    if name in _WRITE_FITS:
        fits, acceptance = _WRITE_FITS[name], changes.pop("acceptance_percent", 2.0)
        if acceptance not in fits:
            raise CrossbarError(
                f"crossbar.device.acceptance_percent = {reprlib.repr(acceptance)} has no published fit; choose 2 or 0.2"
            )
        model = replace(model, program_fit=fits[acceptance])  # type: ignore[index]
    return changed(model, changes, EXTRA_CHANGES.get(name, ()))


def hfo2_milo2021_current_uA(g_uS: ArrayLike, v_V: ArrayLike) -> FloatArray:
    """Current of the devices of Milo et al. (IRPS 2021), whose current isn't proportional to the voltage.

    I = G V + a2 V^2 + a3 V^3 with a2, a3 polynomials in log10(G in S), as published in CrossSim.

    Parameters
    ----------
    g_uS : array_like of float
        62.5..110 uS, where it was measured.
    v_V : array_like of float, broadcast against `g_uS`
        -0.5..0.5 V.

    Returns
    -------
    ndarray of float64
        In uA.

    Raises
    ------
    CrossbarError
        NaN, or a value that was not measured.
    """
    remedy = "the current was measured in this range only"
    g, v = floats("g_uS", g_uS, None, 62.5, 110.0, "uS", remedy), floats("v_V", v_V, None, -0.5, 0.5, "V", remedy)
    x = np.log10(g * 1e-6)
    a2 = np.polyval([1.388e-4, 1.541e-3, 5.711e-3, 7.063e-3], x)
    a3 = np.polyval([8.871e-5, 6.7919e-4, 1.2968e-3], x)
    return np.asarray(g * v + 1e6 * (a2 * v**2 + a3 * v**3))
