"""The shell around the core: it loads runs, has messages decided, stores what was decided, and tells the outside."""
