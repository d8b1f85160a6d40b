"""The HTTP front door: REST, server-sent events, OpenAPI.

The rule: it owns no data; every answer comes from the scheduler over the bus.
"""
