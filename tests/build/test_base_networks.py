"""The networks of the pack base: their graphs evaluated here as TensorFlow does it, the converted ones, the copies.

The graph is evaluated node by node, channels last, in float64; MobileFaceNet's with both of its faults mended where
they stand. Nothing of the converters is used for it.
"""

import base64
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from facedex_build import blazeface, mobilefacenet, recorded, sources, tfjs
from facedex_build.errors import BuildError
from facedex_build.npm import NpmFile
from facedex_build.onnx_file import Network
from facedex_build.tfjs import GraphModel, Node

pytestmark = pytest.mark.slow

Array = NDArray[np.float64]
CHIPS = Path(__file__).parents[1] / "parity" / "data" / "dlib_chips.png"
HEADS = {"stride16": ("Identity", "Identity_2"), "stride32": ("Identity_1", "Identity_3")}


def read(files: tuple[NpmFile, NpmFile]) -> GraphModel:
    if not all(file.cached for file in files):
        reason = f"{files[0].package.name} is not in the cache: make build fetches it"
        pytest.fail(reason) if os.environ.get("FACEDEX_REQUIRE_SHARED") == "1" else pytest.skip(reason)
    return tfjs.read(*(file.read() for file in files))


@pytest.fixture(scope="module")
def embedder() -> GraphModel:
    return read(sources.MOBILEFACENET)


@pytest.fixture(scope="module")
def detector() -> GraphModel:
    return read(sources.BLAZEFACE)


@pytest.fixture(scope="module")
def faces() -> Array:
    """Two faces, 112×112, about as large in the crop as the network has them: (2, 3, 112, 112), RGB, 0 to 255."""
    sheet = np.asarray(Image.open(CHIPS).convert("RGB"), np.float64)
    crops = [sheet[19:131, 19 + 150 * number :][:, :112] for number in (0, 3)]
    return np.stack(crops).transpose(0, 3, 1, 2)


def run(network: Network, images: Array) -> dict[str, Array]:
    return run_file(network.to_bytes(), images)


def run_file(file: bytes, images: Array) -> dict[str, Array]:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    values = session.run(None, {session.get_inputs()[0].name: images.astype(np.float32)})
    return {output.name: value for output, value in zip(session.get_outputs(), values, strict=True)}


# TensorFlow's operators: images (n, rows, columns, channels)


def strings(node: Node, name: str) -> list[str]:
    attribute = node.attributes.get(name, {})
    coded = [attribute["s"]] if "s" in attribute else attribute.get("list", {}).get("s", [])
    return [base64.b64decode(value).decode() for value in coded]


def pad(images: Array, node: Node, window: int, stride: int, value: float = 0.0) -> Array:
    if strings(node, "padding") == ["VALID"]:
        return images
    ends = []
    for side in images.shape[1:3]:
        total = max(0, (int(np.ceil(side / stride)) - 1) * stride + window - side)
        ends.append((total // 2, total - total // 2))
    return np.pad(images, ((0, 0), *ends, (0, 0)), constant_values=value)


def convolve(images: Array, filters: Array, node: Node, depthwise: bool) -> Array:
    stride = int(node.attributes["strides"]["list"]["i"][1])
    windows = sliding_window_view(pad(images, node, len(filters), stride), filters.shape[:2], axis=(1, 2))
    windows = windows[:, ::stride, ::stride]
    if depthwise:
        return np.einsum("nyxcij,ijc->nyxc", windows, filters[..., 0], optimize=True)
    return np.einsum("nyxcij,ijco->nyxo", windows, filters, optimize=True)


def evaluate(model: GraphModel, images: Array, *, repair: bool = False) -> dict[str, Array]:
    """Return the value of every node up to those that want one size of picture."""
    values: dict[str, Array] = dict(model.constants)
    for node in model.nodes.values():
        taken = [values[name] for name in node.inputs if name in values]
        if len(taken) < len(node.inputs) or node.kind in ("Reshape", "Squeeze", "Square"):
            continue
        if node.kind == "Placeholder":
            value = images.transpose(0, 2, 3, 1)
        elif "Conv2" in node.kind:
            value = convolve(taken[0], taken[1], node, "Depthwise" in node.kind)
            fused = strings(node, "fused_ops")
            value = value + taken[2] if "BiasAdd" in fused else value
            value = np.maximum(value, 0) if "Relu" in fused and not repair else value
        elif node.kind in ("Add", "AddV2"):
            # what a convolution gave takes the place of its Relu, which it lost
            of_prelu = repair and node.name.endswith("/add") and "Conv2" in model.nodes[node.inputs[0]].kind
            value = (np.maximum(taken[0], 0) if of_prelu else taken[0]) + taken[1]
        elif node.kind == "Mul":
            value = taken[0] * (-taken[1] if repair else taken[1])
        elif node.kind == "MaxPool":
            padded = pad(taken[0], node, 2, 2, -np.inf)
            value = sliding_window_view(padded, (2, 2), axis=(1, 2))[:, ::2, ::2].max(axis=(-2, -1))
        elif node.kind == "Pad":
            value = np.pad(taken[0], taken[1].astype(int).tolist())
        else:
            value = {"Relu": lambda x: np.maximum(x, 0), "Abs": np.abs, "Sub": np.subtract}[node.kind](*taken)
        values[node.name] = value
    return values


def embeddings(model: GraphModel, images: Array, *, repair: bool = True) -> Array:
    (end,) = (node.inputs[0] for node in model.nodes.values() if node.kind == "Squeeze")
    return evaluate(model, images, repair=repair)[end][:, 0, 0]


def heads(model: GraphModel, images: Array) -> dict[str, Array]:
    """Return scores, then values of the anchors of both grids, channels first."""
    values = evaluate(model, images)
    grids = {}
    for name, outputs in HEADS.items():
        convolutions = [model.nodes[model.nodes[output].inputs[0]].inputs[0] for output in outputs]
        grids[name] = np.concatenate([values[node] for node in convolutions], axis=-1).transpose(0, 3, 1, 2)
    return grids


def agree(found: Array, expected: Array, tolerance: float) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())
    assert np.ptp(expected) > 1  # else it would compare nothing


def test_mobilefacenet_equals_its_repaired_graph(embedder: GraphModel, faces: Array) -> None:
    images = (faces - 127.5) / 128
    expected = embeddings(embedder, images)
    network = mobilefacenet.convert(embedder)
    agree(recorded.run(network, {"input": images})["embedding"], expected, 1e-6)
    agree(run(network, images)["embedding"], expected, 3e-6)
    broken = embeddings(embedder, images, repair=False)
    assert np.abs(broken - expected).max() > 0.1 * np.abs(expected).max()


@pytest.mark.shared
def test_mobilefacenet_equals_the_shared_copy(embedder: GraphModel, faces: Array, shared: Path) -> None:
    images = (faces - 127.5) / 128
    copy = (shared / "models" / "sirius" / "mobilefacenet_sirius_192d.onnx").read_bytes()
    (expected,) = run_file(copy, images).values()
    found = run(mobilefacenet.convert(embedder), images)["embedding"]
    found, expected = (values / np.linalg.norm(values, axis=1, keepdims=True) for values in (found, expected))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("rows", "columns"), [(256, 256), (128, 192), (32, 32), (64, 320)])
def test_blazeface_equals_its_graph_at_any_size(detector: GraphModel, rows: int, columns: int) -> None:
    images = np.random.default_rng(3).uniform(-1, 1, (2 if rows < 200 else 1, 3, rows, columns))
    expected = heads(detector, images)
    network = blazeface.convert(detector)
    plain, found = recorded.run(network, {"input": images}), run(network, images)
    for name, sizes in {
        "stride16": (34, rows // 16, columns // 16),
        "stride32": (102, rows // 32, columns // 32),
    }.items():
        assert expected[name].shape == (len(images), *sizes)
        agree(plain[name], expected[name], 1e-6)
        agree(found[name], expected[name], 3e-6)


@pytest.mark.shared
def test_blazeface_equals_the_shared_copy(detector: GraphModel, shared: Path) -> None:
    images = np.random.default_rng(5).uniform(-1, 1, (1, 3, 256, 256))
    copy = run_file((shared / "models" / "blazeface" / "blazeface_back_256.onnx").read_bytes(), images)
    found = run(blazeface.convert(detector), images)
    for (name, outputs), anchors in zip(HEADS.items(), (2, 6), strict=True):
        by_cell = found[name][0].transpose(1, 2, 0)
        agree(by_cell[..., :anchors].reshape(-1, 1), copy[outputs[0]][0], 3e-6)
        agree(by_cell[..., anchors:].reshape(-1, 16), copy[outputs[1]][0], 3e-6)


# What a build compares with: nothing but the right network may pass


def test_the_converted_networks_give_the_recorded_outputs(embedder: GraphModel, detector: GraphModel) -> None:
    recorded.check("mobilefacenet_sirius.onnx", mobilefacenet.convert(embedder))
    recorded.check("blazeface_back.onnx", blazeface.convert(detector))


def swapped(network: Network) -> Network:
    """Return the network with red and blue exchanged in its first convolution."""
    name = next(operator.inputs[1] for operator in network.operators if operator.kind == "Conv")
    return replace(network, tensors={**network.tensors, name: network.tensors[name][:, ::-1]})


def test_swapped_red_and_blue_are_detected(embedder: GraphModel, detector: GraphModel) -> None:
    with pytest.raises(BuildError, match=r"mobilefacenet_sirius.onnx is not the expected network: embedding is off by"):
        recorded.check("mobilefacenet_sirius.onnx", swapped(mobilefacenet.convert(embedder)))
    with pytest.raises(BuildError, match=r"blazeface_back.onnx is not the expected network: stride16 is off by"):
        recorded.check("blazeface_back.onnx", swapped(blazeface.convert(detector)))


def test_a_wrong_repair_is_detected(embedder: GraphModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def negated(model: GraphModel, node: Node) -> mobilefacenet._Layer | None:
        layer = prelu(model, node)
        if layer is None:
            return None
        return replace(layer, kind=mobilefacenet._PRelu(-layer.kind.slopes))  # type: ignore[union-attr]

    prelu = mobilefacenet._prelu
    monkeypatch.setattr(mobilefacenet, "_prelu", negated)
    with pytest.raises(BuildError, match="is not the expected network"):
        recorded.check("mobilefacenet_sirius.onnx", mobilefacenet.convert(embedder))


def test_one_wrong_slope_is_detected(embedder: GraphModel) -> None:
    network = mobilefacenet.convert(embedder)
    name = [name for name in network.tensors if "scaled" in name][20]
    scales = network.tensors[name].copy()
    scales[0] += 0.1
    with pytest.raises(BuildError, match="is not the expected network"):
        recorded.check("mobilefacenet_sirius.onnx", replace(network, tensors={**network.tensors, name: scales}))


def test_another_graph_is_refused(embedder: GraphModel, detector: GraphModel) -> None:
    with pytest.raises(BuildError, match="MobileFaceNet: 1 inputs and 0 outputs"):
        mobilefacenet.convert(detector)
    with pytest.raises(BuildError, match="BlazeFace: no convolution produces Identity"):
        blazeface.convert(embedder)
    (name,) = (node.name for node in embedder.nodes.values() if node.name.endswith("Conv2d_7/Abs"))
    altered = {**embedder.nodes, name: replace(embedder.nodes[name], kind="Relu")}
    with pytest.raises(BuildError, match=r"MobileFaceNet: .*Conv2d_7/add is not the expected PRelu"):
        mobilefacenet.convert(replace(embedder, nodes=altered))
    activated = next(node for node in embedder.nodes.values() if "Relu" in node.strings("fused_ops"))
    plain = replace(activated, attributes={**activated.attributes, "fused_ops": {"list": {"s": ["Qmlhc0FkZA=="]}}})
    with pytest.raises(BuildError, match="MobileFaceNet: 15 convolutions with a Relu, expected 16"):
        mobilefacenet.convert(replace(embedder, nodes={**embedder.nodes, activated.name: plain}))


def test_the_check_knows_its_operators() -> None:
    network = Network("other")
    network.node("Tanh", [network.input("input", [1])], "output")
    network.output("output", [1])
    with pytest.raises(BuildError, match="does not know operator Tanh"):
        recorded.run(network, {"input": np.zeros(1)})
