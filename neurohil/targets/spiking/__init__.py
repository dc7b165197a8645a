"""Targets that turn input spike times into spike times, one file each."""
