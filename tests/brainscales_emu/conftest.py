"""Tests of the chip stand where the package has what they test; helpers that several folders share stand here."""
