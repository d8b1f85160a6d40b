"""The gate where people decide.

The rule: it checks who may decide; the scheduler alone records the decision.
"""
