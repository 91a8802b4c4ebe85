"""The short form of ``make soak``: a server of two workers under attack and under faults, two seconds of each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "soak" / "run.py"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: kill -9, and several addresses of this machine")
def test_a_server_withstands_attacks_and_faults() -> None:
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    told = subprocess.run([sys.executable, str(PROGRAM), "--short"], capture_output=True, text=True, env=environment)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "no faults" in told.stdout
