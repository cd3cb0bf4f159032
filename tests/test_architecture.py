"""Which package may import which, and what a module may not be called."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "gateway"
ANYBODY = {"secret", "unavailable"}  # a value that everybody may hold, and an error that everybody may raise
ALL = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or path.is_dir()} - {"__init__", "__pycache__"}
MAY_IMPORT: dict[str, set[str]] = {
    "secret": set(),
    "unavailable": set(),
    "jmap": set(),
    "message": set(),
    "upstream": set(),
    "config": set(),
    "log": set(),
    "metrics": set(),
    "store": {"config"},
    "account": {"jmap", "message", "store"},
    "sync": {"account", "jmap", "message", "metrics", "upstream"},
    "methods": {"account", "jmap", "message"},
    "outbox": {"account", "jmap", "message", "store", "upstream"},
    "push": {"account", "jmap", "metrics", "store"},
    "auth": {"store", "upstream"},
    "web": {"account", "auth", "jmap", "metrics", "push"},
    "server": ALL - {"cli"},
    "cli": {"config", "log", "server"},
}
NOT_NAMES = {"utils", "helpers", "common", "misc", "base", "models", "manager", "service", "engine"} | {
    "handler",
    "wrapper",
    "factory",
}


def modules() -> list[Path]:
    return [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


def package_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Yield the packages of the gateway that a module imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names = [
                f"{node.module}.{alias.name}" if node.module == "gateway" else str(node.module) for alias in node.names
            ]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "gateway" and len(parts) > 1 and parts[1] != "__version__":
                yield parts[1]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports(path: Path) -> None:
    """A module imports only what its package may."""
    package = package_of(path)
    allowed = MAY_IMPORT[package] | ANYBODY | {package}
    assert set(imported(path)) <= allowed


def test_every_package_has_a_row() -> None:
    """A new package needs a row in the table."""
    assert set(MAY_IMPORT) >= ALL


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_names_and_sizes(path: Path) -> None:
    """A module is named after what it does, says so at its top, and can be read in one sitting."""
    assert not NOT_NAMES.intersection(path.stem.split("_"))
    text = path.read_text(encoding="utf-8")
    assert not text.strip() or ast.get_docstring(ast.parse(text))
    assert text.count("\n") <= 600
