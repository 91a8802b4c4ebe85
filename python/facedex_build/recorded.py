"""Checks that a converted network answers what was recorded, so that a wrong conversion cannot be built.

``recorded.json`` holds the answers of independent copies of the networks for one synthetic picture of noise, which
differs in each channel: for each network the picture's side, the scale of its values, and every n-th value of each
output, in the order of the output. ``tests/parity/record/base_networks.py`` recorded them with ONNX Runtime.

A build has no ONNX Runtime, so `run` evaluates the network in numpy, in float64, operator by operator. It knows the
operators of these networks only, and is plain, not fast.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facedex_build.errors import BuildError
from facedex_build.onnx_file import Network, Operator
from facedex_build.operators import Float64

RECORD = Path(__file__).with_name("recorded.json")

_TOLERANCE = 1e-5  # of an output's greatest value; the rounding error of float32 is a tenth of it


def picture(side: int, scale: float) -> Float64:
    """Make the picture: (1, 3, side, side), (value - 127.5) / scale of values from 0 to 255."""
    channel, row, column = np.indices((3, side, side))
    values = (row * (5 + 2 * channel) + column * (3 + channel) + row * column * (1 + channel) + 40 * channel) % 256
    return np.asarray((values[None] - 127.5) / scale, np.float64)


def check(name: str, network: Network) -> None:
    """Compare the answers of a network with those recorded for the file `name`.

    Raises
    ------
    BuildError
        They differ.
    """
    record: dict[str, Any] = json.loads(RECORD.read_text("utf-8"))[name]
    found = run(network, {"input": picture(record["side"], record["scale"])})
    for output, (step, recorded) in record["outputs"].items():
        values, expected = found[output].ravel()[::step], np.array(recorded)
        if values.shape != expected.shape:
            raise BuildError(f"{name}: {output} has {found[output].size} values, the record has another number")
        off = np.abs(values - expected).max() / np.abs(expected).max()
        if not off <= _TOLERANCE:
            raise BuildError(
                f"{name} is not the expected network: {output} is off by {off:.1e} of its greatest value; "
                "restore the converter"
            )


def run(network: Network, inputs: Mapping[str, Float64]) -> dict[str, Float64]:
    """Evaluate a network.

    Parameters
    ----------
    network
        The network.
    inputs
        Values of its inputs: images are (images, channels, rows, columns).

    Returns
    -------
    dict
        Values of its outputs by name.

    Raises
    ------
    BuildError
        It has an unknown operator.
    """
    values: dict[str, Float64] = {name: tensor.astype(np.float64) for name, tensor in network.tensors.items()}
    values.update(inputs)
    for operator in network.operators:
        if operator.kind not in _OPERATORS:
            raise BuildError(f"the check of converted networks does not know operator {operator.kind}")
        values[operator.output] = _OPERATORS[operator.kind](operator, *(values[name] for name in operator.inputs))
    return {name: values[name] for name in network.outputs}


def _convolve(operator: Operator, images: Float64, filters: Float64, biases: Float64 | None = None) -> Float64:
    by_channel = operator.attributes.get("group", 1) != 1
    total: Float64 = np.zeros(1)
    for y, x, values in _windows(operator, images, (filters.shape[2], filters.shape[3]), 0):
        weights = filters[:, :, y, x]
        total = total + (weights[..., None] * values if by_channel else np.einsum("oc,ncyx->noyx", weights, values))
    return total if biases is None else total + biases[:, None, None]


def _pool(operator: Operator, images: Float64) -> Float64:
    greatest: Float64 = np.full(1, -np.inf)
    window = _pair(operator, "kernel_shape", (1, 1))
    for _, _, values in _windows(operator, images, window, -np.inf):
        greatest = np.maximum(greatest, values)
    return greatest


def _windows(
    operator: Operator, images: Float64, window: tuple[int, int], padding: float
) -> Iterator[tuple[int, int, Float64]]:
    """Yield, for every position in the window, its row, its column and the values under it as the window moves."""
    top, left, bottom, right = _integers(operator, "pads", (0, 0, 0, 0))
    padded = np.pad(images, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=padding)
    steps = _pair(operator, "strides", (1, 1))
    rows, columns = ((padded.shape[2 + i] - window[i]) // steps[i] + 1 for i in (0, 1))
    for y, x in np.ndindex(*window):
        yield y, x, padded[:, :, y :: steps[0], x :: steps[1]][:, :, :rows, :columns]


def _pair(operator: Operator, name: str, default: tuple[int, int]) -> tuple[int, int]:
    one, other = _integers(operator, name, default)
    return one, other


def _integers(operator: Operator, name: str, default: Sequence[int]) -> Sequence[int]:
    values = operator.attributes.get(name, default)
    if isinstance(values, int | float | str):
        raise BuildError(f"{operator.output}: {name} is {values!r}, not a list")
    return values


_OPERATORS: Mapping[str, Callable[..., Float64]] = {
    "Add": lambda _, one, other: one + other,
    "Conv": _convolve,
    "Flatten": lambda _, images: images.reshape(len(images), -1),
    "MaxPool": _pool,
    "Relu": lambda _, values: np.maximum(values, 0),
}
