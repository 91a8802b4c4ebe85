"""Record what the networks of the pack base answer for the picture with which a build checks its conversion.

In: the copies of both networks that were converted independently of this project, in the folder of shared models. Out:
`python/facedex_build/recorded.json`, see `facedex_build/recorded.py`. BlazeFace's copy has its scores and values sorted
by cell and in outputs of their own; they are brought into the order of the converted network here.

    PYTHONPATH=python python tests/parity/record/base_networks.py --models DIR

Needs onnxruntime.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from facedex_build import recorded

Array = np.ndarray[Any, Any]

STEPS = {"embedding": 1, "stride16": 29, "stride32": 23}  # about 300 values of each grid, of all its channels


def run(path: Path, side: int, scale: float) -> dict[str, Array]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    values = session.run(None, {session.get_inputs()[0].name: recorded.picture(side, scale).astype(np.float32)})
    return {output.name: value for output, value in zip(session.get_outputs(), values, strict=True)}


def grid(scores: Array, values: Array, side: int) -> Array:
    """(1, cells * anchors, 1) and (1, cells * anchors, 16) → (1, anchors * 17, side, side)."""
    parts = [part.reshape(side, side, -1).transpose(2, 0, 1) for part in (scores, values)]
    return np.concatenate(parts)[None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True)
    models = parser.parse_args().models
    embedder = run(models / "sirius" / "mobilefacenet_sirius_192d.onnx", 112, 128.0)
    heads = run(models / "blazeface" / "blazeface_back_256.onnx", 256, 127.5)
    grids = {
        "stride16": grid(heads["Identity"], heads["Identity_2"], 16),
        "stride32": grid(heads["Identity_1"], heads["Identity_3"], 8),
    }
    record = {
        "mobilefacenet_sirius.onnx": {
            "side": 112,
            "scale": 128.0,
            "outputs": {"embedding": next(iter(embedder.values()))},
        },
        "blazeface_back.onnx": {"side": 256, "scale": 127.5, "outputs": grids},
    }
    for entry in record.values():
        entry["outputs"] = {
            name: [STEPS[name], [round(float(value), 5) for value in values.ravel()[:: STEPS[name]]]]
            for name, values in entry["outputs"].items()
        }
    recorded.RECORD.write_text(json.dumps(record, separators=(",", ":")) + "\n", "utf-8")


if __name__ == "__main__":
    main()
