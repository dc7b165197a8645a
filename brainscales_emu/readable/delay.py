"""One delay element."""

from __future__ import annotations

from collections.abc import Sequence


def fire_times(
    triggers_us: Sequence[float], delay_us: float, jitters_us: Sequence[float] = ()
) -> tuple[list[float], int]:
    """Output times of one delay element and the number of lost events.

    Parameters
    ----------
    triggers_us : sequence of float
        Event times in us, ascending.
    delay_us : float
        Delay of this element.
    jitters_us : sequence of float
        Jitter of each accepted event, in order; none means no jitter.

    Returns
    -------
    times_us : list of float
        When the element fires.
    lost : int
        Events that came while the element was busy.
    """
    fired: list[float] = []
    lost = 0
    for trigger in triggers_us:
        if fired and trigger < fired[-1]:
            lost += 1
            continue
        jitter = jitters_us[len(fired)] if len(jitters_us) else 0.0
        fired.append(trigger + delay_us + jitter)
    return fired, lost
