"""The one loop of agents that talk to a model: requests, tools, structured output, retries, usage.

The rule: what imports a model library is imported only by `loading`, when an agent that needs it runs.
"""
