"""Appends layers to a network, written with the operators that ONNX Runtime runs fastest.

ONNX Runtime keeps the values between convolutions in blocks of 16 channels (8 without AVX-512) and leaves that layout
for every operator without a kernel for it. So layers are written with operators that have one, in the order in which
its optimiser fuses additions and activations into the preceding convolution.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facedex_build.onnx_file import Attribute, Network

Float64 = NDArray[np.float64]


def convolve(
    network: Network,
    value: str,
    name: str,
    filters: Float64,
    biases: Float64 | None = None,
    *,
    stride: int = 1,
    pads: tuple[int, int] = (0, 0),
    depthwise: bool = False,
) -> str:
    """Append a convolution.

    Parameters
    ----------
    network, value, name
        The network, the input and the output.
    filters
        (out, in, rows, columns); (channels, 1, rows, columns) if it is depthwise.
    biases
        (out,).
    stride
        In both directions.
    pads
        Zeros before the first and after the last row and column.
    depthwise
        Whether each channel has its own filter.
    """
    attributes: dict[str, Attribute] = {"kernel_shape": filters.shape[2:]}
    if depthwise:
        attributes["group"] = len(filters)
    if stride > 1:
        attributes["strides"] = [stride] * 2
    if any(pads):
        attributes["pads"] = [pads[0], pads[0], pads[1], pads[1]]
    return network.node("Conv", [value, *constants(network, name, filters, biases)], name, **attributes)


def prelu(network: Network, value: str, slopes: Float64) -> str:
    """Append ``x + (1 - slope) * relu(-x)``: PRelu has no kernel for the blocked layout, these operators have."""
    minus = np.full((len(slopes), 1, 1, 1), -1.0)
    negated = convolve(network, value, f"{value}_minus", minus, depthwise=True)
    below = network.node("Relu", [negated], f"{value}_below")
    return add_scaled(network, value, below, 1 - slopes, f"{value}_prelu")


def add_scaled(network: Network, value: str, other: str, scales: Float64, name: str) -> str:
    """Append ``value + scales * other``; the product is a convolution by channel, which absorbs the sum."""
    scaled = convolve(network, other, f"{name}_scaled", scales[:, None, None, None], depthwise=True)
    return network.node("Add", [scaled, value], name)


def constants(network: Network, name: str, weights: Float64, biases: Float64 | None = None) -> list[str]:
    """Store the weights of the layer `name`; return the names of the tensors."""
    names = [network.tensor(f"{name}_weights", float32(weights))]
    return names if biases is None else [*names, network.tensor(f"{name}_biases", float32(biases))]


def float32(values: Float64) -> NDArray[np.float32]:
    """Return the values as stored in the file."""
    return np.ascontiguousarray(values, np.float32)
