"""Files that are no proper traces, and a program that reads them all as every reader of traces would.

Run as a program, `python hostile_files.py FOLDER`, in a process of its own, because what crashes HDF5 would crash the
tests. Its memory is limited. It prints a line for each file.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

MEMORY_BYTES = 3 << 30


def text(value: str) -> np.ndarray:
    return np.array(value.encode(), dtype=h5py.string_dtype("utf-8", max(1, len(value.encode()))))


def soft_cycle(file):
    file["run/again"] = h5py.SoftLink("/run")


def dangling(file):
    file["run/loss/more"] = h5py.SoftLink("/nowhere")


def hard_cycle(file):
    file["run/chip/again"] = file["run"]


def group_twice(file):
    file["again"] = file["run/loss"]


def external_link(file):
    file["run/passwords"] = h5py.ExternalLink("/etc/passwd", "/")


def external_storage(file):
    file.create_dataset("run/stolen", (16,), "u1", external=[("/etc/passwd", 0, 16)])


def virtual(file):
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource("/tmp/another.h5", "data", (4,))
    file.create_virtual_dataset("run/elsewhere", layout)


def huge_contiguous(file):
    file.create_dataset("run/huge", (1 << 50,), "f8")


def huge_chunked(file):
    file.create_dataset("run/huge", (1 << 50,), "f8", chunks=(1024,))


def huge_packed(file):
    file.create_dataset("run/huge", (1 << 40,), "f8", chunks=(1 << 20,), compression="gzip")


def huge_chunk(file):
    file.create_dataset("run/huge", (4,), "f8", chunks=((1 << 28) - 1,), maxshape=(None,), compression="gzip")


def many_epochs(file):
    file["run/epoch"].resize(1 << 40, axis=0)


def strings(file):
    file["run/names"] = np.array([b"a", b"bc"])


def long_string(file):
    file["run/name"] = "of variable length"


def variable_attribute(file):
    file["run/loss"].attrs["note"] = "of variable length"


def compound(file):
    file["run/mixed"] = np.zeros(3, dtype=[("a", "f8"), ("b", "i4")])


def references(file):
    file["run/pointers"] = np.array([file["run"].ref], dtype=h5py.ref_dtype)


def ragged(file):
    file.create_dataset("run/ragged", (2,), h5py.vlen_dtype("f8"))[0] = [1.0, 2.0]


def complex_numbers(file):
    file["run/complex"] = np.zeros(3, dtype=complex)


def nothing(file):
    file["run/nothing"] = h5py.Empty("f8")


def type_only(file):
    file["run/type"] = np.dtype("f8")


def unknown_filter(file):
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((4,))
    properties.set_filter(32999, h5py.h5z.FLAG_OPTIONAL, (1, 2))
    space = h5py.h5s.create_simple((4,))
    h5py.h5d.create(file["run"].id, b"filtered", h5py.h5t.IEEE_F64LE, space, properties)


def deep(file):
    group = file["run"]
    for _ in range(3000):
        group = group.create_group("in")


def no_run(file):
    del file["run"]


def no_title(file):
    del file["run/title"]


def run_is_a_number(file):
    del file["run"]
    file["run"] = 7.0


def title_is_a_number(file):
    del file["run/title"]
    file["run/title"] = 7.0


def complete_is_a_map(file):
    del file["run/complete"]
    file["run/complete"] = np.zeros((3, 3))


def epoch_is_a_scalar(file):
    del file["run/epoch"]
    file["run/epoch"] = 7.0


def epoch_is_a_group(file):
    del file["run/epoch"]
    file.create_group("run/epoch")


def another_version(file):
    file.attrs["schema_version"] = text("9.0")


def version_is_a_number(file):
    file.attrs["schema_version"] = 1.5


def another_schema(file):
    file.attrs["schema"] = text("nwb")


def no_schema(file):
    del file.attrs["schema"]


LEFT_OUT = {
    soft_cycle: "/run/again leads elsewhere",
    dangling: "/run/loss/more leads elsewhere",
    hard_cycle: "/run/chip/again is a group that stands elsewhere too",
    group_twice: "is a group that stands elsewhere too",
    external_link: "/run/passwords leads elsewhere",
    external_storage: "/run/stolen is stored in another file",
    virtual: "/run/elsewhere is stored in another file",
    huge_contiguous: "/run/huge declares 9007199254740992 bytes, and 0 are stored",
    huge_chunked: "/run/huge declares 9007199254740992 bytes, and 0 are stored",
    huge_packed: "/run/huge unpacks to 8796093022208 bytes",
    huge_chunk: "/run/huge unpacks to 2147483640 bytes",
    many_epochs: "epoch declares 8796093022208 bytes",
    strings: "/run/names is an array of texts",
    long_string: "/run/name is text of variable length",
    variable_attribute: "/run/loss has the attribute 'note', which is text of variable length",
    compound: "/run/mixed is neither numbers nor text",
    references: "/run/pointers is neither numbers nor text",
    ragged: "/run/ragged is neither numbers nor text",
    complex_numbers: "/run/complex is neither numbers nor text",
    nothing: "/run/nothing holds nothing",
    type_only: "/run/type is neither a group nor a dataset",
    unknown_filter: "/run/filtered has the filter 32999",
    deep: "lies in more than 16 groups",
    no_title: "/ has no text run/title",
    run_is_a_number: "/ has no group run of the class NXentry",
    title_is_a_number: "/ has no text run/title",
    complete_is_a_map: "/ has no run/complete that is 0 or 1",
    epoch_is_a_scalar: "/ has a run/epoch that is no axis",
    epoch_is_a_group: "/ has a run/epoch that is no axis",
}
"""What makes a trace hostile, and what the rules find in it; all else is read."""

REFUSED = {
    no_run: "is damaged, and nothing in it can be read",
    another_version: "has trace schema version 9.0, but this neurohil reads version 2",
    another_schema: "its root has the schema name 'nwb'",
    no_schema: "its root has no schema name",
}
"""What `Trace` refuses, and with which words; version 1.5 is readable."""


def read(path: Path) -> str:
    """All that any reader does with a trace; what it says where that is damaged."""
    from neurohil.trace import Trace, TraceError
    from neurohil.trace.viewing.comparison import differences
    from neurohil.trace.viewing.description import describe
    from neurohil.trace.viewing.listing import tree

    said: list[str] = []

    def attempt(look: Callable[[], Any]) -> None:
        try:
            look()
        except TraceError as error:
            said.append(str(error))

    with Trace(path) as trace:
        for name in trace.paths:
            attempt(lambda: (trace[name], trace.attributes(name)))  # noqa: B023
        for name in trace.groups:
            attempt(lambda: trace.attributes(name))  # noqa: B023
        if trace.epochs:
            attempt(trace.state)
        attempt(lambda: tree(trace))
        for name in trace.paths[::30]:
            attempt(lambda: describe(trace, name))  # noqa: B023
        attempt(lambda: list(differences(trace, trace)))
        attempt(trace.require_whole)
    assert not any("\n" in text for text in said), said
    return said[0] if said else "read"


def findings(path: Path) -> str:
    from neurohil.trace.validation import validate

    return "; ".join(f"{finding.path} {finding.text}" for finding in validate(path))


def main(folder: str) -> None:
    from neurohil.trace import TraceError, opening

    opening._PAUSE_S = 0.0  # nobody writes them meanwhile: each is looked at as often as ever, without a pause
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    for path in sorted(Path(folder).iterdir()):
        print(path.name, end=" ", flush=True)
        began = time.perf_counter()
        said = []
        for look in (read, findings):
            try:
                said.append(look(path))
            except TraceError as error:
                assert str(error).count("\n") == 0, error
                said.append(str(error))
        print(json.dumps([*said, time.perf_counter() - began]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
