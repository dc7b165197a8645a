"""Sizes that don't fit into memory are refused before they are made, with the number and the key."""

import re
import subprocess
import sys

import pytest

from neurohil import memory
from neurohil.cli import main
from neurohil.errors import UserError
from neurohil.kinds import KINDS
from neurohil.targets.matrix.crossbar import CrossbarTarget, CrossbarTargetConfig

HOSTS = {
    "meminfo": ({"meminfo": "MemTotal: 9 kB\nMemAvailable:    2000 kB\nSwapFree:  500 kB\n"}, 2_560_000),
    "cgroup": (
        {
            "meminfo": "MemAvailable: 8000000 kB\n",
            "cgroup": "0::/job/step\n",
            "groups/job/memory.max": "5000000\n",
            "groups/job/memory.current": "4000000\n",
            "groups/job/memory.stat": "anon 1\ninactive_file 200000\n",
            "groups/job/step/memory.max": "max\n",
            "groups/job/step/memory.current": "1\n",
        },
        1_200_000,
    ),
    "old cgroup": (
        {"groups/memory/memory.limit_in_bytes": "700\n", "groups/memory/memory.usage_in_bytes": "900\n"},
        0,
    ),
    "unlimited old cgroup": (
        {"groups/memory/memory.limit_in_bytes": f"{2**63 - 4096}\n", "groups/memory/memory.usage_in_bytes": "900\n"},
        None,
    ),
    "nothing": ({}, None),
    "nonsense": ({"meminfo": "MemAvailable: much\n\nx\n", "cgroup": "\n0\n"}, None),
}


@pytest.mark.parametrize("host", HOSTS)
def test_the_least_of_what_a_system_tells_is_available(tmp_path, monkeypatch, host):
    files, expected = HOSTS[host]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_OWN_CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path / "groups")
    monkeypatch.setattr(memory, "_address_space", lambda: None)
    assert memory.available_bytes() == expected


def test_where_nothing_is_known_nothing_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    memory.demand_bytes(10**30, "it", "lower it")
    monkeypatch.setattr(memory, "available_bytes", lambda: 10**30 - 1)
    with pytest.raises(UserError, match="lower it"):
        memory.demand_bytes(10**30, "it", "lower it")


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space")
def test_the_limit_of_the_address_space_counts():
    code = (
        "import resource; from neurohil.memory import available_bytes; "
        "resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30)); print(available_bytes())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 0 < int(told) < 2**30


MANY = str([1000] * 60)
BIG = {
    "delgrad hidden": ("delgrad", "yin_yang_weights", ["network.hidden=1000000000"], "network.hidden"),
    "delgrad copies": ("delgrad", "yin_yang_weights", ["data.copies=1000000000"], "data.copies"),
    "delgrad chip": ("delgrad", "chip_yin_yang_axonal", ["network.hidden=1000000000"], "network.hidden"),
    "layers": ("metaplasticity", "mnist_fashion_ideal", ["network.hidden=[65536, 65536]"], "network.hidden"),
    "batch": ("metaplasticity", "mnist_fashion_ideal", ["training.batch=60000", f"network.hidden={MANY}"], "batch"),
}


@pytest.mark.parametrize("name", BIG)
def test_runs_too_large_for_the_memory_are_refused_at_once(monkeypatch, name):
    kind, experiment, overrides, key = BIG[name]
    monkeypatch.setattr(memory, "available_bytes", lambda: 5 * 10**9)
    with pytest.raises(UserError, match=r"need about [\d.e+]+ [GE]B of memory, 5 GB are available; lower ") as error:
        KINDS[kind].start(KINDS[kind].load(experiment, overrides))
    assert key in str(error.value)


def test_arrays_too_large_for_the_memory_are_refused_at_once(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 2 * 10**9)
    big = ["target.array.tile_rows=65536", "target.array.tile_columns=65536"]
    for kind in (kind for kind in KINDS.values() if kind.folder == "crossbar"):
        with pytest.raises(UserError, match=r"773 GB of memory, 2 GB are available; lower .*target.array.tile_rows"):
            _ = kind.start(kind.load("crossbar_9_levels", big)).result
    with pytest.raises(UserError, match=r"^12845056 devices for layers of 784 x 8192 weights need about 2.31 GB"):
        CrossbarTarget(CrossbarTargetConfig(), [(784, 8192)])


def test_the_largest_shipped_network_fits_into_two_gigabytes(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 2 * 10**9)
    for kind, name in (("delgrad", "yin_yang_synaptic"), ("metaplasticity", "bnn_2021")):
        KINDS[kind].start(KINDS[kind].load(name))


def test_running_out_of_memory_is_one_sentence(monkeypatch, capsys):
    def fail(*_):
        raise MemoryError("Unable to allocate 8.00 EiB for an array")

    monkeypatch.setattr("neurohil.delgrad.run.DelGradRun.__init__", fail)
    assert main(["delgrad", "yin_yang_weights"]) == 1
    told = capsys.readouterr().err
    assert re.fullmatch(r"neurohil: there is not enough memory \(Unable to allocate 8.00 EiB .*\); lower .*\n", told)
