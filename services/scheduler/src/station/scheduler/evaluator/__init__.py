"""Starlark, evaluated in helper processes with limits: a bomb costs one step, never the scheduler."""
