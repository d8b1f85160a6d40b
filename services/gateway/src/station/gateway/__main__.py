"""Starts the gateway: settings, logging, then HTTP until the process is told to stop."""

import os
import sys

from station.gateway.process import main as serve
from station.gateway.settings import SERVICE, Settings
from station.runtime import lifecycle, logging, settings


async def _main(stop: lifecycle.Stop) -> None:
    loaded = settings.load(Settings, os.environ)
    logging.setup(SERVICE, loaded.log_format, loaded.log_level)
    await serve(loaded, stop)


def main() -> None:
    """Exit codes: 0 stopped, 1 crashed or the port is taken, 2 a setting cannot be used."""
    logging.setup(SERVICE)
    sys.exit(lifecycle.run(_main))


if __name__ == "__main__":
    main()
