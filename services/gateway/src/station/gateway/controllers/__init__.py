"""One file per resource: what the HTTP edge accepts, and which question or command of the bus it becomes."""
