"""The project's own promises: what src may hold, what the lock and the make targets do."""

import ast
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import isthmus

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
# A room imports only from rooms of lower rank; rooms on one line do not import each other.
ORDER = [
    *("_version errors", "configs files remote"),
    *("data", "networks", "bottlenecks", "likelihoods", "kernels", "models"),
    *("training", "metrics", "figures", "runs", "concepts", "search", "answers", "page"),
    *("demo sklearn", "cli"),
]
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms.split()}
TOP = {"__init__", "__main__"}
PICKLERS = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}


# ---------------------------------------------------------------- what src may hold


def module_of(path: Path) -> tuple[str, ...]:
    """The dotted name of a source file, as parts; a package's own file ends in __init__."""
    return path.relative_to(ROOT / "src").with_suffix("").parts


def room_of(module: tuple[str, ...]) -> str:
    return module[1] if len(module) > 1 else "__init__"


def imports(tree: ast.AST, module: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Every (line, dotted name) that is imported, anywhere, in any way with a constant name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(module[: -node.level]) if node.level else []
            base += node.module.split(".") if node.module else []
            yield from ((node.lineno, ".".join([*base, name.name])) for name in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = ast.unparse(node.func).rpartition(".")[2]
            argument = node.args[0].value
            if name in {"import_module", "__import__"} and isinstance(argument, str):
                dots = len(argument) - len(argument.lstrip("."))
                base = [*module[:-dots]] if dots else []
                yield node.lineno, ".".join([*base, argument[dots:]])


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """Every call with the full name of what is called, as far as imports and aliases tell."""
    alias: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            alias |= {n.asname: n.name for n in node.names if n.asname}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            alias |= {n.asname or n.name: f"{node.module}.{n.name}" for n in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            first, dot, rest = ast.unparse(node.func).partition(".")
            yield node, alias.get(first, first) + dot + rest


def says(call: ast.Call, keyword: str, value: bool) -> bool:
    """Whether the call gives the keyword this very constant."""
    return any(
        k.arg == keyword and isinstance(k.value, ast.Constant) and k.value.value is value
        for k in call.keywords
    )


def faults(source: str, module: tuple[str, ...]) -> list[str]:
    """What a source file holds that it must not, each with its line."""
    tree = ast.parse(source)
    room, found = room_of(module), []
    for line, name in imports(tree, module):
        if name.partition(".")[0] in PICKLERS:
            found.append(f"{line}: pickle by way of {name}")
        found += [f"{line}: {fault}" for fault in upward(room, name)]
    for call, name in calls(tree):
        if name == "torch.load" and not says(call, "weights_only", True):
            found.append(f"{call.lineno}: torch.load without weights_only=True")
        if name == "torch.save":
            found.append(f"{call.lineno}: torch.save writes pickle; use safetensors")
        if name == "numpy.load" and not says(call, "allow_pickle", False):
            found.append(f"{call.lineno}: np.load without allow_pickle=False")
        if name == "print" and room != "cli":
            found.append(f"{call.lineno}: print outside the command line")
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            found.append(f"{node.lineno}: assert, which python -O leaves out")
    return found


def upward(room: str, name: str) -> Iterator[str]:
    """Why the import of ``name`` goes up the house from ``room``, if it does."""
    package, _, inside = name.partition(".")
    if package != "isthmus" or room in TOP:
        return
    target = inside.partition(".")[0]
    if target == room:
        return
    if target not in RANK:
        yield f"{room} imports {name}: take it from its room, not from the top of the package"
    elif RANK[target] >= RANK.get(room, -1):
        yield f"{room} imports {name}, which does not stand below it"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: "/".join(module_of(path)[1:]))
def test_a_source_file_keeps_the_rules(path):
    assert faults(path.read_text(encoding="utf-8"), module_of(path)) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: "/".join(module_of(path)[1:]))
def test_a_source_file_is_short_and_stands_in_a_known_room(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < 500
    assert room_of(module_of(path)) in RANK.keys() | TOP, "add the room to ORDER"


@pytest.mark.parametrize(
    ("room", "source", "fault"),
    [
        ("data.idx", "import pickle", "pickle"),
        ("data.idx", "def f():\n    from joblib import load", "joblib"),
        ("data.idx", "import importlib\nimportlib.import_module('dill')", "dill"),
        ("data.idx", "import numpy as np\nnp.load('a.npy')", "allow_pickle"),
        ("data.idx", "import numpy as np\nnp.load('a.npy', allow_pickle=True)", "allow_pickle"),
        ("data.idx", "from numpy import load as read\nread('a.npy')", "allow_pickle"),
        ("data.idx", "import torch\ntorch.load('a.pt')", "weights_only"),
        ("data.idx", "import torch as t\nt.load('a.pt', weights_only=False)", "weights_only"),
        ("data.idx", "import torch\ntorch.save({}, 'a.pt')", "safetensors"),
        ("data.idx", "print(1)", "print"),
        ("data.idx", "assert True", "assert"),
        ("data.idx", "from isthmus.models import Autoencoder", "below"),
        ("data.idx", "def f():\n    import isthmus.cli", "below"),
        ("data.idx", "from isthmus import training", "below"),
        ("data.idx", "from ..networks import mlp", "below"),
        ("data.idx", "from .. import networks", "below"),
        ("data.idx", "import importlib\nimportlib.import_module('..models', __name__)", "below"),
        ("data.idx", "import isthmus as im", "top of the package"),
        ("data.idx", "from isthmus import load", "top of the package"),
        ("demo.run", "from isthmus.sklearn import AutoencoderTransformer", "below"),
        ("errors", "from isthmus.files import write_json", "below"),
        ("data.__init__", "from ..cli import main", "below"),
    ],
)
def test_the_rules_find_what_they_forbid(room, source, fault):
    found = faults(source, ("isthmus", *room.split(".")))
    assert len(found) == 1
    assert fault in found[0]


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("data.idx", "import numpy as np\nnp.load('a.npy', mmap_mode='r', allow_pickle=False)"),
        ("data.idx", "import json\njson.load(open('a'))"),
        ("data.idx", "from isthmus.errors import DataError\nfrom isthmus.files import read_json"),
        ("data.idx", "from .split import halves\nfrom isthmus.data.split import halves"),
        ("data.__init__", "from .split import halves\nfrom . import split"),
        ("models.save", "from isthmus._version import __version__"),
        ("models.save", "from isthmus.data import Dataset\nfrom ..networks.mlp import MLP"),
        ("cli.train", "print(1)\nfrom isthmus.training import train"),
        ("__init__", "from isthmus.models import Autoencoder"),
        ("files", "from isthmus.errors import RunError"),
    ],
)
def test_the_rules_let_pass_what_they_allow(room, source):
    assert faults(source, ("isthmus", *room.split("."))) == []


def test_the_package_tells_type_checkers_that_it_is_typed():
    assert (ROOT / "src/isthmus/py.typed").is_file()


def test_importing_the_package_waits_with_what_is_heavy():
    heavy = {"torch", "sklearn", "scipy", "matplotlib", "pyarrow", "huggingface_hub"}
    code = "import sys, isthmus; print(*sys.modules)"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(shown.stdout.split())
    assert "isthmus" in loaded
    assert loaded & heavy == set()


# ---------------------------------------------------------------- versions and the lock


def lock() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line.partition("==") for line in lines if line and not line.startswith("#")]
    assert all(equals and version for _, equals, version in pins)
    return {canonicalize_name(name): version for name, _, version in pins}


def test_the_version_is_the_same_wherever_it_stands():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(
        r"^(?:## \[|To be released as )(\d+\.\d+\.\d+)", changelog, flags=re.MULTILINE
    )
    assert citation["version"] == isthmus.__version__
    assert newest is not None
    assert newest[1] == isthmus.__version__


def test_the_lock_pins_torch_to_the_version_that_was_measured():
    assert lock()["torch"] == "2.13.0"


def test_the_lock_satisfies_every_requirement_of_package_tests_linters_and_build():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    wanted = [*project["project"]["dependencies"], *extras["test"], *extras["lint"]]
    wanted += [*project["build-system"]["requires"], "editables"]
    pins = lock()
    for text in wanted:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{text} is not in requirements.lock"
        assert pins[name] in requirement.specifier, f"{text}, but the lock has {pins[name]}"


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_the_readme_shows_the_two_commands(command):
    assert command in (ROOT / "README.md").read_text(encoding="utf-8")


# ---------------------------------------------------------------- make and .ci/run

needs_make = pytest.mark.skipif(
    shutil.which("make") is None or shutil.which("bash") is None, reason="needs make and bash"
)

# Stands in for Python: makes a .venv whose programs write down how they were called.
FAKE_PYTHON = """#!/bin/sh
case "$1 $2" in
"-c import sys"*) exit ${FAKE_OLD:-0} ;;
"-m venv")
    echo "venv $*" >> calls
    mkdir -p .venv/bin
    for name in python isthmus ruff mypy; do cp "$0" .venv/bin/$name; done ;;
*)
    echo "$(basename "$0") $*" >> calls
    case "$*" in *"${FAKE_KILLED:-none}"*) kill -9 $PPID ;; esac
    case "$(basename "$0") $*" in *"${FAKE_BROKEN:-none}"*) exit 3 ;; esac ;;
esac
"""


class Checkout:
    """A copy of the make files, with a stand-in for Python that installs nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("Makefile", "requirements.lock", "pyproject.toml", ".ci/run"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        self.program("fake-python", FAKE_PYTHON)

    def program(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")
        (self.folder / name).chmod(0o755)

    def run(self, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
        mine = {"TORCH_INDEX", "ARGS", "ISTHMUS_DATA", "OMP_NUM_THREADS"}
        kept = {k: v for k, v in os.environ.items() if k not in mine and "MAKE" not in k}
        kept |= {"PYTHON": str(self.folder / "fake-python")} | settings
        return subprocess.run(
            command, cwd=self.folder, env=kept, capture_output=True, text=True, timeout=60
        )

    def calls(self) -> list[str]:
        """What was called since the last time this was asked."""
        log = self.folder / "calls"
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines

    @property
    def is_set_up(self) -> bool:
        return (self.folder / ".venv/.installed").exists()


@pytest.fixture
def checkout(tmp_path) -> Checkout:
    (tmp_path / "a checkout").mkdir()
    return Checkout(tmp_path / "a checkout")


@needs_make
def test_make_sets_up_once_and_then_only_runs(checkout):
    pip = "python -m pip --disable-pip-version-check install --quiet"
    assert checkout.run("make", "demo").returncode == 0
    assert checkout.calls() == [
        "venv -m venv .venv",
        f"{pip} -r requirements.lock",
        f"{pip} --no-deps --no-build-isolation -e .",
        "isthmus demo --out demo",
    ]
    checkout.run("make", "lint")
    assert checkout.calls() == ["ruff check .", "ruff format --check .", "mypy "]
    checkout.run("make", "test", "ARGS=-k files")
    assert checkout.calls() == ["python -m pytest tests src/isthmus --doctest-modules -k files"]


@needs_make
@pytest.mark.parametrize("changed", ["requirements.lock", "pyproject.toml"])
def test_make_installs_again_when_what_it_read_changes(checkout, changed):
    checkout.run("make", "demo")
    checkout.calls()
    later = (checkout.folder / ".venv/.installed").stat().st_mtime + 5
    os.utime(checkout.folder / changed, (later, later))
    checkout.run("make", "demo")
    assert sum("-r requirements.lock" in call for call in checkout.calls()) == 1


@needs_make
def test_make_hands_a_further_package_index_to_pip(checkout):
    checkout.run("make", "demo", "TORCH_INDEX=https://example.org/cpu")
    (install,) = [call for call in checkout.calls() if "requirements.lock" in call]
    assert "--extra-index-url https://example.org/cpu -r requirements.lock" in install


@needs_make
@pytest.mark.parametrize("step", ["-r requirements.lock", "-e ."])
def test_an_installation_that_fails_is_tried_again_in_the_same_venv(checkout, step):
    failed = checkout.run("make", "test", FAKE_BROKEN=step)
    assert failed.returncode != 0
    assert "installation failed" in failed.stderr
    assert not checkout.is_set_up
    assert not any("pytest" in call for call in checkout.calls())
    assert checkout.run("make", "test").returncode == 0
    assert checkout.is_set_up
    assert checkout.calls()[0] == "venv -m venv .venv"


@needs_make
def test_an_installation_that_was_killed_starts_from_an_empty_venv(checkout):
    killed = checkout.run("make", "test", FAKE_KILLED="-r requirements.lock")
    assert killed.returncode != 0
    assert not checkout.is_set_up
    checkout.calls()
    assert checkout.run("make", "test").returncode == 0
    assert checkout.is_set_up
    assert checkout.calls()[0] == "venv -m venv --clear .venv"


@needs_make
def test_make_refuses_a_python_that_is_missing_or_too_old(checkout):
    missing = checkout.run("make", "demo", PYTHON="no-such-python")
    assert missing.returncode != 0
    assert "no Python named 'no-such-python'" in missing.stderr
    old = checkout.run("make", "demo", FAKE_OLD="1")
    assert old.returncode != 0
    assert "needs Python 3.11 or newer" in old.stderr
    assert "make demo PYTHON=" in old.stderr
    assert not (checkout.folder / ".venv").exists()


@needs_make
@pytest.mark.parametrize("broken", ["demo --out", "pytest", "ruff check", "ruff format", "mypy"])
def test_a_command_that_fails_makes_make_fail(checkout, broken):
    target = {"demo --out": "demo", "pytest": "test"}.get(broken, "lint")
    assert checkout.run("make", target, FAKE_BROKEN=broken).returncode != 0


@needs_make
def test_make_alone_names_every_target(checkout):
    shown = checkout.run("make").stdout
    assert all(f"make {t} " in shown for t in ("demo", "test", "lint", "bench", "clean"))
    assert "TORCH_INDEX" in shown
    assert checkout.calls() == []


@needs_make
def test_make_clean_takes_what_can_be_made_again_and_leaves_the_runs(checkout):
    checkout.run("make", "demo")
    for name in ("demo/run", "runs/mine", "src/isthmus/__pycache__", ".bench/__pycache__"):
        (checkout.folder / name).mkdir(parents=True)
    assert checkout.run("make", "clean").returncode == 0
    left = {p.name for p in checkout.folder.iterdir()}
    assert left & {".venv", "demo", "runs", "src", ".bench"} == {"runs", "src", ".bench"}
    assert not (checkout.folder / "src/isthmus/__pycache__").exists()
    assert (checkout.folder / ".bench/__pycache__").exists()


@needs_make
@pytest.mark.parametrize(("broken", "code"), [("none", 0), ("test", 5), ("lint", 5)])
def test_ci_runs_tests_then_linters_and_fails_with_them(checkout, broken, code):
    (checkout.folder / "bin").mkdir()
    checkout.program("bin/make", '#!/bin/sh\necho "$*" >> calls\n[ "$1" != $BROKEN ] || exit 5\n')
    path = f"{checkout.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    ran = checkout.run("./.ci/run", PATH=path, BROKEN=broken)
    assert ran.returncode == code
    assert checkout.calls() == (["test"] if broken == "test" else ["test", "lint"])


@needs_make
def test_ci_finds_the_data_beside_the_checkout_unless_told_where_they_are(checkout):
    (checkout.folder / "bin").mkdir()
    checkout.program("bin/make", '#!/bin/sh\necho "$ISTHMUS_DATA" >> calls\n')
    path = f"{checkout.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    checkout.run("./.ci/run", PATH=path)
    assert checkout.calls() == ["", ""]
    beside = checkout.folder.parent / "shared" / "data"
    beside.mkdir(parents=True)
    checkout.run("./.ci/run", PATH=path)
    assert checkout.calls() == [str(beside.resolve())] * 2
    checkout.run("./.ci/run", PATH=path, ISTHMUS_DATA="/elsewhere")
    assert checkout.calls() == ["/elsewhere"] * 2


def test_only_ci_knows_of_a_folder_beside_the_checkout():
    outside = "/".join(["..", "shared"])
    folders = ("src", "tests", "docs", "examples", "benchmarks", ".ci")
    files = [p for f in folders for p in (ROOT / f).rglob("*") if p.is_file()]
    files += [p for p in ROOT.iterdir() if p.is_file()]
    named = {
        str(p.relative_to(ROOT))
        for p in files
        if p.suffix in {"", ".py", ".md", ".toml", ".lock", ".cff", ".csv", ".json"}
        and outside in p.read_text(encoding="utf-8", errors="replace")
    }
    assert named == {".ci/run"}


# ---------------------------------------------------------------- the suite's own guard


@pytest.mark.parametrize(
    ("family", "address"),
    [(socket.AF_INET, ("192.0.2.1", 9)), (socket.AF_INET6, ("2001:db8::1", 9))],
)
def test_the_suite_refuses_to_leave_this_machine(family, address):
    with socket.socket(family) as outward:
        outward.settimeout(1)
        with pytest.raises(OSError, match="beyond loopback"):
            outward.connect(address)


def test_the_suite_may_talk_to_itself():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname(), timeout=5):
            peer, _ = server.accept()
        peer.close()
