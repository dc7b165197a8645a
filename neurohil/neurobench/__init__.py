"""NeuroBench's metrics and harness in numpy; PyTorch only behind `pytorch` and `adapter`."""
