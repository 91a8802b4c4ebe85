"""A converted network and its input in, what it answers out: in numpy, in float64, operator by operator.

With it a build sees what it has written although it has no ONNX Runtime. It knows the operators of the networks that
are checked so, and is meant to be plain, not fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from facedex_build.errors import BuildError
from facedex_build.onnx_file import Network, Operator
from facedex_build.operators import Float64


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
        An operator of it is not known here.
    """
    values: dict[str, Float64] = {name: tensor.astype(np.float64) for name, tensor in network.tensors.items()}
    values.update(inputs)
    for operator in network.operators:
        if operator.kind not in _OPERATORS:
            raise BuildError(f"the check of converted networks knows no operator {operator.kind}")
        values[operator.output] = _OPERATORS[operator.kind](operator, *(values[name] for name in operator.inputs))
    return {name: values[name] for name in network.outputs}


def _convolve(operator: Operator, images: Float64, filters: Float64, biases: Float64 | None = None) -> Float64:
    by_channel = operator.attributes.get("group", 1) != 1
    total: Float64 = np.zeros(1)
    for y, x, seen in _windows(operator, images, (filters.shape[2], filters.shape[3]), 0):
        weights = filters[:, :, y, x]
        total = total + (weights[..., None] * seen if by_channel else np.einsum("oc,ncyx->noyx", weights, seen))
    return total if biases is None else total + biases[:, None, None]


def _pool(operator: Operator, images: Float64) -> Float64:
    greatest: Float64 = np.full(1, -np.inf)
    window = _pair(operator, "kernel_shape", (1, 1))
    for _, _, seen in _windows(operator, images, window, -np.inf):
        greatest = np.maximum(greatest, seen)
    return greatest


def _windows(
    operator: Operator, images: Float64, window: tuple[int, int], padding: float
) -> Iterator[tuple[int, int, Float64]]:
    """Yield, for every place in the window, its row, its column and the values that it meets as the window moves."""
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
