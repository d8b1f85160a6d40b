"""The engine's shell: store, writer, relay, timers, reconcile.

The rule: it alone writes the database, and it tells nobody before it has committed.
"""
