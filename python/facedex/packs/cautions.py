"""What the data that a network was trained on allow: a sentence for each collection, with its source."""

from __future__ import annotations

_WEB = "{} was gathered from the web without asking the people in it"
_COLLECTIONS = {
    # Guo et al. (2016) and its site, msceleb.org, while it stood: for non-commercial research. Withdrawn: Financial
    # Times, 6 June 2019, "Microsoft quietly deletes largest public face recognition data set".
    "MS-Celeb-1M": _WEB.format("MS-Celeb-1M")
    + ", for research only, and withdrawn by its publisher, Microsoft, in 2019.",
    # Its parts, as its publisher names them (github.com/deepinsight/insightface).
    "Glint360K": "Glint360K is made of Celeb-500K and MS-Celeb-1M, which its publisher, Microsoft, withdrew in 2019.",
    # The licence agreement at face-benchmark.org.
    "WebFace600K": _WEB.format("WebFace600K, a part of WebFace260M,") + "; it is offered for research only.",
    # Cao et al. (2018), section 3.
    "VGGFace2": _WEB.format("VGGFace2") + ".",
    # Yi et al. (2014).
    "CASIA-WebFace": _WEB.format("CASIA-WebFace") + "; it is offered for research only.",
    # Ng and Winkler (2014); Parkhi et al. (2015).
    "FaceScrub": _WEB.format("FaceScrub") + ".",
    "VGG and": _WEB.format("The VGG collection") + ".",
    # Its page, mmlab.ie.cuhk.edu.hk/projects/CelebA.html, "Agreement".
    "CelebA": "CelebA is offered for non-commercial research only; its pictures are from the web.",
    # huggingface.co/datasets/CUHK-CSE/wider_face, by its publisher.
    "WIDER FACE": "WIDER FACE is under CC BY-NC-ND 4.0, which forbids commercial use; its pictures are from the web.",
    "not disclosed": "The training data are not disclosed, so nobody else can tell what they allow.",
    "not published": "The training data are not published, so nobody else can tell what they allow.",
    "not stated": "The training data are not stated, so nobody else can tell what they allow.",
}
_DECISION = (
    "The licence of the weights does not settle what their training data allow: whoever sells a product with them "
    "decides, and takes advice."
)


def cautions(trained_on: str) -> tuple[str, ...]:
    """Tell what the training data of a network allow, as far as that may matter to whoever sells it.

    Parameters
    ----------
    trained_on : str
        As a manifest states it.

    Returns
    -------
    tuple of str
        A sentence for each collection that is known here, then whose decision it is; empty where none is known.

    Examples
    --------
    >>> "withdrawn" in cautions("MS1MV3, a cleaned MS-Celeb-1M")[0]
    True
    >>> cautions("its authors' own recordings")
    ()
    """
    text = trained_on.casefold()
    found = tuple(caution for name, caution in _COLLECTIONS.items() if name.casefold() in text)
    return (*found, _DECISION) if found else ()
