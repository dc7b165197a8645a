"""How many random examples a long test takes."""

import os


def examples(few: int, many: int) -> int:
    """Few in the ordinary suite, the same ones each time; many, and new ones, by `make test-slow`."""
    return many if os.environ.get("HYPOTHESIS_PROFILE") == "random" else few
