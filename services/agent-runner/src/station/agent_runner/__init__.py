"""Claims steps, runs agents, reports their results.

The rule: no work without a claim, and a result is on disk before it is reported.
"""
