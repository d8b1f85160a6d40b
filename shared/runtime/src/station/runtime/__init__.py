"""What every process needs: settings, bus, telemetry, logging, health, lifecycle.

The rule: nothing here knows a workflow; it carries, the core decides.
"""
