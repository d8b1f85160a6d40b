"""The `stn` command: local supervisor and API client.

The rule: it talks HTTP like any other client and imports no service.
"""
