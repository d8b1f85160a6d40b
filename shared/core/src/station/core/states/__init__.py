"""Entering a state, one module per type. Every module has ``enter(turn, scope, state)``."""
