# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fails for every option of a module that no integration target gives a value.

A target may do so through a role of this collection: by a variable that the role hands on.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.tools.places import ROOT

COLLECTION = "amistore.aws"


@dataclass(frozen=True)
class Module:
    name: str
    options: frozenset[str]
    aliases: Mapping[str, str] = field(default_factory=dict)
    """The option that each alias stands for."""


def read_modules(plugins: Path) -> list[Module]:
    """The modules with the options that this collection documents for them."""
    return [read_module(path, plugins) for path in sorted((plugins / "modules").glob("*.py"))]


def read_module(path: Path, plugins: Path) -> Module:
    documentation = documented(path, "DOCUMENTATION")
    options: dict[str, Any] = dict(documentation["options"])
    for fragment in documentation.get("extends_documentation_fragment", []):
        options |= fragment_options(fragment, plugins)
    aliases = {
        alias: name for name, option in options.items() for alias in option.get("aliases", [])
    }
    return Module(path.stem, frozenset(options), aliases)


def fragment_options(fragment: str, plugins: Path) -> dict[str, Any]:
    """Options of a fragment of this collection; other collections test theirs."""
    if not fragment.startswith(f"{COLLECTION}."):
        return {}
    name, _dot, part = fragment.removeprefix(f"{COLLECTION}.").partition(".")
    path = plugins / "doc_fragments" / f"{name}.py"
    return dict(documented(path, part.upper() or "DOCUMENTATION").get("options") or {})


def documented(path: Path, variable: str) -> Any:
    """The YAML that a Python file assigns to a variable, at any level."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Assign([ast.Name(name)], ast.Constant(str() as text)) if name == variable:
                return yaml.safe_load(text)
    raise LookupError(f"{path} has no {variable}")


def used_options(modules: Iterable[Module], targets: Path, roles: Path) -> dict[str, set[str]]:
    """By module, the options that tasks of the targets, or roles for them, give a value."""
    used: dict[str, set[str]] = {module.name: set() for module in modules}
    aliases = {module.name: module.aliases for module in modules}
    given = set[str]()
    for path in sorted(targets.glob("*/tasks/*.yml")):
        content = yaml.safe_load(path.read_text())
        given |= set(keys(content))
        for name, arguments in calls(content):
            if name in used:
                used[name] |= {aliases[name].get(key, key) for key in arguments}
    for name, option, variables in handed_on(roles):
        if name in used and variables & given:
            used[name].add(aliases[name].get(option, option))
    return used


def handed_on(roles: Path) -> Iterator[tuple[str, str, set[str]]]:
    """Each option that a role gives a module, with the role's variables in its value."""
    for path in sorted(roles.glob("*/tasks/*.yml")):
        variable = re.compile(rf"\b{path.parent.parent.name}_\w+")
        for name, arguments in calls(yaml.safe_load(path.read_text())):
            for option, value in arguments.items():
                yield name, option, set(variable.findall(str(value)))


def keys(content: object) -> Iterator[str]:
    """Every key of every dictionary in these tasks."""
    if isinstance(content, list):
        for item in content:
            yield from keys(item)
    elif isinstance(content, dict):
        for key, value in content.items():
            yield str(key)
            yield from keys(value)


def calls(content: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every module of this collection that is called anywhere in these tasks."""
    if isinstance(content, list):
        for item in content:
            yield from calls(item)
    elif isinstance(content, dict):
        for key, value in content.items():
            name = str(key).removeprefix(f"{COLLECTION}.")
            if name != str(key) and isinstance(value, dict):
                yield name, value
            else:
                yield from calls(value)


def main() -> int:
    modules = read_modules(ROOT / "plugins")
    used = used_options(modules, ROOT / "tests" / "integration" / "targets", ROOT / "roles")
    unused = {module.name: sorted(module.options - used[module.name]) for module in modules}
    for module in modules:
        count = len(module.options) - len(unused[module.name])
        print(f"{module.name}: {count} of {len(module.options)} options are used by a target")
        print("".join(f"  not used: {name}\n" for name in unused[module.name]), end="")
    return 1 if any(unused.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
