"""The house rules, read off the source: which way imports point, what stays lazy, who may print, what is documented.

Modules are parsed, not imported, except where a subprocess shows what an import really loads.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "xpert_cli").rglob("*.py"))
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path.read_text("utf-8")
    for path in SOURCES
}

# The rooms of the house, top to bottom: a module imports from its own room and from those further down, never up.
# docs/architecture.md says what each is for.
ROOMS = (
    *(
        "cli",
        "api",
        "serve",
        "sharing",
        "training",
        "plot",
        "paper",
        "selection",
        "cache",
        "style",
        "models",
        "llama",
        "gguf",
    ),
    *("hub", "corpus", "aliases", "runs", "settings", "resume"),
    *("paths", "leftovers", "platform", "signals", "foreign", "errors", "counts"),
)
# Arrays or text in, arrays or text out: numpy, and no input or output.
PURE = {
    *("cache.outliers", "counts", "gguf.adapter", "gguf.architectures", "paper.basis", "selection.score"),
    *(
        "style.chat",
        "style.formula",
        "style.function_words",
        "style.languages",
        "style.marks",
        "style.wording",
        "style.axes",
        "style.lexicon",
        "style.likelihood",
        "style.measured",
        "style.sentences",
        "style.space",
    ),
}
EXTRAS = {"accelerate", "peft", "resvg_py", "safetensors", "scipy", "sentence_transformers", "sklearn", "torch"}
EXTRAS.add("transformers")
HEAVY = EXTRAS | {"gguf", "huggingface_hub", "jinja2", "llama_cpp", "pyarrow", "ray"}
TENSORS = {
    f"xpert_cli.training.{name}"
    for name in ("attention", "decoder", "kept_states", "layer", "likely_tokens", "operations", "packed", "packed_head")
}  # torch is what they are made of
IO = {"io", "os", "pathlib", "shutil", "socket", "subprocess", "sys", "tempfile", "urllib"}
MOST_LINES = 400

Function = ast.FunctionDef | ast.AsyncFunctionDef


def room(name: str) -> str:
    """The room of a module of ours: `models` for `xpert_cli.models.merge`; the package itself lies under all."""
    first = [*name.split("."), "__init__"][1]
    assert first in (*ROOMS, "__init__", "__main__"), f"{name} is in no room: put it into one, or add one to ROOMS"
    return first


def height(name: str) -> int:
    """How far up a module's room is: `python -m xpert_cli` on top, the package's own `__version__` below all."""
    order = ("__init__", *reversed(ROOMS), "__main__")
    return order.index(room(name))


def imported(node: ast.AST) -> list[str]:
    """The modules that an import statement names: `from xpert_cli.cache import build` -> `xpert_cli.cache.build`."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: a relative import; write the module's whole name"
        full = [f"{node.module}.{alias.name}" for alias in node.names]
        return [name if name in MODULES else str(node.module) for name in full]
    return []


def imports(source: str) -> set[str]:
    """All modules that `source` imports, at its top or inside its functions."""
    return {name for node in ast.walk(ast.parse(source)) for name in imported(node)}


def at_module_level(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the module is imported: all but the bodies of functions and of `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        if not typing_only and not isinstance(child, Function | ast.Lambda):
            yield child
            yield from at_module_level(child)


def wrong_arrows(name: str, source: str) -> list[str]:
    """The modules of ours that module `name` must not import, but does."""
    ours = {other for other in imports(source) if other.split(".")[0] == "xpert_cli"}
    if name == "xpert_cli":
        ours -= {"xpert_cli.api"}  # named for type checkers alone; what a program uses of it is imported then
    return sorted(other for other in ours if height(other) > height(name))


def rooms_in_a_circle(sources: dict[str, str]) -> set[tuple[str, str]]:
    """Pairs of rooms that import each other."""
    arrows = {
        (room(name), room(other))
        for name, source in sources.items()
        for other in imports(source)
        if name != "xpert_cli" and other.split(".")[0] == "xpert_cli" and room(other) != room(name)
    }
    return {(a, b) for a, b in arrows if (b, a) in arrows}


def wrong_for_pure(source: str) -> list[str]:
    """The modules that a pure one must not import, but does: all but numpy, our errors, and what does no I/O."""
    names = imports(source)
    roots = {name.split(".")[0] for name in names} - {"numpy", "xpert_cli"}
    ours = {name for name in names if name.startswith("xpert_cli.")} - {f"xpert_cli.{one}" for one in PURE}
    return sorted((roots - sys.stdlib_module_names) | (roots & IO) | (ours - {"xpert_cli.errors"}))


def heavy_at_import(source: str) -> list[str]:
    """The heavy packages that importing a module with this source would load."""
    names = {name for node in at_module_level(ast.parse(source)) for name in imported(node)}
    return sorted({name.split(".")[0] for name in names} & HEAVY)


def torch_at_import(source: str) -> list[str]:
    """The modules of ours made of torch that importing a module with this source would load."""
    return sorted({name for node in at_module_level(ast.parse(source)) for name in imported(node)} & TENSORS)


def talk(source: str) -> list[str]:
    """The places where `source` prints, prompts or exits."""
    tree = ast.parse(source)
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    builtins = [f for f in called if isinstance(f, ast.Name) and f.id in {"print", "input", "exit", "quit"}]
    attributes = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"sys.exit", "sys.stdout", "sys.stderr", "os._exit"}
    ]
    shown = {name.split(".")[0] for name in imports(source)} & {"rich", "typer"}
    return sorted([*map(ast.unparse, [*builtins, *attributes]), *shown])


def undocumented(source: str) -> list[str]:
    """The public classes, functions and methods without a docstring."""

    def inside(node: ast.Module | ast.ClassDef) -> Iterator[str]:
        for child in node.body:
            if isinstance(child, Function | ast.ClassDef) and not child.name.startswith("_"):
                # What a protocol declares and what torch names is told by the class.
                told_by_class = ast.unparse(child.body[-1]) == "..." or child.name in ("forward", "backward")
                if ast.get_docstring(child) is None and not told_by_class:
                    yield child.name
                if isinstance(child, ast.ClassDef):
                    yield from (f"{child.name}.{name}" for name in inside(child))

    tree = ast.parse(source)
    return ([] if ast.get_docstring(tree) else ["the module"]) + list(inside(tree))


# Say that something is held or where it is, and not what it is.
EMPTY = {
    "told",
    "found",
    "kept",
    "asked",
    "ran",
    "looked",
    "said",
    "taken",
    "given",
    "brought",
    "gone",
    "meant",
    "picked",
}
EMPTY |= {"sent", "ready", "beside", "apart", "alone", "around", "within", "between", "there", "FROM"}


def empty_names(source: str) -> list[str]:
    """Variables and arguments whose name is one of EMPTY, with their lines; fields of classes are keys in JSON too."""
    tree = ast.parse(source)
    fields = {
        id(line.target)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for line in node.body
        if isinstance(line, ast.AnnAssign)
    }
    stored = [
        (node.lineno, node.id if isinstance(node, ast.Name) else node.arg)
        for node in ast.walk(tree)
        if id(node) not in fields
        and (isinstance(node, ast.arg) or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)))
    ]
    return [f"{name}, line {line}" for line, name in sorted(stored) if name in EMPTY]


def run(code: str) -> str:
    """The standard output of a fresh Python that runs `code` in the checkout."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_checks_see_what_they_look_for() -> None:
    up = "def f():\n    from xpert_cli.training import finetune"
    assert wrong_arrows("xpert_cli.hub.x", up) == ["xpert_cli.training.finetune"]
    assert wrong_arrows("xpert_cli.cli.x", up) == wrong_arrows("xpert_cli.training.x", up) == []
    assert wrong_arrows("xpert_cli.__main__", "from xpert_cli.cli.entry import main") == []
    assert wrong_arrows("xpert_cli.errors", "from xpert_cli import paths") == ["xpert_cli.paths"]
    circle = {"xpert_cli.hub.x": "import xpert_cli.gguf.files", "xpert_cli.gguf.y": "import xpert_cli.hub.sources"}
    assert rooms_in_a_circle(circle) == {("hub", "gguf"), ("gguf", "hub")}
    assert wrong_for_pure("import math, numpy.linalg, scipy.stats\nfrom os import path") == ["os", "scipy"]
    assert wrong_for_pure("from xpert_cli import errors, paths") == ["xpert_cli.paths"]
    assert heavy_at_import("try:\n    import torch.nn\nexcept ImportError:\n    pass") == ["torch"]
    assert heavy_at_import("def f():\n    import torch") == []
    assert talk("print(1)\nsys.exit(2)") == ["print", "sys.exit"]
    assert undocumented("class A:\n    def b(self): pass\n    def _c(self): pass") == ["the module", "A", "A.b"]


def offenders(check: Callable[[str, str], list[str]]) -> dict[str, list[str]]:
    """What `check(name, source)` finds in each module, for the modules where it finds something."""
    return {name: found for name, source in MODULES.items() if (found := check(name, source))}


def test_imports_point_down() -> None:
    assert offenders(wrong_arrows) == {}
    assert rooms_in_a_circle(MODULES) == set()


def test_pure_modules_need_numpy_only_and_do_no_io() -> None:
    assert {f"xpert_cli.{name}" for name in PURE} <= MODULES.keys()
    pure = {name: source for name, source in MODULES.items() if name.removeprefix("xpert_cli.") in PURE}
    assert {name: found for name, source in pure.items() if (found := wrong_for_pure(source))} == {}


def test_heavy_packages_are_imported_by_the_function_that_needs_them() -> None:
    assert offenders(lambda name, source: heavy_at_import(source)) == {name: ["torch"] for name in TENSORS}
    assert offenders(lambda name, source: [] if name in TENSORS else torch_at_import(source)) == {}


def test_only_the_command_line_prints_prompts_or_exits() -> None:
    assert offenders(lambda name, source: talk(source) if room(name) not in ("cli", "__main__") else []) == {}


THEIRS = {"config.ini", "convert_hf_to_gguf.py", "convert_lora_to_gguf.py"}  # the user's, and llama.cpp's


def unknown_files(source: str, beside: Path) -> list[str]:
    """Files that a docstring names and that are not there; `THEIRS` are not ours to have."""
    places = (ROOT, ROOT / "xpert_cli", beside)
    named = re.findall(
        r"(?<![\w/.*{}-])((?:[a-z_]\w*/)*\w+\.(?:py|sh|md|ini)|(?:docs|prompts|scripts)/[\w/.-]+\.\w+)\b", source
    )
    return sorted(
        {name for name in named if name not in THEIRS and not any((place / name).exists() for place in places)}
    )


@pytest.mark.parametrize("folder", ["xpert_cli", "benchmarks", "scripts"])
def test_a_file_that_a_docstring_names_is_there(folder):
    assert unknown_files("Not here: the past (plot/page.py, gone/away.py).", ROOT) == ["gone/away.py"]
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Module | ast.ClassDef | Function)
        for name in unknown_files(ast.get_docstring(node) or "", path.parent)
    ]
    assert not wrong


@pytest.mark.parametrize("folder", ["xpert_cli", "benchmarks", "scripts"])
def test_a_variable_says_what_it_holds(folder):
    code = "class A:\n    said: int\ndef f(told, beside):\n    for ran in told:\n        told = known\nFROM = 1"
    assert empty_names(code) == ["beside, line 3", "told, line 3", "ran, line 4", "told, line 5", "FROM, line 6"]
    names = {path: empty_names(path.read_text("utf-8")) for path in sorted((ROOT / folder).rglob("*.py"))}
    assert {path.name: lines for path, lines in names.items() if lines} == {}


def test_the_map_names_what_is_there():
    page = ROOT / "docs" / "architecture.md"
    text = page.read_text("utf-8")
    assert {link for link in re.findall(r"\]\((\.\./[^)#]+)\)", text) if not (page.parent / link).exists()} == set()
    named = re.findall(r"`([A-Za-z_][\w.]*)` (?:in |\()\[[^\]]+\]\((\.\./[^)]+\.py)\)", text)
    lost = [
        f"{name} in {link}"
        for name, link in named
        if not re.search(rf"\b{name.rpartition('.')[2]}\b", (page.parent / link).read_text("utf-8"))
    ]
    assert len(named) > 10
    assert lost == []


def test_every_public_name_has_a_docstring() -> None:
    assert offenders(lambda name, source: undocumented(source)) == {}


def test_no_file_is_too_long_to_read() -> None:
    lines = {name: len(source.splitlines()) for name, source in MODULES.items()}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_help_loads_nothing_heavy() -> None:
    code = f"""
import sys
from xpert_cli.cli.app import main
sys.argv = ["xpert", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("loaded:", *sorted({HEAVY | {"numpy"}} & set(sys.modules)))
"""
    assert run(code).splitlines()[-1] == "loaded:"


def test_every_module_imports_without_the_extras() -> None:
    code = f"""
import importlib, sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {EXTRAS}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hidden())
for name in {sorted(MODULES.keys() - TENSORS)}:
    importlib.import_module(name)
print("imported")
"""
    assert run(code) == "imported\n"


def tracked() -> dict[str, str]:
    """Every text file under version control, or about to be: its name and its content."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so there is no telling which files are tracked")
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    files = {name: (ROOT / name).read_bytes() for name in names if (ROOT / name).is_file()}
    return {name: content.decode("utf-8", "replace") for name, content in files.items() if b"\0" not in content}


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?<![\w.~$}])/(?:work|root|home)/",
        r"--(?:extra-)?index-url|--find[-]links|\bPIP_\w*(?:INDEX|LINKS)",
    ],
    ids=["absolute paths of one machine", "package index options"],
)
def test_no_tracked_file_holds(pattern: str) -> None:
    lines = {f"{name}:{n}": line for name, text in tracked().items() for n, line in enumerate(text.splitlines(), 1)}
    assert lines
    assert [f"{place}: {line.strip()[:120]}" for place, line in lines.items() if re.search(pattern, line)] == []
