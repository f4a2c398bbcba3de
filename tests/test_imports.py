"""The import direction, the places of effects, and a light `import jaxdd`."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

from experiments import picture

PACKAGE = Path(__file__).resolve().parents[1] / "jaxdd"

# A module may import from its own layer and from earlier ones.
LAYERS = (
    {"errors"},
    {"records", "whiten"},
    {"base"},
    {"tree", "members", "rng", "files", "foreign"},
    {"unroll", "kernels", "networks", "augment", "select"},
    {"training"},
    {"decoders", "objectives", "pools"},
    {"composition"},
    {"methods", "presets"},
    {"data"},
    {"artefact", "format1"},
    {"exchange"},
    {"evaluation", "prepare"},
    {"devices"},
    {"loop"},
    {"report"},
    {"run"},
    {"api", "__main__"},
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

# What only some packages may import, wherever in the file it stands.
ONLY_IN = {
    "flax": {"networks"},
    "tqdm": {"loop"},
    "rich": {"report"},
    "tyro": {"run"},
    "matplotlib": {"report"},
    "orbax": {"loop"},
    "sklearn": {"data", "select"},
    "tempfile": {"files", "data", "prepare", "artefact", "devices", "loop"},
    "shutil": {"files", "data", "prepare", "artefact", "report", "run"},
    "logging": {"loop"},
}
METHODS_NEVER = {"data", "evaluation", "prepare", "run", "artefact", "loop", "devices"}
# Of training, a method needs the optimisers and losses by name, and no loop.
TRAINING_OF_METHODS = {"losses", "optimisers"}
HEAVY = (
    "tensorflow_datasets",
    "tensorflow",
    "neural_tangents",
    "matplotlib",
    "sklearn",
    "orbax.checkpoint",
    "tyro",
    "pyarrow",
    "PIL",
)


def modules() -> list[Path]:
    return [p for p in sorted(PACKAGE.rglob("*.py")) if p != PACKAGE / "__init__.py"]


def dotted(path: Path) -> str:
    """The name by which a file is imported."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def imports(path: Path, nested: bool = True) -> set[str]:
    """Dotted names imported anywhere in the file, or at its top level."""
    found = set()
    content = ast.parse(path.read_text())
    for node in ast.walk(content) if nested else content.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def part(path: Path) -> str:
    """The package's first-level name that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def ours(names: set[str]) -> set[str]:
    parts = {n.split(".")[1] for n in names if n.startswith("jaxdd.")}
    return {n for n in parts if not n.startswith("__")}


IMPORTS = {path: imports(path) for path in modules()}
METHODS = {p: used for p, used in IMPORTS.items() if part(p) == "methods"}


def test_direction_of_imports() -> None:
    faults = []
    for path, used in IMPORTS.items():
        own = part(path)
        assert own in RANK, f"{path}: {own} has no layer; add it to LAYERS"
        later = {n for n in ours(used) if RANK.get(n, 99) > RANK[own]}
        faults += [f"{path} imports {name}, which stands above it" for name in later]
    assert not faults, "\n".join(faults)


def test_effects_stay_in_their_places() -> None:
    faults = [
        f"{path} imports {library}, which only {places} may"
        for path, used in IMPORTS.items()
        for library, places in ONLY_IN.items()
        if library in {name.split(".")[0] for name in used} and part(path) not in places
    ]
    assert not faults, "\n".join(faults)


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    """Whole files, at their top level: what is imported inside a function may wait."""
    graph = {dotted(path): set() for path in IMPORTS}
    for path in IMPORTS:
        for name in imports(path, nested=False):
            owner = name if name in graph else name.rpartition(".")[0]
            if owner in graph:
                graph[dotted(path)].add(owner)
    order = graphlib.TopologicalSorter(graph)
    order.prepare()  # raises CycleError, which names the circle


def test_the_picture_of_the_architecture_is_current() -> None:
    assert picture.picture() in picture.DOCUMENT.read_text(), "run make docs"


def test_methods_and_presets_know_only_parts() -> None:
    for path, used in METHODS.items():
        assert not ours(used) & METHODS_NEVER, path
        training = {n.split(".")[2] for n in used if n.startswith("jaxdd.training.")}
        assert training <= TRAINING_OF_METHODS, path


def test_methods_do_not_import_each_other() -> None:
    """But for what belongs to the family; presets import their own method."""
    for path, used in METHODS.items():
        for name in used:
            parts = name.split(".")
            if parts[:2] != ["jaxdd", "methods"] or len(parts) < 4:
                continue
            family, module = parts[2:4]
            if path.stem.endswith("_presets") and module.endswith("_presets"):
                continue  # settings may start from others
            own = path.stem.removesuffix("_presets")
            assert family == path.parent.name, f"{path} imports of family {family}"
            assert module.startswith("_") or module == own, f"{path} imports {module}"


def test_import_is_light() -> None:
    code = f"import sys, jaxdd\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
