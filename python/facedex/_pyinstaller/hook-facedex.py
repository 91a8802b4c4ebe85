"""What PyInstaller must add for facedex and cannot see in its imports.

That is: the networks and manifests of packs, the bundled people and the page; the migrations, which Alembic reads as
source; the modules that are imported by name when first used; the library of ONNX Runtime, which facedex loads without
importing its package; and the packs that pip installed, which announce themselves by an entry point.
"""

from importlib.metadata import entry_points

from PyInstaller.utils.hooks import collect_data_files, collect_dynamic_libs, collect_submodules, copy_metadata

hiddenimports = collect_submodules("facedex")
datas = [
    *collect_data_files("facedex"),
    *collect_data_files("facedex", subdir="store/migrations", include_py_files=True),
    *copy_metadata("facedex"),
]
binaries = collect_dynamic_libs(
    "onnxruntime", search_patterns=["libonnxruntime.so*", "libonnxruntime*.dylib", "onnxruntime*.dll"]
)
for _pack in entry_points(group="facedex.packs"):
    datas += collect_data_files(_pack.value)
    if _pack.dist is not None:
        datas += copy_metadata(_pack.dist.name)
