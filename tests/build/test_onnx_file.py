"""The ONNX writer: what ONNX Runtime reads back, the bytes themselves, and what is refused."""

import numpy as np
import onnxruntime
import pytest

from facedex_build.onnx_file import Network


def small_network() -> bytes:
    network = Network("small")
    value = network.input("input", ["rows", 3])
    bounds = [network.tensor(name, np.array([at], np.int64)) for name, at in (("from", -2), ("to", 3), ("axis", 1))]
    value = network.node("Slice", [value, *bounds], "last_two")
    value = network.node("Concat", [value, value], "twice", axis=-1)
    weights = network.tensor("weights", np.arange(8, dtype=np.float32).reshape(4, 2))
    network.node("Gemm", [value, weights], "output", alpha=0.5)
    network.output("output", ["rows", 2])
    return network.to_bytes()


def test_onnx_runtime_runs_it() -> None:
    session = onnxruntime.InferenceSession(small_network(), providers=["CPUExecutionProvider"])
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    expected = 0.5 * np.concatenate([rows[:, 1:], rows[:, 1:]], axis=1) @ np.arange(8).reshape(4, 2)
    np.testing.assert_array_equal(session.run(None, {"input": rows})[0], expected)
    assert session.get_inputs()[0].shape == ["rows", 3]
    assert session.get_outputs()[0].shape == ["rows", 2]
    assert session.get_modelmeta().producer_name == "facedex"
    assert session.get_modelmeta().graph_name == "small"


def test_bytes_are_those_of_the_format() -> None:
    network = Network("n")
    network.node("Relu", [network.input("a", [300])], "b")
    network.output("b", ["k"])
    node = b"\x0a\x01a" + b"\x12\x01b" + b"\x1a\x01b" + b"\x22\x04Relu"
    entry = b"\x0a\x01a" + b"\x12\x0b\x0a\x09\x08\x01\x12\x05\x0a\x03\x08\xac\x02"  # 300 is ac 02 as a varint
    leave = b"\x0a\x01b" + b"\x12\x0b\x0a\x09\x08\x01\x12\x05\x0a\x03\x12\x01k"
    graph = b"\x0a" + bytes([len(node)]) + node + b"\x12\x01n"
    graph += b"\x5a" + bytes([len(entry)]) + entry + b"\x62" + bytes([len(leave)]) + leave
    expected = b"\x08\x08" + b"\x12\x07facedex" + b"\x3a" + bytes([len(graph)]) + graph + b"\x42\x04\x0a\x00\x10\x11"
    assert network.to_bytes() == expected


def test_equal_networks_give_equal_bytes() -> None:
    assert small_network() == small_network()


def test_memory_layout_does_not_matter() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    files = []
    for tensor in (values, np.asfortranarray(values), values.astype(">f4").astype(np.float32)):
        network = Network("n")
        network.tensor("t", tensor)
        files.append(network.to_bytes())
    assert files[0] == files[1] == files[2]


def test_other_types_are_refused() -> None:
    with pytest.raises(TypeError, match="tensor t must be float32 or int64, got float64"):
        Network("n").tensor("t", np.zeros(3))  # type: ignore[arg-type]
