"""Objects can be pickled and copied, and go to other processes: the copy runs on to the same bits."""

import copy
import importlib
import inspect
import os
import pickle
import pkgutil
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from object_makers import MAKERS

TESTS = Path(__file__).parent
PACKAGES = ("brainscales_emu", "memristor", "neurohil")
SENT = ("chip", "chip with AdEx", "network", "chip target", "ideal target", "chip matrix target", "crossbar target",
        "delgrad run")  # fmt: skip


def same(answers, others):
    assert len(answers) == len(others) > 0
    for answer, other in zip(answers, others, strict=True):
        answer, other = np.asarray(answer), np.asarray(other)
        assert (answer.dtype, answer.shape) == (other.dtype, other.shape)
        assert answer.tobytes() == other.tobytes()


@pytest.mark.compiled
@pytest.mark.parametrize("name", MAKERS)
def test_a_copy_runs_on_to_the_same_bits(name):
    made, use = MAKERS[name]()
    pickled, copied = pickle.loads(pickle.dumps(made)), copy.deepcopy(made)
    wanted = use(made)  # first: a copy that shares something with it would go on from another state
    same(use(pickled), wanted)
    same(use(copied), wanted)


def send(method):
    """Objects that were made and used here run on in other processes."""
    objects = [MAKERS[name]() for name in SENT]
    with get_context(method).Pool(1) as pool:
        answers = [pool.apply_async(use, [made]) for made, use in objects]
        for (made, use), answer in zip(objects, answers, strict=True):
            same(answer.get(timeout=300), use(made))


@pytest.mark.compiled
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_in_another_process_it_runs_on_to_the_same_bits(method):
    """In a process of its own, because a suite that runs on several threads must not fork."""
    if not hasattr(os, "fork") and method == "fork":
        pytest.skip("this system has no fork")
    code = f"import test_copies\nif __name__ == '__main__': test_copies.send({method!r})"
    path = os.pathsep.join([str(TESTS), *sys.path])
    result = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0, result.stderr


def errors():
    """All exception classes of the packages."""
    found = set()
    for package in PACKAGES:
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if module.name in (
                "neurohil.__main__",
                "neurohil.neurobench.adapter",
                "neurohil.neurobench.pytorch",
            ):  # start; torch
                continue
            for _, member in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
                if issubclass(member, BaseException) and member.__module__.split(".")[0] in PACKAGES:
                    found.add(member)
    return sorted(found, key=lambda error: error.__qualname__)


@pytest.mark.parametrize("error", errors(), ids=lambda error: error.__name__)
def test_an_error_comes_back_from_another_process(error):
    """A pool waits for ever for an error that can't be unpickled."""
    back = pickle.loads(pickle.dumps(error("what is wrong")))
    assert type(back) is error and str(back) == "what is wrong"
