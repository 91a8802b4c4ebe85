"""The converted networks against the definitions they come from, evaluated here in float64 and step by step."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from facedex_build import cascade, resnet, sources
from facedex_build.dlib_dat import AddPrevious, Affine, Convolution, Dense, Layer, Pool, Relu, SavedNetwork
from facedex_build.errors import BuildError

Array = NDArray[np.float64]
CASCADE = {"pnet": (37, 52), "rnet": (24, 24), "onet": (48, 48)}


def run(file: bytes, names: list[str], images: Array) -> list[Array]:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    results: list[Array] = session.run(names, {"input": images.astype(np.float32)})
    return results


# MTCNN, as Keras evaluates it: images (n, rows, columns, channels), filters (rows, columns, in, out)


def convolve(images: Array, filters: Array, biases: Array) -> Array:
    windows = sliding_window_view(images, filters.shape[:2], axis=(1, 2))
    return np.einsum("nyxcij,ijco->nyxo", windows, filters) + biases


def prelu(values: Array, slopes: Array) -> Array:
    return np.where(values > 0, values, values * slopes)


def pool(images: Array, window: int, same: bool) -> Array:
    rows, columns = images.shape[1:3]
    ends = [max(0, (-(-side // 2) - 1) * 2 + window - side) if same else 0 for side in (rows, columns)]
    assert all(end < 2 for end in ends)  # "same" would put a first one at the start from 2 on
    padded = np.pad(images, ((0, 0), (0, ends[0]), (0, ends[1]), (0, 0)), constant_values=-np.inf)
    return sliding_window_view(padded, (window, window), axis=(1, 2))[:, ::2, ::2].max(axis=(-2, -1))


def softmax(values: Array) -> Array:
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def keras(name: str, arrays: list[Array], images: Array) -> list[Array]:
    """Return bbox_reg, landmarks (O-Net), prob, channels last."""
    pools = {"pnet": [(2, True)], "rnet": [(3, True), (3, False)], "onet": [(3, True), (3, False), (2, True)]}[name]
    count = {"pnet": 3, "rnet": 3, "onet": 4}[name]
    values = images
    for number in range(count):
        filters, biases, slopes = arrays[3 * number : 3 * number + 3]
        values = prelu(convolve(values, filters, biases), slopes)
        if number < len(pools):
            values = pool(values, *pools[number])
    rest = arrays[3 * count :]
    if name != "pnet":
        values = values.transpose(0, 2, 1, 3).reshape(len(values), -1)
        values = prelu(values @ rest[0] + rest[1], rest[2])
        rest = rest[3:]
    heads = [weights.reshape(weights.shape[-2:]) for weights in rest[::2]]
    results = [values @ weights + biases for weights, biases in zip(heads, rest[1::2], strict=True)]
    return [*results[:-1], softmax(results[-1])]


def random_weights(name: str) -> list[Array]:
    """Weights of the right shapes with slopes on both sides of 0 and of 1."""
    random = np.random.default_rng(7)
    arrays: list[Array] = []
    shapes = cascade._SHAPES[name]
    activated = len(shapes) - (3 if name == "onet" else 2)  # all but the heads
    for number, shape in enumerate(shapes):
        arrays.append(random.standard_normal(shape) * (2 / np.prod(shape[:-1])) ** 0.5)
        arrays.append(random.standard_normal(shape[-1]) * 0.3)
        if number < activated:
            slopes = random.uniform(-1.3, 1.3, shape[-1])
            arrays.append(slopes.reshape(1, 1, -1) if len(shape) == 4 else slopes)
    return [array.astype(np.float32).astype(np.float64) for array in arrays]


def names(name: str) -> list[str]:
    return ["bbox_reg", "landmarks", "prob"] if name == "onet" else ["bbox_reg", "prob"]


def compare(name: str, arrays: list[Array]) -> None:
    images = np.random.default_rng(3).uniform(-1, 1, (3, *CASCADE[name], 3)).astype(np.float32).astype(np.float64)
    found = run(cascade.convert(name, arrays), names(name), images.transpose(0, 3, 1, 2))
    for result, expected in zip(found, keras(name, arrays, images), strict=True):
        ordered = expected.transpose(0, 3, 1, 2) if expected.ndim == 4 else expected
        assert result.shape == ordered.shape
        np.testing.assert_allclose(result, ordered, rtol=0, atol=2e-6 * max(1, np.abs(ordered).max()))
        assert np.ptp(ordered) > 1e-4  # else it would compare nothing


@pytest.mark.parametrize("name", CASCADE)
def test_cascade_with_random_weights(name: str) -> None:
    compare(name, random_weights(name))


@pytest.mark.parametrize("name", CASCADE)
def test_cascade_with_its_own_weights(name: str) -> None:
    source = {"pnet": sources.PNET, "rnet": sources.RNET, "onet": sources.ONET}[name]
    compare(name, cascade.unpickle(source.read(), name))


@pytest.mark.shared
@pytest.mark.parametrize("name", CASCADE)
def test_cascade_against_the_reference_conversion(name: str, shared: Path) -> None:
    source = {"pnet": sources.PNET, "rnet": sources.RNET, "onet": sources.ONET}[name]
    converted = cascade.convert(name, cascade.unpickle(source.read(), name))
    images = np.random.default_rng(5).uniform(-1, 1, (2, 3, *CASCADE[name]))
    expected = run((shared / "models" / "mtcnn" / f"{name}.onnx").read_bytes(), names(name), images)
    for one, other in zip(run(converted, names(name), images), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=2e-6)


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(BuildError, match=r"rnet: weights have the shapes .*; reinstall mtcnn 1.0.0"):
        cascade.unpickle(sources.PNET.read(), "rnet")


# dlib's network, small: images (n, channels, rows, columns)


def dlib_convolve(images: Array, layer: Convolution) -> Array:
    edge = (layer.padding, layer.padding)
    padded = np.pad(images, ((0, 0), (0, 0), edge, edge))
    windows = sliding_window_view(padded, layer.filters.shape[2:], axis=(2, 3))
    windows = windows[:, :, :: layer.stride, :: layer.stride]
    filters, biases = layer.filters.astype(np.float64), layer.biases.astype(np.float64)
    return np.einsum("ncyxij,ocij->noyx", windows, filters) + biases[:, None, None]


def dlib_pool(images: Array, layer: Pool) -> Array:
    reduce = np.max if layer.kind == "max" else np.mean
    if layer.window == 0:
        return reduce(images, axis=(2, 3))
    windows = sliding_window_view(images, (layer.window,) * 2, axis=(2, 3))
    result: Array = reduce(windows[:, :, :: layer.stride, :: layer.stride], axis=(-2, -1))
    return result


def dlib_add(one: Array, other: Array) -> Array:
    total = np.zeros(np.maximum(one.shape, other.shape))
    for part in (one, other):
        total[tuple(slice(size) for size in part.shape)] += part
    return total


def dlib_evaluate(saved: SavedNetwork, images: Array) -> Array:
    """Evaluate layer by layer; `tagged` is the input of the block, `shortcut` what a halving block adds."""
    values = (images - np.array(saved.means)[:, None, None]) / 256
    tagged, shortcut, stem = values, None, True
    for before, layer in pairwise((None, *saved.layers)):
        if isinstance(layer, Convolution):
            values = dlib_convolve(values, layer)
        elif isinstance(layer, Affine):
            gamma, beta = (array.astype(np.float64)[:, None, None] for array in (layer.gamma, layer.beta))
            values = values * gamma + beta
        elif isinstance(layer, Relu):
            values = np.maximum(values, 0)
            if isinstance(before, AddPrevious):
                tagged = values
        elif isinstance(layer, Pool):
            if stem:
                values = tagged = dlib_pool(values, layer)
                stem = False
            elif layer.window == 0:
                values = dlib_pool(values, layer)
            else:
                shortcut = dlib_pool(tagged, layer)
        elif isinstance(layer, AddPrevious):
            values = dlib_add(values, tagged if shortcut is None else shortcut)
            shortcut = None
        elif isinstance(layer, Dense):
            values = values @ layer.weights.astype(np.float64)
    return values


def small_resnet(side: int = 31, first_padding: int = 0) -> SavedNetwork:
    random = np.random.default_rng(11)

    def convolution(outputs: int, inputs: int, window: int, stride: int) -> list[Layer]:
        filters = random.standard_normal((outputs, inputs, window, window)) * (2 / (inputs * window**2)) ** 0.5
        padding = 1 if stride == 1 else 0
        return [
            Convolution(filters.astype(np.float32), random.standard_normal(outputs, np.float32), stride, padding),
            Affine(random.uniform(0.5, 1.5, outputs).astype(np.float32), random.standard_normal(outputs, np.float32)),
        ]

    def block(outputs: int, inputs: int, stride: int) -> list[Layer]:
        first, second = convolution(outputs, inputs, 3, stride), convolution(outputs, outputs, 3, 1)
        shortcut: list[Layer] = [Pool("avg", 2, 2)] if stride == 2 else []
        return [*first, Relu(), *second, *shortcut, AddPrevious(), Relu()]

    stem, affine = convolution(4, 3, 5, 2)
    assert isinstance(stem, Convolution)
    stem = Convolution(stem.filters * 4, stem.biases, 2, first_padding)
    # 31 → 14 → 6, then 2 beside a shortcut of 3, 1 beside 1: both kinds of padding in space, with and without channels
    layers = [
        stem,
        affine,
        Relu(),
        Pool("max", 3, 2),
        *block(4, 4, 1),
        *block(8, 4, 2),
        *block(8, 8, 2),
        *block(8, 8, 1),
    ]
    dense = Dense(random.standard_normal((8, 5), dtype=np.float32))
    return SavedNetwork((122.75, 117.0, 104.25), side, (*layers, Pool("avg", 0, 1), dense))


@pytest.mark.parametrize("side", [31, 39, 47])
def test_resnet_with_random_weights(side: int) -> None:
    saved = small_resnet(side)
    images = np.random.default_rng(2).integers(0, 256, (3, 3, side, side)).astype(np.float64)
    found = run(resnet.convert(saved), ["embedding"], images)[0]
    expected = dlib_evaluate(saved, images)
    assert found.shape == expected.shape == (3, 5)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    swapped = run(resnet.convert(saved), ["embedding"], images[:, ::-1])[0]
    assert np.abs(swapped - expected).max() > 0.01


def test_a_padded_first_convolution_is_refused() -> None:
    with pytest.raises(BuildError, match="the first convolution pads by 1, so its mean cannot be folded"):
        resnet.convert(small_resnet(first_padding=1))


def test_other_layers_are_refused() -> None:
    saved = small_resnet()
    with pytest.raises(BuildError, match="layer 2 should be Relu, got Pool"):
        resnet.convert(SavedNetwork(saved.means, saved.side, (*saved.layers[:2], *saved.layers[3:])))
    with pytest.raises(BuildError, match="1 layers after the last one"):
        resnet.convert(SavedNetwork(saved.means, saved.side, (*saved.layers, Relu())))
