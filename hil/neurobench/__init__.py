"""NeuroBench's metrics and harness in numpy; PyTorch only behind `hil.neurobench.adapter`."""
