"""Runs a whole Station on this machine: the broker and the four services as child processes."""
