"""Targets that multiply by quantised weights; each file holds one, with one config struct that has a tag."""
