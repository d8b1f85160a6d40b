"""Servers of the Model Context Protocol, and the tools that agents use from them."""
