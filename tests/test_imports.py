"""The import direction, the places of effects, and a light `import jaxdd`."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "jaxdd"

# A module may import from its own layer and from earlier ones.
LAYERS = (
    {"records", "whiten"},
    {"base"},
    {"names", "tree", "rng", "losses", "optimisers", "files", "foreign"},
    {"unroll", "kernels", "networks", "augment", "select"},
    {"batches"},
    {"portions"},
    {"training", "protocols"},
    {"decoders", "objectives", "pools"},
    {"composition"},
    {"trajectories", "rates"},
    {"methods", "presets"},
    {"data"},
    {"artefact"},
    {"exchange"},
    {"evaluation"},
    {"prepare"},
    {"run"},
    {"api"},
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

# What only some packages may import, wherever in the file it stands.
ONLY_IN = {
    "flax": {"networks"},
    "tqdm": {"run"},
    "rich": {"run"},
    "tyro": {"run"},
    "matplotlib": {"run"},
    "orbax": {"run"},
    "sklearn": {"data", "select"},
    "tempfile": {"files", "data", "prepare", "artefact", "run"},
    "shutil": {"files", "data", "prepare", "artefact", "run"},
    "logging": {"run"},
}
METHODS_NEVER = {"data", "evaluation", "prepare", "run", "artefact", "training"}
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


def imports(path: Path) -> set[str]:
    """Dotted names imported anywhere in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
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


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_direction_of_imports(path: Path) -> None:
    own = part(path)
    assert own in RANK, f"{own} has no layer: add it to LAYERS"
    later = {n for n in ours(imports(path)) if RANK.get(n, 99) > RANK[own]}
    assert not later, f"{own} imports {later}, which stand above it"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_effects_stay_in_their_places(path: Path) -> None:
    roots = {n.split(".")[0] for n in imports(path)}
    for library, places in ONLY_IN.items():
        assert library not in roots or part(path) in places, (
            f"{library} may be imported only in {places}"
        )


def test_methods_and_presets_know_only_parts() -> None:
    names = {p.stem for p in (PACKAGE / "methods").glob("*.py")} - {"__init__"}
    for path in modules():
        if part(path) != "methods" or path.stem == "__init__":
            continue
        used = imports(path)
        assert not ours(used) & METHODS_NEVER, path
        others = {
            n.split(".")[2]
            for n in used
            if n.startswith("jaxdd.methods.") and n.count(".") >= 2
        }
        assert not others & (names - {path.stem}), f"{path} imports another method"


def test_import_is_light() -> None:
    code = f"import sys, jaxdd\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
