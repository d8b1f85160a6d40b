"""What ends a benchmark: something is missing, or what is measured did not do its work."""


class BenchError(Exception):
    """Its text is for the person who started the benchmark: what, where, what to do."""
