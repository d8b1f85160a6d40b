"""The pure workflow core.

The rule: no I/O, no clock, no randomness; everything it knows arrives as an argument.
"""
