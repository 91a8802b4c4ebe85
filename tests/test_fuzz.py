"""Mutated pictures, snapshots and gallery files: a minute in CI, some seconds elsewhere."""

from __future__ import annotations

import os
import random

import pytest
from fuzz import KINDS, mutate, run_apart

pytestmark = pytest.mark.slow

SEED = int(os.environ.get("FACEDEX_FUZZ_SEED", "3"))
"""The same in every run, so that failures repeat; `make fuzz` uses a random one."""

SECONDS = float(os.environ.get("FACEDEX_FUZZ_S", "60" if os.environ.get("CI") else "9"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_mutated_file_raises_only_documented_errors(kind: str) -> None:
    outcomes, wrong = run_apart(kind, SECONDS / len(KINDS), seed=SEED)
    assert wrong is None, wrong
    assert outcomes["refused"] > 0


def test_the_same_seed_makes_the_same_files() -> None:
    seeds = [bytes(range(200)), b"x" * 300]
    made = [[bytes(mutate(seeds, rng)) for _ in range(50)] for rng in (random.Random(5), random.Random(5))]
    assert made[0] == made[1]
    assert len(set(made[0])) > 40
