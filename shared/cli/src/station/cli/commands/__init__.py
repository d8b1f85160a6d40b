"""One file per noun; each has ``app``, or one function, that ``station.cli.__main__`` puts together."""
