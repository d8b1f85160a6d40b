"""Every message of the bus and of the API, as frozen structs.

The rule: names and shapes only, no behaviour; within v1 fields are only added, with defaults.
"""
