"""Reads `EdgeConfig`: file text, then environment, then one validation that names every bad key."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from edge.config import EdgeConfig
from edge.errors import EdgeError, ErrorCode

PREFIX = "EDGE_"


def load(path: Path | None, environment: Mapping[str, str]) -> EdgeConfig:
    """Read the file (if any) and the environment. Raises EdgeError `config_invalid`."""
    text = ""
    if path is not None:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise _invalid([f"{path}: {error}"]) from error
    return parse(text, environment)


def parse(text: str, environment: Mapping[str, str]) -> EdgeConfig:
    """As `load`, from the file's text.

    `EDGE_SECTION__KEY=value` overrides `section.key`; the value is read as YAML, so lists and
    numbers work. Variables without `__` are not ours: Kubernetes sets `EDGE_PORT` and the like
    for a service named edge.
    """
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _invalid([f"not YAML: {' '.join(str(error).split())}"]) from error
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise _invalid(["the file must hold a mapping of sections"])
    sources = _overlay(tree, environment)
    try:
        return EdgeConfig.model_validate(tree)
    except ValidationError as error:
        raise _invalid([_line(problem, sources) for problem in error.errors()]) from error


def _overlay(tree: dict[Any, Any], environment: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    sources: dict[tuple[str, ...], str] = {}
    for variable, value in sorted(environment.items()):
        if not variable.startswith(PREFIX) or "__" not in variable:
            continue
        keys = tuple(variable.removeprefix(PREFIX).lower().split("__"))
        node = tree
        for key in keys[:-1]:
            child = node.get(key)
            if not isinstance(child, dict):
                child = node[key] = {}
            node = child
        try:
            node[keys[-1]] = yaml.safe_load(value)
        except yaml.YAMLError:
            node[keys[-1]] = value
        sources[keys] = variable
    return sources


def _line(problem: Any, sources: Mapping[tuple[str, ...], str]) -> str:
    location = tuple(str(part) for part in problem["loc"])
    name = ".".join(location) or "configuration"
    source = sources.get(location)
    where = f"{name} (from {source})" if source else name
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key{_hint(location)}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    # The value of a secret must not reach a log.
    if {"secret", "credential"} & set(location) or isinstance(problem["input"], dict):
        return f"{where}: {message}"
    return f"{where}: {message}, got {problem['input']!r}"


def _hint(location: tuple[str, ...]) -> str:
    """The nearest known key at that place, for a typing mistake."""
    known: list[str] = list(EdgeConfig.model_fields)
    model: Any = EdgeConfig
    for part in location[:-1]:
        if part.isdigit():
            continue
        field = model.model_fields.get(part)
        model = _model_in(field.annotation) if field else None
        if model is None:
            return ""
        known = list(model.model_fields)
    near = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.6)
    return f" (did you mean {near[0]}?)" if near else ""


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _model_in(argument)
        if found is not None:
            return found
    return None


def _invalid(problems: list[str]) -> EdgeError:
    return EdgeError(ErrorCode.CONFIG_INVALID, "; ".join(problems), problems=problems)
