"""What leaves the chip besides spikes: membrane converters, spike counters and correlation sensors."""
