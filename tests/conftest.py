"""What the whole suite shares: one thread of BLAS, the same random examples each time, and marks."""

import os

import pytest
from hypothesis import settings

# `make test-slow` draws new examples, so that they are looked for where a failure keeps nobody from working.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("random", derandomize=False, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# Before numpy is loaded: with more threads than idle cores, small decompositions stall for minutes.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ["MPLBACKEND"] = "agg"  # a notebook's terminal may name one that isn't installed


def pytest_configure(config):
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":  # else numpy tells that integers wrap around
        config.addinivalue_line("filterwarnings", "ignore:overflow encountered in scalar:RuntimeWarning")


def pytest_collection_modifyitems(items):
    """Whole training runs take hours without the compiler; the kernels themselves are tested there all the same."""
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        skip = pytest.mark.skip(reason="a whole training run needs the compiled kernels")
        for item in items:
            if item.get_closest_marker("compiled"):
                item.add_marker(skip)
