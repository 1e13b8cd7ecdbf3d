"""The house's structure, read from the source: who may import whom, what may not be called, how long a unit may be.

The table is the one direction of the architecture: a package imports only what is named in its row. A new package
fails here until it has a row, which is the moment to think about where it stands.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Dict, FrozenSet, Iterator, List, NamedTuple, Set, Tuple

import pytest

import imagebuild

CORE = Path(imagebuild.__file__).parent
ROOT = CORE.parents[2]
BACKEND = ROOT / "pants-plugins" / "pants_kaniko"

VALUES = "errors oci canonical"
PURE = f"{VALUES} layer llb users symbolic_mode dockerfile lower seams"
EFFECTS = "runtime snapshot store registry cache remote"

# package of imagebuild -> the packages of imagebuild that it may import, besides itself
MAY_IMPORT = {
    "__init__": "",
    "errors": "",
    "oci": "errors",
    "canonical": "errors oci",
    "layer": VALUES,
    "llb": VALUES,
    "users": f"{VALUES} layer",
    "symbolic_mode": "errors",
    "dockerfile": f"{VALUES} llb symbolic_mode",
    "lower": f"{VALUES} layer llb users dockerfile",
    "check": f"{VALUES} llb dockerfile lower",
    "seams": f"{VALUES} layer llb",
    "snapshot": f"{VALUES} layer llb seams",
    "runtime": f"{VALUES} layer llb users seams snapshot",  # chroot compares a copied root
    "store": f"{VALUES} layer llb seams snapshot",
    "registry": f"{VALUES} seams",
    "cache": f"{VALUES} layer llb seams store registry",
    "remote": f"{VALUES} layer llb seams store registry",
    "execute": f"{PURE} {EFFECTS}",
    "serve": f"{VALUES} runtime store",
    "command_line": "errors",
    "cli": f"{PURE} {EFFECTS} execute serve command_line",
    "__main__": "errors cli",
}

# library -> the packages of imagebuild that may import it
LIBRARIES = {
    "requests": {"registry"},
    "urllib3": {"registry"},
    "isal": {"layer"},
    "zstandard": {"layer"},
    "dockerfile_parse": {"dockerfile"},
}

# What the backend may have in Pants' own process, reached directly or through the core.
IN_PROCESS = {"pants", "pants_kaniko", "imagebuild", "dockerfile_parse"}

_FROZEN = frozenset({"_frozen_importlib", "_frozen_importlib_external"})

EXTRACTING = {"extract", "extractall", "unpack_archive"}

FILE_LINES, FUNCTION_LINES = 300, 60


class Import(NamedTuple):
    line: int
    module: str
    top_level: bool  # happens when the module is imported


def module_name(path: Path, base: Path) -> str:
    """``oci/__init__.py`` -> ``imagebuild.oci`` for a file under the package directory ``base``."""
    parts = [base.name, *path.relative_to(base).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def python_files(*bases: Path) -> List[Path]:
    return sorted(path for base in bases for path in base.rglob("*.py"))


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def _absolute(node: ast.ImportFrom, package: Tuple[str, ...]) -> str:
    prefix = package[: len(package) - node.level + 1] if node.level else ()
    return ".".join([*prefix, *([node.module] if node.module else [])])


def _typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in (
        "TYPE_CHECKING",
        "typing.TYPE_CHECKING",
    )


def imports(path: Path, base: Path) -> Iterator[Import]:
    """Every module that ``path`` names in an import, ``from a import b`` giving both ``a`` and ``a.b``."""
    package = (base.name, *path.relative_to(base).parent.parts)

    def walk(node: ast.AST, top_level: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, top_level)
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(node, package)
            for alias in node.names:
                yield Import(node.lineno, f"{module}.{alias.name}", top_level)
        inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            yield from walk(child, top_level and not inside and not _typing_only(node))

    return walk(parse(path), True)


def package_of(module: str) -> str:
    """``imagebuild.oci.hash`` -> ``oci``; the root package itself is ``__init__``."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def is_standard(module: str) -> bool:
    """Python 3.9 has no list of its own modules: a library is what is not built in, frozen or beside ``ast``."""
    name = module.split(".")[0]
    names: FrozenSet[str] = getattr(sys, "stdlib_module_names", _FROZEN)
    library = Path(ast.__file__).parent
    found = [library / name, library / f"{name}.py", *library.glob(f"lib-dynload/{name}.*")]
    return name in names or name in sys.builtin_module_names or any(path.exists() for path in found)


def core_package(path: Path) -> str:
    return package_of(module_name(path, CORE))


def violation(package: str, module: str) -> str:
    """Why ``package`` of the core may not import ``module``, or an empty text."""
    name = module.split(".")[0]
    if name == "imagebuild":
        other = package_of(module)
        known = other if other in MAY_IMPORT else "__init__"  # a name of the root package itself
        allowed = {package, "__init__", *MAY_IMPORT[package].split()}
        return "" if known in allowed else f"{package} may not import {other}"
    if is_standard(name) or package in LIBRARIES.get(name, ()):
        return ""
    return f"{package} may not import the library {name}"


def test_every_package_of_the_core_has_a_row() -> None:
    packages = {core_package(path) for path in python_files(CORE)}

    assert set() == packages - set(MAY_IMPORT)


def test_the_table_has_one_direction() -> None:
    seen: Set[str] = set()
    for package, allowed in MAY_IMPORT.items():
        assert set() == set(allowed.split()) - seen, f"{package} imports what stands after it"
        seen.add(package)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_the_core_imports_what_its_row_allows(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{imported.line}: {violation(package, imported.module)}"
        for path in python_files(CORE)
        if core_package(path) == package
        for imported in imports(path, CORE)
        if violation(package, imported.module)
    ]

    assert [] == found


@pytest.mark.parametrize(
    "package, module, allowed",
    [
        ("oci", "imagebuild.errors.MalformedError", True),
        ("oci", "json", True),
        ("registry", "requests.adapters", True),
        ("oci", "imagebuild.registry.client", False),
        ("oci", "requests", False),
        ("layer", "dockerfile_parse", False),
        ("execute", "imagebuild.cli", False),
        ("execute", "pants.engine.rules", False),
    ],
)
def test_the_rule_itself(package: str, module: str, allowed: bool) -> None:
    assert allowed == (violation(package, module) == "")


def reached_in_process() -> Dict[str, str]:
    """Module -> the file that imports it, for all that loading the backend loads of our own code and libraries."""
    files = {
        module_name(path, base): (path, base)
        for base in (CORE, BACKEND)
        for path in python_files(base)
    }
    reached: Dict[str, str] = {}
    todo = [name for name in files if name.startswith("pants_kaniko")]
    while todo:
        path, base = files[todo.pop()]
        for imported in imports(path, base):
            if not imported.top_level or imported.module in reached:
                continue
            reached[imported.module] = f"{path.relative_to(ROOT)}:{imported.line}"
            parents = imported.module.split(".")
            todo += [
                name for i in range(1, len(parents) + 1) if (name := ".".join(parents[:i])) in files
            ]
    return reached


def test_the_backend_loads_no_library_but_the_parser_into_pants() -> None:
    found = {
        module: where
        for module, where in reached_in_process().items()
        if not is_standard(module) and module.split(".")[0] not in IN_PROCESS
    }

    assert {} == found


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def test_nothing_extracts_archives_with_pythons_own_code() -> None:
    """SECURITY: tarfile, zipfile and shutil follow the names of an archive out of the directory."""
    trees = [ROOT / name for name in ("src", "pants-plugins", "tests", "scripts", "benchmarks")]
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {_called(node)}"
        for path in python_files(*trees)
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and _called(node) in EXTRACTING
    ]

    assert [] == found


def test_files_and_functions_are_short() -> None:
    long_files = [
        f"{path.relative_to(ROOT)}: {lines} lines"
        for path in python_files(CORE, BACKEND)
        if (lines := len(path.read_text("utf-8").splitlines())) > FILE_LINES
    ]
    long_functions = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}: {length} lines"
        for path in python_files(CORE, BACKEND)
        for node in ast.walk(parse(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES
    ]

    assert [] == long_files + long_functions
