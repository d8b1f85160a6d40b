"""The checks of a definition before it may run: each looks at one side of it, and all of them always run."""
