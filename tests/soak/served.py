"""``facedex serve`` with a clock that can be moved: the seconds in the file of ``FACEDEX_SOAK_CLOCK`` are added to it.

The workers of a server import the program that started it, and so have the same clock.
"""

from __future__ import annotations

import contextlib
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

from facedex.store import clock

CLOCK = Path(os.environ["FACEDEX_SOAK_CLOCK"])


def moved() -> datetime:
    """The time, moved."""
    seconds = 0.0
    with contextlib.suppress(OSError, ValueError):
        seconds = float(CLOCK.read_text())
    return datetime.now(timezone.utc) + timedelta(seconds=seconds)


clock.now = moved  # before anything imports it from there

if __name__ == "__main__":
    from facedex.cli import main

    main()
