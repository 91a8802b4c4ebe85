"""Where the snapshots of a gallery stand: beside its file, or for a database server in a folder of this machine.

A deletion removes them here at once; another machine's are removed when a gallery is next opened or asked there.
"""

from __future__ import annotations

from pathlib import Path

from ..config import settings
from ..errors import SearchError


def snapshots_beside(path: Path | None, uuid: str) -> Path:
    """Tell the path beside which the snapshots of a gallery stand.

    Parameters
    ----------
    path : Path or None
        The database's file; None when it is on a server.
    uuid : str
        Names the gallery in all the world.

    Returns
    -------
    Path
        In an existing folder; on the file system of a server's client it is for this user's eyes only.

    Raises
    ------
    SearchError
        When that folder cannot be made.
    """
    if path is not None:
        return path
    home = settings().home
    if home is None:
        from platformdirs import user_cache_path

        home = user_cache_path("facedex", appauthor=False)
    folder = home / "galleries"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SearchError(
            f"folder {str(folder)!r} for search snapshots cannot be made: {error.strerror}; "
            "choose another with FACEDEX_HOME"
        ) from error
    return folder / uuid
