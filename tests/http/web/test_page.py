"""The page in a real browser, against a real server: whole stories, with the camera, on a phone, by keyboard alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from facedex import people
from facedex.access import Access
from facedex.store import Database

from .conftest import ON_CAMERA, PHONE, Go, Visit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
