"""The tests and the tools that only they and `just` use."""
