"""Tasks of NeuroBench, each with its protocol and baselines that run here: `python -m benchmarks.tasks.NAME`."""
