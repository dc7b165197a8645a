"""What is due next: a binary heap of items, ordered by time, then by number, and how long an instant is."""

from __future__ import annotations

from .. import instant
from ..jit import njit

latest = njit(cache=True, error_model="numpy", forceinline=True)(instant.latest)


@njit(cache=True, error_model="numpy", forceinline=True)
def _before(time, item, event):
    """Does an item at this time come before the event: order by (time, item)."""
    return time < event.time or (time == event.time and item < event.index)


@njit(cache=True, error_model="numpy", forceinline=True)
def _put(event, place, time, item, places):
    """Write the item into the EVENT at this place."""
    event.time = time
    event.index = item
    places[item] = place


@njit(cache=True, error_model="numpy", forceinline=True)
def schedule(item, time, heap, places):
    """Give the item this time and move it up or down to its new place in the heap."""
    place = places[item]
    while place > 0:
        parent = (place - 1) >> 1
        if not _before(time, item, heap[parent]):
            break
        _put(heap[place], place, heap[parent].time, heap[parent].index, places)
        place = parent
    while 2 * place + 1 < heap.size:
        child = 2 * place + 1
        if child + 1 < heap.size and _before(heap[child + 1].time, heap[child + 1].index, heap[child]):
            child += 1
        if _before(time, item, heap[child]):
            break
        _put(heap[place], place, heap[child].time, heap[child].index, places)
        place = child
    _put(heap[place], place, time, item, places)


@njit(cache=True, error_model="numpy", forceinline=True)
def first_due(until, heap):
    """Lowest number of the items that are due by this time, -1 if none is. They hold the top of the heap."""
    first = heap.size
    place = 0
    while True:
        if place < heap.size and heap[place].time <= until:
            first = min(first, heap[place].index)
            place = 2 * place + 1
            continue
        while place > 0 and place % 2 == 0:  # back from a right child
            place = (place - 1) >> 1
        if place == 0:
            return first if first < heap.size else -1
        place += 1
