"""Readable twins: what the engine and other quick code compute, once more in plain Python, slow and obvious.

Every twin of the chip stands here, in a file named after its subject. Tests run it beside the code that it explains,
examples show it, and nothing else in the package imports it.
"""
