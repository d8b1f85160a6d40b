"""The workloads that Station is measured by, the same as those of the peers' drivers. Run them with `just bench`."""
