"""DelGrad: exact gradients of first-spike times for weights and delays, from spike times alone."""
