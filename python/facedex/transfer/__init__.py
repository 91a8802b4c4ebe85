"""Import people from other programs; export and import a whole gallery as one file.

Examples
--------
>>> import tempfile
>>> from facedex import Gallery, people, transfer
>>> with tempfile.TemporaryDirectory() as folder, Gallery.open(f"{folder}/people.db") as gallery:
...     report = transfer.import_from(gallery, people.FOLDER / "people")
...     written = transfer.export_to(gallery, f"{folder}/people.fdx")
>>> report
ImportReport(folder: 8 people, 24 faces, 0 photos, 0 skipped, 0 rejected)
>>> written.people, written.faces, written.encrypted
(8, 24, False)
"""

from .archive import pack_of
from .export import ExportReport, export_to
from .importing import import_from, kind_of
from .report import ImportReport

__all__ = ["ExportReport", "ImportReport", "export_to", "import_from", "kind_of", "pack_of"]
