"""The README's Python block runs, and prints what the README says that it prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_python_block_prints_what_the_readme_says(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```\n+```text\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 1
    code, expected = blocks[0]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == expected


def test_the_application_of_the_readme_answers(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (code,) = [block for block in blocks if "include_router" in block]
    asked = """
from fastapi.testclient import TestClient
from facedex import people
with TestClient(app) as client:
    with open(people.PICTURES["ayu"][0], "rb") as file:
        detected = client.post("/faces/detect", files={"image": file})
    print(client.get("/faces/people").json()["items"], detected.status_code)
"""
    done = subprocess.run(
        [sys.executable, "-c", code + asked], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.stdout == "[] 200\n", done.stderr


def test_every_make_target_that_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (README.parent / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z-]+)", README.read_text(encoding="utf-8")))
    assert named
    assert named <= targets
