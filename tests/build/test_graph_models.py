"""Graph models of TensorFlow.js: what the reader accepts and refuses, on a small graph made here."""

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facedex_build import tfjs
from facedex_build.errors import BuildError

RANDOM = np.random.default_rng(4)
FILTERS = RANDOM.standard_normal((3, 3, 2, 5), dtype=np.float32)  # rows, columns, in, out
BIASES = RANDOM.standard_normal(5, dtype=np.float32)
BY_CHANNEL = RANDOM.standard_normal((3, 3, 5, 1), dtype=np.float32)
PADDINGS = np.array([[0, 0], [0, 3]], np.int32)
WEIGHTS = {"filters": FILTERS, "biases": BIASES, "by_channel": BY_CHANNEL, "paddings": PADDINGS}
DATA = b"".join(values.tobytes() for values in WEIGHTS.values())


def text(*values: str) -> dict[str, Any]:
    coded = [base64.b64encode(value.encode()).decode() for value in values]
    return {"s": coded[0]} if len(coded) == 1 else {"list": {"s": coded}}


def steps(y: int, x: int) -> dict[str, Any]:
    return {"list": {"i": ["1", str(y), str(x), "1"]}}


def model() -> dict[str, Any]:
    fused = {"strides": steps(2, 2), "padding": text("SAME"), "fused_ops": text("BiasAdd", "Relu")}
    depthwise = {"strides": steps(1, 1), "padding": text("VALID")}
    nodes = [
        # an order in which they cannot run
        {"name": "second", "op": "DepthwiseConv2dNative", "input": ["first", "by_channel"], "attr": depthwise},
        {"name": "first", "op": "_FusedConv2D", "input": ["image", "filters", "biases"], "attr": fused},
        {"name": "filters", "op": "Const"},
        {"name": "image", "op": "Placeholder"},
    ]
    manifest = [
        {"name": name, "shape": list(values.shape), "dtype": str(values.dtype)} for name, values in WEIGHTS.items()
    ]
    groups = [{"paths": ["model.bin"], "weights": manifest[:1]}, {"paths": ["model.bin"], "weights": manifest[1:]}]
    return {"modelTopology": {"node": nodes}, "weightsManifest": groups}


def read(change: Callable[[dict[str, Any]], object] = lambda _: None, data: bytes = DATA) -> tfjs.GraphModel:
    content = model()
    change(content)
    return tfjs.read(json.dumps(content).encode(), data)


def test_a_written_file_is_read_back() -> None:
    graph = read()
    assert list(graph.nodes) == ["image", "first", "second"]
    for name, values in WEIGHTS.items():
        np.testing.assert_array_equal(graph.constants[name], values)
    assert [node.name for node in graph.consumers("first")] == ["second"]

    first = tfjs.convolution(graph, graph.nodes["first"])
    assert first is not None
    np.testing.assert_array_equal(first.filters, FILTERS.transpose(3, 2, 0, 1))
    np.testing.assert_array_equal(first.biases, BIASES)
    assert (first.stride, first.same, first.depthwise, first.activated) == (2, True, False, True)
    second = tfjs.convolution(graph, graph.nodes["second"])
    assert second is not None
    np.testing.assert_array_equal(second.filters[:, 0], BY_CHANNEL[..., 0].transpose(2, 0, 1))
    assert (second.biases, second.stride, second.same, second.depthwise) == (None, 1, False, True)
    assert tfjs.convolution(graph, graph.nodes["image"]) is None


@pytest.mark.parametrize(("side", "pads"), [(8, (0, 1)), (7, (1, 1)), (1, (1, 1))])
def test_padding_is_as_tensorflow_counts_it(side: int, pads: tuple[int, int]) -> None:
    graph = read()
    first = tfjs.convolution(graph, graph.nodes["first"])
    assert first is not None
    assert first.pads(side) == pads


def entry(content: dict[str, Any], number: int) -> dict[str, Any]:
    return [found for group in content["weightsManifest"] for found in group["weights"]][number]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("weightsManifest"), "not a graph model of TensorFlow.js"),
        (lambda content: content.update(modelTopology=[]), "not a graph model of TensorFlow.js"),
        (lambda content: entry(content, 0).update(quantization={"scale": 2}), "filters are float32, quantised"),
        (lambda content: entry(content, 3).update(dtype="uint8"), "paddings are uint8"),
        (lambda content: entry(content, 0).update(shape=[3, 3, 2, 10**9]), r"of shape .* do not fit"),
        (lambda content: entry(content, 0).update(shape=[-3, 3, 2, -5]), r"of shape .* do not fit"),
        (lambda content: entry(content, 3).update(shape=[1]), "12 bytes after the last weights"),
        (lambda content: content["modelTopology"]["node"].pop(1), "second reads a value that no node"),
    ],
)
def test_refuses(change: Callable[[dict[str, Any]], object], message: str) -> None:
    with pytest.raises(BuildError, match=message) as caught:
        read(change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "attribute",
    [
        {"strides": steps(2, 1)},
        {"strides": {"list": {"i": ["2", "2", "2", "1"]}}},
        {"padding": text("EXPLICIT")},
        {"fused_ops": text("BiasAdd", "Elu")},
        {"fused_ops": text("BiasAdd", "Relu", "Relu")},
        {"dilations": steps(2, 2)},
    ],
)
def test_a_convolution_of_another_form_is_refused(attribute: dict[str, Any]) -> None:
    graph = read(lambda content: content["modelTopology"]["node"][1]["attr"].update(attribute))
    with pytest.raises(BuildError, match="first: a _FusedConv2D of an unknown form"):
        tfjs.convolution(graph, graph.nodes["first"])


def test_a_value_that_is_not_finite_is_refused() -> None:
    spoilt = np.array([np.nan], np.float32).tobytes() + DATA[4:]
    with pytest.raises(BuildError, match="filters hold a value that is not finite"):
        read(data=spoilt)


def test_every_truncation_is_refused() -> None:
    for length in range(0, len(DATA), 7):
        with pytest.raises(BuildError):
            read(data=DATA[:length])


@given(st.data())
def test_damaged_json_raises_only_build_errors(data: st.DataObject) -> None:
    damaged = bytearray(json.dumps(model()).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        graph = tfjs.read(bytes(damaged), DATA)
        for node in graph.nodes.values():
            tfjs.convolution(graph, node)
    except BuildError:
        return
