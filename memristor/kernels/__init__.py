"""Jitted code of the crossbar, a file per room: devices, wires, products."""
