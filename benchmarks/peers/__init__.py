"""Other programs on the same problems as ours: a file for each subject, with `rows(quick)`, the comparisons of it.

They are installed by `make bench-peers`, into an environment of their own. What isn't there is told in its row.
"""

NOT_INSTALLED = "not installed here"
REQUIREMENTS = "benchmarks/peers/requirements.txt"
BRIAN2 = "brian2==2.9.0 numpy==2.3.5 setuptools"
"""Of an environment of its own, since it needs an older numpy than we do."""
