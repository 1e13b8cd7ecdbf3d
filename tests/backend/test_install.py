"""The executor as it is laid out for processes: one directory, whose modules are in one file."""

from __future__ import annotations

import ast
import marshal
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest

import imagebuild
from imagebuild.serve import nailgun
from pants_kaniko import install, lean_json
from support.laid_out import PYTHON, archive, laid_out
from support.served import Served


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return laid_out(tmp_path_factory.mktemp("one"))


def origins(executor: Path, expression: str) -> str:
    code = (
        "import sys; sys.path[0] = sys.argv.pop(1); import main; "
        f"sys.meta_path.insert(0, main.Bundle(sys.path[0] + '/modules.bin')); {expression}"
    )
    return subprocess.check_output([*PYTHON, "-c", code, str(executor)]).decode()


def table(executor: Path) -> Dict[str, Any]:
    bundled = (executor / install.BUNDLE).read_bytes()
    _, found = marshal.loads(bundled[4:])
    assert isinstance(found, dict)
    return found


def imported(source: str) -> Iterator[str]:
    """What a module of the core imports of the core, also within functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("imagebuild"):
            yield str(node.module)


def test_it_runs(executor: Path) -> None:
    said = subprocess.check_output([*PYTHON, str(executor / "main.py"), "--help"]).decode()

    assert "kaniko-executor" in said


def test_it_serves(executor: Path, tmp_path: Path) -> None:
    command = [*PYTHON, str(executor / "main.py"), "-cp", "any", nailgun.SERVER, ":0"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE)
    try:
        answer = Served(process, tmp_path).ask("--help")
    finally:
        process.kill()
        process.communicate()

    assert b"kaniko-executor" in answer[0][1], answer
    assert (nailgun.EXIT, b"0") == answer[-1]


def test_it_learns_expressions_for_the_original(executor: Path) -> None:
    said = origins(
        executor,
        "import marshal, re; from imagebuild.serve.learned import learn; "
        "learn(marshal.dumps(([], [('a+never+seen', 2)]))); "
        "print('a+never+seen' in {key[1] for key in re._cache})",
    )

    assert "True" == said.strip()


def test_modules_come_from_the_one_file(executor: Path) -> None:
    said = origins(
        executor,
        "import json, urllib3, imagebuild.cli as cli; "
        "print(*(type(m.__loader__).__name__ for m in (json, urllib3, cli)))",
    )

    assert "Bundle Bundle Bundle" == said.strip()


def test_all_that_a_module_imports_when_it_runs_is_there_too(executor: Path) -> None:
    found = table(executor)
    sources = {
        name: (Path(imagebuild.__path__[0]).parent / found[name][2]).read_text()
        for name in found
        if name.startswith("imagebuild")
    }
    missing = {
        (name, other)
        for name, source in sources.items()
        for other in imported(source)
        if other not in found and "if TYPE_CHECKING:" not in source
    }

    assert len(sources) > 100
    assert set() == missing


def test_what_only_the_client_loads_or_only_what_is_not_lean_is_left_out(executor: Path) -> None:
    found = table(executor)

    for name in ("imagebuild.lower", "imagebuild.dockerfile.parse", "inspect", "logging", "codecs"):
        assert name not in found
    assert not (executor / "zstandard" / "backend_cffi.py").exists()


def test_the_core_is_compiled_while_the_libraries_are_on_their_way(executor: Path) -> None:
    version, codes = marshal.loads((executor.parent / "core.bin").read_bytes())
    found = table(executor)
    late = {name for name, entry in found.items() if entry and entry[4] and name not in codes}

    assert sys.version == version
    assert {"requests", "urllib3", "zstandard"} <= {name.partition(".")[0] for name in late}
    assert "imagebuild.registry.wire" in codes
    assert not {name for name in late if name.startswith("imagebuild")}
    assert len(late) < len(found) // 5


def test_another_pythons_core_is_compiled_again(executor: Path, tmp_path: Path) -> None:
    core = tmp_path / "core.bin"
    core.write_bytes(marshal.dumps(("another", {"imagebuild.cli": b"not read"})))
    places = [str(executor.parent / name) for name in ("libraries", "sources")]
    subprocess.run(
        [*PYTHON, install.__file__, *places, str(tmp_path / "target"), str(core)], check=True
    )

    assert table(executor).keys() == table(tmp_path / "target").keys()


def test_no_member_of_a_distribution_leaves_its_place(tmp_path: Path) -> None:
    distribution, target = tmp_path / "evil.whl", tmp_path / "target"
    with zipfile.ZipFile(distribution, "w") as members:
        for name in ("../out.py", "a/../../out.py", "a/in.py", "a-1.dist-info/METADATA"):
            members.writestr(name, "")

    install._unpack(str(distribution), str(target))

    assert [target / "a", target / "a" / "in.py"] == sorted(target.rglob("*"))
    assert not (tmp_path / "out.py").exists()


def test_what_does_not_load_is_not_installed(tmp_path: Path) -> None:
    (tmp_path / "libraries").mkdir()
    (tmp_path / "imagebuild").mkdir()
    (tmp_path / "imagebuild" / "__init__.py").touch()
    (tmp_path / "imagebuild" / "bad.py").write_text("import no_such_module")
    (tmp_path / "sources").mkdir()
    archive(tmp_path / "imagebuild", tmp_path / "sources")
    (tmp_path / "sources" / "zstandard.py").touch()
    places = [str(tmp_path / name) for name in ("libraries", "sources", "target")]
    done = subprocess.run([*PYTHON, install.__file__, *places], capture_output=True, check=False)

    assert b"No module named 'no_such_module'" in done.stderr
    assert done.returncode


NESTED = """
from __future__ import annotations
import json
def function(argument: Nowhere = None):
    try:
        import no_such_module
    except ImportError:
        with open("/dev/null"):
            import os.path, json as one
    else:
        raise AssertionError
    for _ in (1, 2):
        if _ == 1:
            continue
        else:
            from json import loads as two
    return one, two
"""


def test_imports_are_replaced_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lean_json", lean_json)
    names: Dict[str, Any] = {}
    code = install.compiled("imagebuild.some", NESTED.encode(), "some.py")
    exec(code, names)

    assert names["json"] is lean_json
    assert (lean_json, lean_json.loads) == names["function"]()
    assert "__future__" not in code.co_names


def test_modules_of_the_core_get_lean_ones(executor: Path) -> None:
    said = origins(
        executor,
        "import imagebuild.canonical as c, imagebuild.runtime.supervise as s; "
        "print(c.json.__name__, s.signal.__name__, *(n in sys.modules for n in ('re', 'typing')))",
    )

    assert "lean_json _signal False False" == said.strip()


def test_libraries_are_found_without_looking(executor: Path) -> None:
    said = origins(executor, "sys.path[:] = []; import _json, zstandard.backend_c, isal.isal_zlib")

    assert "" == said


def test_what_is_nowhere_is_not_looked_for(executor: Path, tmp_path: Path) -> None:
    (tmp_path / "brotli.py").touch()
    said = origins(
        executor,
        f"sys.path.append({str(tmp_path)!r}); import urllib3.util; print('brotli' in sys.modules)",
    )

    assert "False" == said.strip()


def test_libraries_load_what_they_hardly_use_when_they_use_it(executor: Path) -> None:
    said = origins(
        executor,
        "import imagebuild.registry.wire, requests.utils as u, urllib; "
        "print(*(n in sys.modules for n in ('tempfile', 'urllib.request', 'zipfile'))); "
        "print(u._parse_list_header('a, b'), callable(urllib.request.build_opener))",
    )

    assert "False False False\n['a', 'b'] True" == said.strip()


def test_packages_find_what_lies_beside_them(executor: Path) -> None:
    where = origins(executor, "import certifi; print(certifi.where())").strip()

    assert os.path.realpath(where).endswith("cacert.pem")
    assert Path(where).stat().st_size > 100_000


def test_another_python_reads_the_sources(executor: Path) -> None:
    said = origins(
        executor,
        "sys.meta_path.pop(0); sys.version = 'another'; "
        "sys.meta_path.insert(0, main.Bundle(sys.path[0] + '/modules.bin')); "
        "sys.path.append(sys.path[0] + '/core.zip'); "
        "import imagebuild.cli as cli; print(type(cli.__loader__).__name__)",
    )

    assert "zipimporter" == said.strip()


def test_an_error_of_ours_shows_its_lines(executor: Path) -> None:
    said = origins(
        executor,
        "import traceback, imagebuild.canonical as canonical\n"
        "try:\n    canonical.encode({1})\n"
        "except TypeError:\n    traceback.print_exc(file=sys.stdout)",
    )

    assert "raise TypeError(f" in said, said


def test_it_is_the_same_wherever_it_is_made(executor: Path, tmp_path: Path) -> None:
    other = laid_out(tmp_path)

    assert (executor / install.BUNDLE).read_bytes() == (other / install.BUNDLE).read_bytes()
    assert str(tmp_path).encode() not in (other / install.BUNDLE).read_bytes()
