"""Draws the import picture of docs/architecture.md from the code.

python experiments/picture.py [--check]

An arrow leads from a room, a package or module of jaxdd, to each one that its files
import, but for those to which a longer way leads. With --check nothing is written, and
the exit code is 1 where the picture in the document is not that of the code.
"""

import argparse
import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- imports: begin -->", "<!-- imports: end -->"


def rooms(package: Path) -> dict[str, set[str]]:
    """For every package or module below `package`, those that its files import.

    Args:
      package: the folder of the library, whose name is that of the package.
    """
    used: dict[str, set[str]] = {}
    for path in sorted(package.rglob("*.py")):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        if not room.startswith("__"):
            found = imported(path, package.name) - {room}
            used[room] = used.get(room, set()) | found
    return {room: names & used.keys() for room, names in used.items()}


def imported(path: Path, package: str) -> set[str]:
    """The rooms of the package that a file imports at its top level."""
    names = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    parts = [name.split(".") for name in names]
    return {part[1] for part in parts if part[0] == package and len(part) > 1}


def reachable(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """For every room all those that it imports, directly or through others."""
    reached = {room: set(names) for room, names in graph.items()}
    for middle in graph:
        for names in reached.values():
            if middle in names:
                names |= reached[middle]
    return reached


def arrows(graph: dict[str, set[str]]) -> set[tuple[str, str]]:
    """The arrows of the picture, none where a longer way leads too.

    Rooms whose files import each other's are one node.
    """
    reached = reachable(graph)
    one = {r: sorted({r} | {n for n in reached[r] if r in reached[n]}) for r in graph}
    node = {room: " and ".join(names) for room, names in one.items()}
    found = set()
    for room in graph:
        others = {node[name] for name in reached[room]} - {node[room]}
        further = {
            node[name]
            for other in reached[room]
            for name in reached[other]
            if node[other] not in (node[room], node[name])
        }
        found |= {(node[room], other) for other in others - further}
    return found


def picture(package: Path = ROOT / "jaxdd") -> str:
    """The import picture as a mermaid block; an arrow points at what is imported."""
    pairs = sorted(arrows(rooms(package)))
    names = sorted({name for pair in pairs for name in pair if " " in name})
    lines = [f"  {_node(name)}[{name}]" for name in names]
    lines += [f"  {_node(room)} --> {_node(name)}" for room, name in pairs]
    return "\n".join(["```mermaid", "flowchart TB", *lines, "```"])


def _node(name: str) -> str:
    return name.replace(" and ", "_")


def main() -> int:
    """Rewrites the picture, or says whether it is current."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    check = parser.parse_args().check
    text = DOCUMENT.read_text()
    head, rest = text.split(BEGIN)
    new = f"{head}{BEGIN}\n{picture()}\n{END}{rest.split(END)[1]}"
    if check and new != text:
        print(f"{DOCUMENT.name}: the import picture is old; run make docs")
        return 1
    if not check:
        DOCUMENT.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
