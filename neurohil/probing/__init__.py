"""What can be done with a single emulated array: program it, look at its levels, age it, measure its wires."""
