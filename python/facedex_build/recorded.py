"""A converted network in, nothing out where it answers what was recorded: so that a wrong repair cannot be built.

``recorded.json`` holds what independent copies of the networks gave for one made picture of noise, which differs in
each channel: for each network the picture's side, the scale of its values, and every so-many-th value of each output,
in the order of the output. ``tests/parity/record/base_networks.py`` recorded them with ONNX Runtime.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from facedex_build import forward
from facedex_build.errors import BuildError
from facedex_build.onnx_file import Network
from facedex_build.operators import Float64

RECORD = Path(__file__).with_name("recorded.json")

_TOLERANCE = 1e-5  # of an output's greatest value; float32 comes to a tenth of it


def picture(side: int, scale: float) -> Float64:
    """Return the picture: (1, 3, side, side), (value - 127.5) / scale of values from 0 to 255."""
    channel, row, column = np.indices((3, side, side))
    values = (row * (5 + 2 * channel) + column * (3 + channel) + row * column * (1 + channel) + 40 * channel) % 256
    return np.asarray((values[None] - 127.5) / scale, np.float64)


def check(name: str, network: Network) -> None:
    """Compare what a network answers with what was recorded for the file `name`.

    Raises
    ------
    BuildError
        It answers something else.
    """
    record: dict[str, Any] = json.loads(RECORD.read_text("utf-8"))[name]
    found = forward.run(network, {"input": picture(record["side"], record["scale"])})
    for output, (step, recorded) in record["outputs"].items():
        values, expected = found[output].ravel()[::step], np.array(recorded)
        if values.shape != expected.shape:
            raise BuildError(f"{name}: {output} has {found[output].size} values, not as many as were recorded")
        off = np.abs(values - expected).max() / np.abs(expected).max()
        if not off <= _TOLERANCE:
            raise BuildError(
                f"{name} is not the network that it should be: {output} is off by {off:.1e} of its greatest value; "
                "restore the converter"
            )
