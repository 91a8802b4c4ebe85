"""What a gallery owes the people in it: purge, vacuum, audit, and its key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import documents
from .opening import gallery_at
from .options import DatabaseOption, GalleryOption, JsonOption, PackOption
from .output import NO, answering, counted, document, say, table

if TYPE_CHECKING:
    from ..records import AuditEvent, AuditReport

audit = typer.Typer(help="Show who did what to whom and when, and check that nothing of it was altered.")
keys = typer.Typer(help="Change the key of a gallery, or its pack.")

_UNWIPED = "It may still stand in the database's logs: another program was reading them, or it is a server's."


def purge(
    db: DatabaseOption = None, within: GalleryOption = None, pack: PackOption = None, as_json: JsonOption = False
) -> None:
    """Delete everybody who may be kept no longer. Run it from a timer, as often as it must be on time."""
    with answering(as_json):
        with gallery_at(db, within, pack=pack) as gallery:
            receipts = gallery.purge()
        if as_json:
            document({"purged": [documents.deletion(receipt) for receipt in receipts]})
            return
        for receipt in receipts:
            say(f"deleted {receipt.person_id!r} with {counted(len(receipt.faces), 'face')}, receipt {receipt.digest}")
        say(f"{counted(len(receipts), 'person', 'people')} purged")
        if not all(receipt.wiped for receipt in receipts):
            say(_UNWIPED)


def vacuum(
    db: DatabaseOption = None, within: GalleryOption = None, pack: PackOption = None, as_json: JsonOption = False
) -> None:
    """Write the database anew without what was deleted, and give the space back to the disk."""
    with answering(as_json):
        with gallery_at(db, within, pack=pack) as gallery:
            wiped = gallery.vacuum()
        if as_json:
            document({"wiped": wiped})
        else:
            say("what was deleted stands in no file now" if wiped else f"the tables were written anew. {_UNWIPED}")


@audit.command("list")
def audit_list(
    after: Annotated[int, typer.Option("--after", min=0, metavar="NUMBER", help="Only lines after this one.")] = 0,
    person: Annotated[str | None, typer.Option("--person", metavar="ID", help="Only lines about this person.")] = None,
    db: DatabaseOption = None,
    within: GalleryOption = None,
    pack: PackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the lines of the audit, oldest first. Who was deleted is not named."""
    with answering(as_json):
        with gallery_at(db, within, pack=pack) as gallery:
            lines = [
                event for event in gallery.audit(after=after) if person is None or _named(event.person_id) == person
            ]
        if as_json:
            document({"events": [documents.audit_event(event) for event in lines]})
            return
        if lines:
            columns = ["line", "time (UTC)", "actor", "what", "person", "similarity", "threshold"]
            table(columns, [_cells(event) for event in lines], right="line,similarity,threshold")
        say(counted(len(lines), "line"))


_NOTED = typer.Option(
    "--noted",
    metavar="NUMBER:DIGEST",
    help="A head that was printed before and kept elsewhere: shows whether the audit was written anew since.",
)


@audit.command("verify")
def audit_verify(
    noted: Annotated[str | None, _NOTED] = None,
    keyed: Annotated[
        bool,
        typer.Option(
            "--key", help="Its end must be sealed with FACEDEX_AUDIT_KEY, or FACEDEX_KEY of an encrypted gallery."
        ),
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="FILE", help="Check a file that 'audit export' wrote, and no database."),
    ] = None,
    db: DatabaseOption = None,
    within: GalleryOption = None,
    pack: PackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check the chain of the audit. Exit code 1: it names the first line that is altered, missing, moved or added."""
    with answering(as_json):
        if export is None:
            with gallery_at(db, within, pack=pack) as gallery:
                report = gallery.check_audit(noted=noted, keyed=keyed)
        else:
            report = _exported(export, noted, keyed)
        _tell(report, as_json)


@audit.command("seal")
def audit_seal(
    noted: Annotated[str | None, _NOTED] = None,
    db: DatabaseOption = None,
    within: GalleryOption = None,
    pack: PackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Seal an audit that was started or continued without the key. Compare its head with a recorded one first."""
    with answering(as_json):
        with gallery_at(db, within, pack=pack) as gallery:
            report = gallery.seal_audit(noted=noted)
        _tell(report, as_json)


@audit.command("export")
def audit_export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; only its owner can read it.")],
    db: DatabaseOption = None,
    within: GalleryOption = None,
    pack: PackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the audit to a file that 'audit verify --export' checks, signed where there is a key."""
    with answering(as_json):
        with gallery_at(db, within, pack=pack) as gallery:
            size = gallery.export_audit(file)
            signed = gallery.check_audit().sealed is not None
        if as_json:
            document({"file": str(file), "bytes": size, "signed": signed})
        else:
            say(f"wrote {size} bytes to {file}, " + ("signed" if signed else "NOT signed: there is no key"))


def _exported(path: Path, noted: str | None, keyed: bool) -> AuditReport:
    from ..config import settings
    from ..errors import ArgumentError
    from ..gallery.custody import head_of
    from ..store import Vault, audit_keys, check_exported

    key = settings().key
    report = check_exported(
        path,
        lambda gallery: audit_keys(gallery, None if key is None else Vault(key, gallery)),
        None if noted is None else head_of(noted),
    )
    if keyed and report.sealed is None and report.whole:
        raise ArgumentError("the signature can be checked only with the key; set FACEDEX_AUDIT_KEY")
    if keyed and report.whole and not report.sealed:
        return replace(report, first_bad=1, reason="it is not signed with this key, or was written anew without it")
    return report


def _tell(report: AuditReport, as_json: bool) -> None:
    """Show what was found of an audit, and end with code 1 where it is not whole."""
    head = f"{report.lines}:{report.head}" if report.lines else None
    if as_json:
        found = {"whole": report.whole, "lines": report.lines, "head": head, "sealed": report.sealed}
        document(found | {"first_bad": report.first_bad, "reason": report.reason})
    elif report.whole:
        sealed = {True: ", sealed with the key", False: ", NOT sealed with the key", None: ""}[report.sealed]
        say(f"whole: {counted(report.lines, 'line')}" + (f", head {head}" if head else "") + sealed)
    else:
        say(f"NOT WHOLE: {report.reason}")
    if not report.whole:
        raise typer.Exit(NO)


@keys.command("new-key")
def new_key() -> None:
    """Print a new random key, for FACEDEX_KEY or a file. Whoever loses it loses the templates."""
    import base64
    import secrets

    from ..config import KEY_BYTES

    typer.echo(base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode("ascii"))


@keys.command("rekey")
def rekey(
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--new-key-file", metavar="FILE", help="File with the new key, as 'new-key' prints it; - is standard input."
        ),
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Store the templates without encryption.")] = False,
    db: DatabaseOption = None,
    within: GalleryOption = None,
    pack: PackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Encrypt a gallery with a new key. The present key, if there is one, is read from FACEDEX_KEY."""
    if (key_file is None) != plain:
        raise typer.BadParameter("give either --new-key-file FILE or --plain", param_hint="--new-key-file")
    key = None if key_file is None else key_in(key_file, "--new-key-file")
    with answering(as_json):
        with gallery_at(db, within, pack=pack) as gallery:
            wiped = gallery.rekey(key)
        if as_json:
            document({"encrypted": key is not None, "wiped": wiped})
            return
        say("the gallery is not encrypted now" if key is None else "the gallery opens with the new key only")
        if not wiped:
            say(_UNWIPED)


def key_in(path: Path, option: str) -> bytes:
    """Read a key from a file: a key on the command line would stand in the list of processes."""
    from ..config import key_from
    from ..errors import ArgumentError

    try:
        text = typer.get_text_stream("stdin").read(1000) if str(path) == "-" else path.read_text("ascii")
        return key_from(text, str(path))
    except (OSError, UnicodeDecodeError, ArgumentError) as error:
        raise typer.BadParameter(f"no key can be read from {path}: {error}", param_hint=option) from error


def _cells(event: AuditEvent) -> list[str]:
    who = "(deleted)" if event.erased or event.kind == "delete" else _named(event.person_id) or ""
    scores = ["" if score is None else f"{score:.3f}" for score in (event.similarity, event.threshold)]
    return [str(event.seq), f"{event.at:%Y-%m-%d %H:%M:%S}", event.actor or "", event.kind, who, *scores]


def _named(person_id: str | int | None) -> str | None:
    return None if person_id is None else str(person_id)
