"""The branch of the Lambert function that the first spike needs for tau_m = tau_s."""

from __future__ import annotations

import math

from neurohil.jit import njit


def _lead_series(terms: int) -> tuple[float, ...]:
    """Coefficients c_1 ... of e = sum_m c_m p^m that solves -e - ln(1 - e) = p^2 / 2, from e e' = p (1 - e)."""
    c = [0.0, 1.0]
    for m in range(2, terms + 1):
        c.append((-c[m - 1] - sum(c[i] * (m + 1 - i) * c[m + 1 - i] for i in range(2, m))) / (m + 1))
    return tuple(c[1:])


_LEAD_SERIES = _lead_series(16)


@njit(cache=True, error_model="numpy")
def one_plus_lambert_w0(overdrive):
    """1 + W0(-exp(-1 - overdrive)) for overdrive >= 0 (float64), to a few 1e-16 relative.

    For tau_m = tau_s this is the time (tau_s) by which the spike precedes the peak of the membrane, and `overdrive` is
    ln(V_peak / threshold). With y = -W0 the equation is y - ln y = 1 + overdrive. Written in `overdrive`, nothing
    cancels near the branch point of W0, where the membrane only just touches the threshold, and nothing overflows.
    """
    p = math.sqrt(2.0 * overdrive)
    if p < 1.6:
        lead = 0.0
        for m in range(len(_LEAD_SERIES) - 1, -1, -1):
            lead = (lead + _LEAD_SERIES[m]) * p
        if p < 0.5:
            return lead
        y = 1.0 - lead
    else:
        x = math.exp(-1.0 - overdrive)
        if x < 1e-20:
            return 1.0
        y = x * (1.0 + x * (1.0 + x * (1.5 + x * (8.0 / 3.0 + x * 125.0 / 24.0))))
    # One step of fourth order (Fritsch, Shafer, Crowley, Comm. ACM 16, 1973).
    z = y - math.log(y) - 1.0 - overdrive
    lead = 1.0 - y
    q = 2.0 * lead * (lead + 2.0 * z / 3.0)
    return 1.0 - y * (1.0 + z / lead * (q - z) / (q - 2.0 * z))
