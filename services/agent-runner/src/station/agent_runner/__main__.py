"""``python -m station.agent_runner``: read the settings, run until told to stop."""

import os
import sys

from station.agent_runner import app
from station.agent_runner.settings import read_settings
from station.runtime import lifecycle, logging


async def _main(stop: lifecycle.Stop) -> None:
    logging.setup(app.SERVICE)  # so that wrong settings can be told
    settings = read_settings(os.environ)
    logging.setup(app.SERVICE, settings.log_format, settings.log_level)
    await app.run(settings, stop)


def main() -> None:
    """Run the service; the exit code says how it ended."""
    sys.exit(lifecycle.run(_main))


if __name__ == "__main__":
    main()
