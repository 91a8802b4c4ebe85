"""The three networks of MTCNN, as converted into the package, against TensorFlow's answers; no other code between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

import facedex

WEIGHTS = Path(facedex.__file__).parent / "packs" / "data" / "classic"
TOLERANCE = 1e-5
CASES = [*((f"pnet{number}", "pnet") for number in range(5)), ("rnet", "rnet"), ("onet", "onet")]


def answers(net: str, images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """Outputs by the name of the recording, channels last; `images` (n, height, width, 3), uint8."""
    session = onnxruntime.InferenceSession(WEIGHTS / f"{net}.onnx", providers=["CPUExecutionProvider"])
    tensor = ((images.astype(np.float32) - 127.5) / 128).transpose(0, 3, 1, 2)
    names = {"bbox_reg": "reg", "prob": "prob", "landmarks": "landmarks"}
    wanted = [name for name in names if name != "landmarks" or net == "onet"]
    found = session.run(wanted, {"input": np.ascontiguousarray(tensor)})
    return {
        names[name]: output.transpose(0, 2, 3, 1) if output.ndim == 4 else output
        for name, output in zip(wanted, found, strict=True)
    }


def case(nets: dict[str, NDArray[Any]], name: str) -> tuple[NDArray[np.uint8], dict[str, NDArray[np.float32]]]:
    """The recorded input as a batch, and the recorded outputs by name."""
    images = nets[f"{name}_input"]
    outputs = {
        key.removeprefix(f"{name}_"): value
        for key, value in nets.items()
        if key.startswith(f"{name}_") and key != f"{name}_input"
    }
    if images.ndim == 3:
        return images[np.newaxis], {key: value[np.newaxis] for key, value in outputs.items()}
    return images, outputs


@pytest.mark.parametrize(("name", "net"), CASES)
def test_a_network_gives_the_outputs_of_the_reference(nets: dict[str, NDArray[Any]], name: str, net: str) -> None:
    images, expected = case(nets, name)
    found = answers(net, images)
    assert set(found) == set(expected)
    for output, values in expected.items():
        assert found[output].shape == values.shape
        np.testing.assert_allclose(found[output], values, rtol=0, atol=TOLERANCE, err_msg=output)


@pytest.mark.parametrize(("name", "net"), CASES)
def test_swapped_red_and_blue_change_the_result(nets: dict[str, NDArray[Any]], name: str, net: str) -> None:
    images, expected = case(nets, name)
    swapped = answers(net, images[..., ::-1])
    assert np.abs(swapped["reg"] - expected["reg"]).max() > 1000 * TOLERANCE
