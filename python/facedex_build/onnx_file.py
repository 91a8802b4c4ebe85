"""Describes networks and writes them as ONNX files.

The few message types of the ONNX format that the conversion uses are written directly in protobuf's wire format: a
converted file is identified by its SHA-256, so equal networks must give equal bytes on every machine and with every
version of Python, which a protobuf library does not promise from one release to the next. Only float32 and int64
tensors and the known attribute types are accepted.

Field numbers: ``onnx/onnx.proto`` of the ONNX project; wire format: the protobuf encoding guide.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

IR_VERSION = 8  # the format of ONNX 1.12; ONNX Runtime 1.20.1, the oldest supported, reads up to 10
OPSET = 17
PRODUCER = "facedex"

Attribute = int | float | str | Sequence[int]
Shape = Sequence[int | str]
Tensor = NDArray[np.float32] | NDArray[np.int64]

_FLOAT, _INT64 = 1, 7  # TensorProto.DataType
_CODES = {np.dtype(np.float32): _FLOAT, np.dtype(np.int64): _INT64}
_ATTRIBUTE_FLOAT, _ATTRIBUTE_INT, _ATTRIBUTE_STRING, _ATTRIBUTE_INTS = 1, 2, 3, 7  # AttributeProto.AttributeType


@dataclass(frozen=True)
class Operator:
    """A node of a graph: its kind, its inputs and its one output, which also names it."""

    kind: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Attribute]


@dataclass
class Network:
    """A graph under construction.

    Parameters
    ----------
    name
        Name of the graph, shown by viewers.

    Attributes
    ----------
    operators
        Its nodes in the order in which they run.
    tensors
        Constant values by name.
    inputs, outputs
        Shapes of the declared values by name.
    """

    name: str
    operators: list[Operator] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    inputs: dict[str, Shape] = field(default_factory=dict)
    outputs: dict[str, Shape] = field(default_factory=dict)

    def input(self, name: str, shape: Shape) -> str:
        """Declare a float32 input; a string in `shape` is a free dimension. Returns `name`."""
        self.inputs[name] = shape
        return name

    def output(self, name: str, shape: Shape) -> None:
        """Declare the value `name` as a float32 output."""
        self.outputs[name] = shape

    def tensor(self, name: str, values: Tensor) -> str:
        """Store constant values. Returns `name`."""
        if values.dtype not in _CODES:
            raise TypeError(f"tensor {name} must be float32 or int64, got {values.dtype}")
        if name in self.tensors:
            raise ValueError(f"there are two tensors {name}")
        self.tensors[name] = values
        return name

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Attribute) -> str:
        """Append an operator with one output, which also names the node. Returns `output`."""
        self.operators.append(Operator(kind, tuple(inputs), output, attributes))
        return output

    def to_bytes(self) -> bytes:
        """Return the ONNX file, which holds the graph, the producer and the versions only."""
        graph = b"".join(_bytes(1, _node(operator)) for operator in self.operators) + _text(2, self.name)
        graph += b"".join(_bytes(5, _tensor(name, values)) for name, values in self.tensors.items())
        for number, values in ((11, self.inputs), (12, self.outputs)):
            graph += b"".join(_bytes(number, _value_info(name, shape)) for name, shape in values.items())
        opset = _text(1, "") + _varint(2, OPSET)
        return _varint(1, IR_VERSION) + _text(2, PRODUCER) + _bytes(7, graph) + _bytes(8, opset)


def _node(operator: Operator) -> bytes:
    body = b"".join(_text(1, name) for name in operator.inputs)
    body += _text(2, operator.output) + _text(3, operator.output) + _text(4, operator.kind)
    return body + b"".join(_bytes(5, part) for part in _attributes(operator.attributes))


def _tensor(name: str, values: Tensor) -> bytes:
    raw = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    dims = b"".join(_varint(1, size) for size in values.shape)
    return dims + _varint(2, _CODES[values.dtype]) + _text(8, name) + _bytes(9, raw)


def _attributes(attributes: Mapping[str, Attribute]) -> list[bytes]:
    parts = []
    for name, value in sorted(attributes.items()):
        if isinstance(value, int):
            body, code = _varint(3, value), _ATTRIBUTE_INT
        elif isinstance(value, float):
            body, code = b"\x15" + struct.pack("<f", value), _ATTRIBUTE_FLOAT
        elif isinstance(value, str):
            body, code = _text(4, value), _ATTRIBUTE_STRING
        else:
            body, code = b"".join(_varint(8, item) for item in value), _ATTRIBUTE_INTS
        parts.append(_text(1, name) + body + _varint(20, code))
    return parts


def _value_info(name: str, shape: Shape) -> bytes:
    sizes = [_text(2, size) if isinstance(size, str) else _varint(1, size) for size in shape]
    tensor = _varint(1, _FLOAT) + _bytes(2, b"".join(_bytes(1, size) for size in sizes))
    return _text(1, name) + _bytes(2, _bytes(1, tensor))


def _number(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers are written as their 64-bit two's complement
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _varint(number: int, value: int) -> bytes:
    return _number(number << 3) + _number(value)


def _bytes(number: int, value: bytes) -> bytes:
    return _number(number << 3 | 2) + _number(len(value)) + value


def _text(number: int, value: str) -> bytes:
    return _bytes(number, value.encode())
