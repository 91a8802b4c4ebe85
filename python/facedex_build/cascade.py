"""Converts MTCNN's three networks from the weights of Keras to ONNX files.

``input`` is float32 (images, 3, height, width), RGB, (value - 127.5) / 128: of any size from 12×12 for P-Net, 24×24 for
R-Net, 48×48 for O-Net. ``bbox_reg`` is x1, y1, x2, y2 as fractions of the box, ``prob`` not-a-face and face,
``landmarks`` (O-Net) five x, then five y, as fractions of the box. P-Net's outputs have a grid (images, 4 or 2, rows,
columns), the others are (images, 4, 10 or 2).

The numbers are those of the mtcnn package; three parts are written differently for speed. Compared with the plain form
on one AVX-512 thread: with ONNX Runtime 1.31 P-Net takes 5.3 instead of 11.4 ms at 384×288, R-Net and O-Net 40 and
55 % of the time; with 1.20 all three take 83 to 90 %. Where ONNX Runtime has no blocked layout of convolutions, 1.20
needs a fifth to a half more time than for the plain form, 1.31 still less.

- PRelu is composed of operators that have a kernel for the blocked layout (`operators.prelu`); for it, channels are
  padded with zeros to a multiple of 16.
- P-Net pools before the activation, on a quarter of the values. A slope of 0 or more keeps the order of values, so the
  maximum may come first; for a negative slope ``prelu(x) = max(x, slope * x)``, and both sides are pooled.
- The softmax of two values is ``1 / (1 + exp(d))`` with their difference. It is written out, because ONNX Runtime's
  Sigmoid is off by up to 6e-8 near 1, which is the difference between the scores of P-Net's best cells; their order
  decides which box survives.

Architecture: ``mtcnn/network/{pnet,rnet,onet}.py`` of the PyPI package mtcnn 1.0.0.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import joblib
import numpy as np

from facedex_build.errors import BuildError
from facedex_build.onnx_file import Attribute, Network
from facedex_build.operators import Float64, add_scaled, constants, convolve, float32, prelu

_BLOCK = 16  # channels in a block of ONNX Runtime's blocked layout: 16 with AVX-512, 8 without
_POOLS = {"rnet": ((3, 1), (3, 0)), "onet": ((3, 1), (3, 0), (2, 0))}  # window, padding at the end ("same")
_SIDES = {"rnet": 24, "onet": 48}
_HEADS = {"rnet": {"bbox_reg": 4}, "onet": {"bbox_reg": 4, "landmarks": 10}}
_SHAPES = {
    "pnet": ((3, 3, 3, 10), (3, 3, 10, 16), (3, 3, 16, 32), (1, 1, 32, 4), (1, 1, 32, 2)),
    "rnet": ((3, 3, 3, 28), (3, 3, 28, 48), (2, 2, 48, 64), (576, 128), (128, 4), (128, 2)),
    "onet": (
        (3, 3, 3, 32),
        (3, 3, 32, 64),
        (3, 3, 64, 64),
        (2, 2, 64, 128),
        (1152, 256),
        (256, 4),
        (256, 10),
        (256, 2),
    ),
}


def unpickle(data: bytes, name: str) -> list[Float64]:
    """Return the weights of `name` (pnet, rnet, onet) from the package's file.

    Unpickling can run any code: `data` must be bytes whose digest has been checked.

    Raises
    ------
    BuildError
        The arrays do not have the shapes of that network.
    """
    arrays = [np.asarray(array, np.float64) for array in joblib.load(io.BytesIO(data))]
    shapes = tuple(array.shape for array in arrays if array.ndim in (2, 4))
    if shapes != _SHAPES[name]:
        raise BuildError(f"{name}: weights have the shapes {shapes}; reinstall mtcnn 1.0.0")
    return arrays


def convert(name: str, arrays: Sequence[Float64]) -> bytes:
    """Return the network `name` (pnet, rnet, onet) as an ONNX file."""
    return _convert_grid(arrays) if name == "pnet" else _convert_crops(name, arrays)


def _convert_grid(arrays: Sequence[Float64]) -> bytes:
    """Convert P-Net: convolutions only, an answer for each cell of 12×12 pixels in steps of 2."""
    network = Network("pnet")
    value = network.input("input", ["images", 3, "height", "width"])
    value, channels = _first_of_grid(network, value, *arrays[:3])
    for number in (2, 3):
        filters, biases, slopes = arrays[3 * number - 3 : 3 * number]
        value, channels = _convolve(network, value, f"conv{number}", filters, biases, channels)
        value = _prelu(network, value, slopes.ravel(), channels)

    box, box_biases, classes, class_biases = arrays[9:]
    filters = np.concatenate([box, _against(classes)], axis=-1)
    biases = np.concatenate([box_biases, _against(class_biases)])
    heads = convolve(network, value, "heads", filters.transpose(3, 2, 0, 1), biases)
    _slice(network, heads, "bbox_reg", 0, 4)
    _probability(network, _slice(network, heads, "against", 4, 6))
    network.output("bbox_reg", ["images", 4, "rows", "columns"])
    network.output("prob", ["images", 2, "rows", "columns"])
    return network.to_bytes()


def _first_of_grid(network: Network, value: str, filters: Float64, biases: Float64, slopes: Float64) -> tuple[str, int]:
    """Append P-Net's first convolution, pooled and activated; return its value and channels."""
    slopes = slopes.ravel()
    falling = np.flatnonzero(slopes < 0)
    both = np.concatenate([filters, filters[..., falling] * slopes[falling]], axis=-1)
    both_biases = np.concatenate([biases, biases[falling] * slopes[falling]])
    value, channels = _convolve(network, value, "conv1", both, both_biases, 3)
    pooled = network.node("MaxPool", [value], "pool1", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)

    mix, scales = np.zeros((channels, channels, 1, 1)), np.zeros(channels)
    for channel, slope in enumerate(slopes):
        mix[channel, channel] = -1
        scales[channel] = 1 - slope
    for row, channel in enumerate(falling.tolist(), start=len(slopes)):
        mix[channel, row] = 1  # max(x, slope * x) = x + relu(slope * x - x)
        scales[channel] = 1
    mixed = convolve(network, pooled, "mix1", mix)
    return add_scaled(network, pooled, network.node("Relu", [mixed], "mix1_relu"), scales, "prelu1"), channels


def _convert_crops(name: str, arrays: Sequence[Float64]) -> bytes:
    """Convert R-Net or O-Net: crops of one size, an answer for each crop."""
    network = Network(name)
    side = _SIDES[name]
    value, channels = network.input("input", ["images", 3, side, side]), 3
    pools = (*_POOLS[name], None)
    for number, pool in enumerate(pools, start=1):
        filters, biases, slopes = arrays[3 * number - 3 : 3 * number]
        value, channels = _convolve(network, value, f"conv{number}", filters, biases, channels)
        value = _prelu(network, value, slopes.ravel(), channels)
        if pool is not None:
            window, end = pool
            steps: dict[str, Attribute] = {"kernel_shape": [window] * 2, "strides": [2, 2], "pads": [0, 0, end, end]}
            value = network.node("MaxPool", [value], f"pool{number}", **steps)

    dense, biases, slopes, *heads = arrays[3 * len(pools) :]
    cells = round((len(dense) / channels) ** 0.5)  # 3: the image is 3×3 here
    rows = dense.reshape(cells, cells, channels, -1).transpose(2, 1, 0, 3)  # from (x, y, channel) to ONNX's order
    value = network.node("Flatten", [value], "flat", axis=1)
    value = _multiply(network, value, "dense", rows.reshape(len(dense), -1), biases)
    value = network.node("PRelu", [value, network.tensor("dense_slopes", float32(slopes))], "dense_prelu")
    for number, (output, size) in enumerate(_HEADS[name].items()):
        _multiply(network, value, output, *heads[2 * number : 2 * number + 2])
        network.output(output, ["images", size])
    _probability(network, _multiply(network, value, "against", _against(heads[-2]), _against(heads[-1])))
    network.output("prob", ["images", 2])
    return network.to_bytes()


def _convolve(
    network: Network, value: str, name: str, filters: Float64, biases: Float64, inputs: int
) -> tuple[str, int]:
    """Append a convolution with Keras' filters (rows, columns, in, out), padded with zeros to whole blocks."""
    rows, columns, inner, outputs = filters.shape
    channels = -(-outputs // _BLOCK) * _BLOCK
    padded, padded_biases = np.zeros((channels, inputs, rows, columns)), np.zeros(channels)
    padded[:outputs, :inner] = filters.transpose(3, 2, 0, 1)
    padded_biases[:outputs] = biases
    return convolve(network, value, name, padded, padded_biases), channels


def _prelu(network: Network, value: str, slopes: Float64, channels: int) -> str:
    padded = np.ones(channels)
    padded[: len(slopes)] = slopes
    return prelu(network, value, padded)


def _multiply(network: Network, value: str, name: str, weights: Float64, biases: Float64) -> str:
    return network.node("Gemm", [value, *constants(network, name, weights, biases)], name)


def _slice(network: Network, value: str, name: str, start: int, end: int) -> str:
    bounds = {"start": start, "end": end, "axis": 1}
    inputs = [network.tensor(f"{name}_{key}", np.array([number], np.int64)) for key, number in bounds.items()]
    return network.node("Slice", [value, *inputs], name)


def _against(classes: Float64) -> Float64:
    """Return (face, not a face) minus (not a face, face) along the last axis: the logit against each class."""
    return classes[..., ::-1] - classes


def _probability(network: Network, against: str) -> str:
    """Append ``prob``: 1 / (1 + exp(against))."""
    odds = network.node("Exp", [against], "odds")
    whole = network.node("Add", [odds, network.tensor("one", np.ones(1, np.float32))], "whole")
    return network.node("Reciprocal", [whole], "prob")
