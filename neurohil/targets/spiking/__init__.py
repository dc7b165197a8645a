"""Targets that turn input spike times into spike times; each file holds one, with one config struct that has a tag."""
