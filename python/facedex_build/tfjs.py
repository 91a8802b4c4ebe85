"""Reads a graph model of TensorFlow.js, its JSON and its weights, as nodes and float64 constants.

The converter of TensorFlow.js writes a frozen graph as ``modelTopology`` (a GraphDef as JSON) and ``weightsManifest``,
whose entries follow each other in one little-endian file. Quantised weights, inputs that no node produces and trailing
bytes are refused. Nothing in the files is executed.

Format: ``tfjs-converter/src/operations`` and ``tfjs-core/src/io/types.ts`` of the TensorFlow.js project.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from facedex_build.errors import BuildError
from facedex_build.onnx_file import Network
from facedex_build.operators import Float64, convolve

_MALFORMED = (ValueError, LookupError, TypeError, AttributeError)  # raised by JSON of another structure
_TYPES = {"float32": "<f4", "int32": "<i4"}


@dataclass(frozen=True)
class Node:
    """An operator of the graph.

    Parameters
    ----------
    name, kind
        Its name and TensorFlow's name of the operator.
    inputs
        Names of the nodes whose values it reads.
    attributes
        Its settings, as JSON: see `strings` and `integers`.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def integers(self, name: str) -> tuple[int, ...]:
        """Return the attribute `name`, a list of integers."""
        return tuple(int(value) for value in self._list(name, "i"))

    def strings(self, name: str) -> tuple[str, ...]:
        """Return the attribute `name`, one string or a list of them."""
        attribute = self.attributes.get(name, {})
        values = [attribute["s"]] if "s" in attribute else self._list(name, "s")
        return tuple(base64.b64decode(value).decode("ascii") for value in values)

    def _list(self, name: str, kind: str) -> Sequence[Any]:
        values: Sequence[Any] = self.attributes.get(name, {}).get("list", {}).get(kind, ())
        return values


@dataclass(frozen=True)
class GraphModel:
    """A frozen graph.

    Parameters
    ----------
    nodes
        The operators by name, each after its inputs.
    constants
        The weights by name, float64.
    """

    nodes: Mapping[str, Node]
    constants: Mapping[str, Float64]

    def consumers(self, name: str) -> tuple[Node, ...]:
        """Return the nodes that read the value of the node `name`."""
        return tuple(node for node in self.nodes.values() if name in node.inputs)


@dataclass(frozen=True)
class Convolution:
    """A convolution of the graph, in the layout of ONNX.

    Parameters
    ----------
    filters
        (out, in, rows, columns); (channels, 1, rows, columns) if it is depthwise.
    biases
        (out,), or None.
    stride
        In both directions.
    same
        Whether the image is padded to the size divided by the stride, rounded up.
    depthwise
        Whether each channel has its own filter.
    activated
        Whether it includes a Relu.
    """

    filters: Float64
    biases: Float64 | None
    stride: int
    same: bool
    depthwise: bool
    activated: bool

    def pads(self, side: int) -> tuple[int, int]:
        """Return the padding before the first and after the last of `side` rows, as in TensorFlow."""
        if not self.same:
            return 0, 0
        total = max(0, (-(-side // self.stride) - 1) * self.stride + self.filters.shape[2] - side)
        return total // 2, total - total // 2

    def append(self, network: Network, value: str, name: str, pads: tuple[int, int]) -> str:
        """Append it to a network, without its Relu; return its output."""
        return convolve(
            network, value, name, self.filters, self.biases, stride=self.stride, pads=pads, depthwise=self.depthwise
        )


def read(topology: bytes, weights: bytes) -> GraphModel:
    """Read a graph model.

    Parameters
    ----------
    topology
        The JSON file.
    weights
        The file with the weights.

    Raises
    ------
    BuildError
        It is not a graph model, or the two files do not match.
    """
    try:
        model = json.loads(topology)
        constants = _constants(model["weightsManifest"], weights)
        nodes = [
            Node(node["name"], node["op"], tuple(node.get("input", ())), node.get("attr", {}))
            for node in model["modelTopology"]["node"]
            if node["op"] != "Const"
        ]
        return GraphModel(_in_order(nodes, constants), constants)
    except _MALFORMED as error:
        raise BuildError(f"not a graph model of TensorFlow.js: {error!r}") from error


def convolution(model: GraphModel, node: Node) -> Convolution | None:
    """Return `node` as a convolution, or None if it is another operator.

    Raises
    ------
    BuildError
        It has a form that the converted networks do not use.
    """
    if node.kind not in ("_FusedConv2D", "FusedDepthwiseConv2dNative", "DepthwiseConv2dNative"):
        return None
    depthwise = node.kind != "_FusedConv2D"
    values = [model.constants.get(name) for name in node.inputs[1:]]
    tensors = [value for value in values if value is not None]
    try:
        steps, (same,), fused = node.integers("strides"), node.strings("padding"), node.strings("fused_ops")
        plain = steps == (1, steps[1], steps[1], 1) and set(node.integers("dilations")) <= {1}
    except _MALFORMED as error:
        raise BuildError(f"{node.name}: its attributes cannot be read: {error!r}") from error
    form = (len(values), len(tensors), fused)
    known = ((1, 1, ()), (2, 2, ("BiasAdd",)), (2, 2, ("BiasAdd", "Relu")))
    if form not in known or not plain or same not in ("SAME", "VALID") or tensors[0].ndim != 4:
        raise BuildError(f"{node.name}: a {node.kind} of an unknown form ({steps}, {same}, {fused})")
    filters = tensors[0].transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
    biases = tensors[1] if len(tensors) > 1 else None
    if (depthwise and filters.shape[1] != 1) or (biases is not None and biases.shape != filters.shape[:1]):
        raise BuildError(f"{node.name}: filters of shape {filters.shape} with biases of another")
    return Convolution(filters, biases, steps[1], same == "SAME", depthwise, "Relu" in fused)


def _constants(manifest: Sequence[Mapping[str, Any]], data: bytes) -> dict[str, Float64]:
    constants, start = {}, 0
    for entry in (entry for group in manifest for entry in group["weights"]):
        name, shape, kind = entry["name"], tuple(entry["shape"]), entry["dtype"]
        if kind not in _TYPES or "quantization" in entry:
            raise BuildError(f"weights {name} are {kind}, quantised or not; only plain {', '.join(_TYPES)} are read")
        if any(not isinstance(size, int) or size < 1 for size in shape) or start + 4 * prod(shape) > len(data):
            raise BuildError(f"weights {name} of shape {shape} do not fit into the {len(data) - start} bytes left")
        values = np.frombuffer(data, _TYPES[kind], prod(shape), start).astype(np.float64)
        if not np.isfinite(values).all():
            raise BuildError(f"weights {name} hold a value that is not finite")
        constants[name] = values.reshape(shape)
        start += 4 * prod(shape)
    if start != len(data):
        raise BuildError(f"{len(data) - start} bytes after the last weights")
    return constants


def _in_order(nodes: Sequence[Node], constants: Mapping[str, Float64]) -> dict[str, Node]:
    """Sort the nodes so that each comes after its inputs."""
    ordered: dict[str, Node] = {}
    waiting = list(nodes)
    while waiting:
        ready = [node for node in waiting if all(name in ordered or name in constants for name in node.inputs)]
        if not ready:
            raise BuildError(f"node {waiting[0].name} reads a value that no node of the graph produces")
        ordered.update((node.name, node) for node in ready)
        waiting = [node for node in waiting if node.name not in ordered]
    return ordered
