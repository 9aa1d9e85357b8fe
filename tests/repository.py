"""The repository as the tests about the house see it: its root, its files, who imports whom."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def files() -> list[Path]:
    """Every file of the repository, relative to its root: tracked, or new and not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [Path(name) for name in sorted(set(listed.split("\0"))) if name and (ROOT / name).is_file()]


def modules(package: str) -> dict[str, Path]:
    """Map the dotted name of each module of `package` (and a package's own `__init__`) to its path."""
    found = {}
    for path in (path for path in files() if path.parts[0] == package and path.suffix == ".py"):
        parts = path.with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ROOT / path
    return found


def imports(path: Path) -> set[str]:
    """Return the dotted names that the file at `path` imports, late imports inside functions too.

    `from a import b` counts as `a` and as `a.b`, for b may be a module. What only a type checker imports is
    left out.
    """
    names: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    package = list(path.relative_to(ROOT).parent.parts)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)
    return names
