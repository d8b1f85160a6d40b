"""The chaos rig: a whole Station under load, a killer, and what must hold afterwards."""
