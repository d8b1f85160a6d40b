"""What the scheduler answers on the bus, one module per kind of request. No rule of a run is decided here."""
