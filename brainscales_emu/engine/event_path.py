"""What an event meets between neurons: the crossbar's outputs, links, synapse drivers, delay elements."""

from __future__ import annotations

import math

from ..constants import BACKGROUND
from ..jit import njit
from .heap import schedule
from .trial_noise import draw


@njit(cache=True, error_model="numpy", forceinline=True)
def next_events(latency, inputs, spikes, progress):
    """When the next input and the next spike come to the crossbar's outputs; inf if there is none."""
    input_time = arrival_time = math.inf
    if progress.played < inputs.size:
        input_time = inputs[progress.played].time
    while progress.delivered < progress.recorded and spikes[progress.delivered].source >= BACKGROUND:
        progress.delivered += 1  # an input event that went to the host
    if progress.delivered < progress.recorded:
        arrival_time = spikes[progress.delivered].time + latency
    return input_time, arrival_time


@njit(cache=True, error_model="numpy", forceinline=True)
def record(now, source, stamp, spikes, progress):
    """Add a spike, or an input event that goes to the host, to the record."""
    spike = spikes[progress.recorded]
    progress.recorded += 1
    spike.time, spike.source, spike.stamp = now, source, stamp


@njit(cache=True, error_model="numpy", forceinline=True)
def pass_output(now, output):
    """When an event that comes now passes the output: now, or at the beginning of a later slot; inf if dropped.

    A millionth of a slot is added, so that an event at the beginning of a slot lies in it.
    """
    slot = math.floor(now * 1000.0 / output.slot_ns + 1e-6)
    if output.free_slot - slot > output.depth:
        output.dropped += 1
        return math.inf
    output.passed += 1
    if slot < output.free_slot:
        slot = output.free_slot
        now = slot * output.slot_ns / 1000.0
    output.free_slot = slot + 1
    return now


@njit(cache=True, error_model="numpy", forceinline=True)
def leave_chip(now, limited, host_output, outputs):
    """When an event of now leaves the chip through the output to the host; inf if it is dropped or isn't recorded."""
    if host_output < 0:
        return math.inf
    output = outputs[host_output]
    if not limited:
        output.passed += 1
        return now
    return pass_output(now, output)


@njit(cache=True, error_model="numpy", forceinline=True)
def drive(now, driver):
    """An event of a driver with short-term plasticity: its effect is that of the efficacy before it (see `stp`)."""
    driver.efficacy = driver.rest + (driver.efficacy - driver.rest) * math.exp(-driver.rate * (now - driver.time))
    driver.time = now
    driver.effect = min(max(driver.efficacy + driver.offset, 0.0), 1.0)
    driver.efficacy += driver.utilisation * (driver.target - driver.efficacy)


@njit(cache=True, error_model="numpy", forceinline=True)
def trigger(now, item, source, delay, delay_jitter, heap, places, progress, key, drawn):
    """An event comes to the delay element that is this item of the heap, with this source number; it is lost if the
    element is busy."""
    if heap[places[item]].time < math.inf:
        progress.lost += 1
        return
    if delay_jitter > 0.0:
        delay += delay_jitter * draw(key, source, item, drawn)
    schedule(item, now + max(delay, 0.0), heap, places)


@njit(cache=True, error_model="numpy")
def pack(cycles, per_cycle, depth, sent):
    """Send events over a link that takes so many per cycle; the others wait, and those that find `depth` waiting are
    lost.

    Parameters: cycles (n,) int64, ascending; two int64; result `sent` (n,) int64, cycle in which each event goes, -1
    if lost.
    """
    free = 0  # first free place; cycle c has the places c * per_cycle ... (c + 1) * per_cycle - 1
    for event in range(cycles.size):
        if free - (cycles[event] + 1) * per_cycle >= depth:
            sent[event] = -1
            continue
        place = max(cycles[event] * per_cycle, free)
        sent[event] = place // per_cycle
        free = place + 1
