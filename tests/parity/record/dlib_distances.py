"""Print how far apart dlib's descriptors of different people are: the points of `facedex.scales.DLIB`.

In: the shared subset. Of each picture the face nearest its middle is cut by the engine and described by the built-in
pack's network, whose output is kept as long as it is. Out: false match rate and Euclidean distance, a line each, as far
down as the comparisons reach.

    python tests/parity/record/dlib_distances.py ../shared/assets/faces/lfw-subset
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import onnxruntime

from facedex import Engine
from facedex.evaluate import read_subset
from facedex.evaluate.measure import central_face
from facedex.evaluate.scores import RATES, curve
from facedex.packs import find

NETWORK = "dlib_resnet.onnx"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subset", type=Path, help="folder with pairs.csv")
    protocol = read_subset(parser.parse_args().subset)
    engine = Engine("classic")
    path = next(folder / NETWORK for folder in find("classic").folders if (folder / NETWORK).is_file())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    [name] = [given.name for given in session.get_inputs()]
    descriptors, people = [], []
    for picture, person in zip(protocol.pictures, protocol.people, strict=True):
        face = central_face(engine.analyze(picture))
        if face is None or face.landmarks is None:
            continue
        crop = engine.crop(picture, face.landmarks).transpose(2, 0, 1)[None].astype(np.float32)
        descriptors.append(session.run(None, {name: crop})[0][0])
        people.append(person)
    found, who = np.array(descriptors, dtype=np.float64), np.array(people)
    one, other = np.triu_indices(len(found), k=1)
    apart = who[one] != who[other]
    distances = np.linalg.norm(found[one[apart]] - found[other[apart]], axis=1)
    sys.stdout.write(f"{len(distances)} comparisons of different people among {len(set(people))}\n")
    for rate, value in curve(-distances, [1.0 - rate for rate in RATES], RATES):
        sys.stdout.write(f"{rate:g}\t{-value:.4f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
