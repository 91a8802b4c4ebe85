"""What it may mean that a network was trained on a collection of faces: one sentence a collection, with its source."""

from __future__ import annotations

_WITHDRAWN = (
    "MS-Celeb-1M was withdrawn by its publisher, Microsoft, in 2019: it held pictures of people from the web who had "
    "not been asked. The licence of the weights does not settle whose faces they learned from; ask for advice before "
    "you sell a product with them."
)
_WEB = (
    "{} was gathered from the web without asking the people in it, and is offered for research. The licence of the "
    "weights does not settle whose faces they learned from; ask for advice before you sell a product with them."
)

_CAUTIONS = {
    # Financial Times, 6 June 2019, "Microsoft quietly deletes largest public face recognition data set".
    "MS-Celeb-1M": _WITHDRAWN,
    # Its parts, as its publisher names them: Celeb-500K and MS-Celeb-1M (github.com/deepinsight/insightface).
    "Glint360K": "Glint360K is made of Celeb-500K and MS-Celeb-1M. " + _WITHDRAWN,
    # The licence agreement at face-benchmark.org.
    "WebFace600K": _WEB.format("WebFace600K, a part of WebFace260M,"),
    # Cao et al. (2018), section 3.
    "VGGFace2": _WEB.format("VGGFace2"),
    # Yi et al. (2014).
    "CASIA-WebFace": _WEB.format("CASIA-WebFace"),
}


def cautions(trained_on: str) -> tuple[str, ...]:
    """Tell what the training data of a network may mean for its use.

    Parameters
    ----------
    trained_on : str
        As a manifest states it.

    Returns
    -------
    tuple of str
        A sentence or two for each collection that is known here.

    Examples
    --------
    >>> "withdrawn" in cautions("MS1MV3, a cleaned MS-Celeb-1M")[0]
    True
    >>> cautions("WIDER FACE")
    ()
    """
    text = trained_on.casefold()
    return tuple(caution for name, caution in _CAUTIONS.items() if name.casefold() in text)
