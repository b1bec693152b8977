"""Read params.yaml; no other module does.

A stage declares `class Params(StageParams)`. Its fields are the top-level keys of params.yaml that
the stage reads; dvc.yaml lists the same keys.
"""

import difflib
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import pydantic
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from cir.core.errors import UserError
from cir.core.params import Section

PARAMS_FILE = Path("params.yaml")


class StageParams(Section):
    """The params of a stage; the fields are top-level keys of params.yaml."""


P = TypeVar("P", bound=StageParams)


def load(params: type[P], path: Path = PARAMS_FILE) -> P:
    """Read the stage's keys from params.yaml.

    Raises UserError that names the first bad key or value.
    """
    everything = _read_yaml(path)
    mine = {key: everything[key] for key in params.model_fields if key in everything}
    try:
        return params.model_validate(mine)
    except pydantic.ValidationError as error:
        # A misspelt key is reported as missing too; the misspelling is the problem to name.
        problems = sorted(error.errors(), key=lambda p: p["type"] != "extra_forbidden")
        sentence = f"{path}: {_sentence(problems[0], params, everything)}"
        if len(problems) > 1:
            sentence += f" (and {len(problems) - 1} more)"
        raise UserError(sentence) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    """Read YAML 1.2, in which 5e-05 is a number; PyYAML reads YAML 1.1, in which it is a string."""
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist in {Path.cwd()}; run this from the root of the repository"
        ) from None
    except MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{path}{line} is not valid YAML: {error.problem}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold sections with keys, got {content!r}")
    return content


def _sentence(problem: dict[str, Any], params: type[Section], everything: dict[str, Any]) -> str:
    """Describe the problem with one key."""
    keys = _keys(problem["loc"], everything)
    name = ".".join(map(str, keys))
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "extra_forbidden":
        return f'unknown key "{name}"' + _suggestion(keys[-1], _known(params, keys[:-1]))
    if kind == "missing":
        present = everything if len(keys) == 1 else {}
        return f'"{name}" is missing' + _suggestion(keys[-1], present, "; is it written as")
    if kind == "union_tag_invalid":
        name += "." + context["discriminator"].strip("'")
        return f"{name} must be one of {context['expected_tags']}, got {context['tag']!r}"
    if kind == "union_tag_not_found":
        return f'"{name}.{context["discriminator"].strip(chr(39))}" is missing'
    if kind == "model_type":
        return f"{name} must be a section with keys, got {problem['input']!r}"
    if kind == "value_error":
        return f"{name}: {context['error']}" if name else str(context["error"])
    expected = problem["msg"].replace("Input should", "must", 1)
    return f"{name} {expected}, got {problem['input']!r}"


def _keys(location: tuple[int | str, ...], values: Any) -> list[int | str]:
    """Return the keys that lead to the wrong value in the file.

    pydantic adds the names of a union's members to the path; they are left out here.
    """
    keys = []
    for step, key in enumerate(location):
        inside = isinstance(values, dict) and key in values
        inside = inside or (isinstance(values, list) and isinstance(key, int))
        if inside:
            keys.append(key)
            values = values[key]
        elif isinstance(values, dict) and step == len(location) - 1:
            keys.append(key)  # the missing key
    return keys


def _suggestion(key: int | str, known: Any, words: str = "; did you mean") -> str:
    close = difflib.get_close_matches(str(key), [str(k) for k in known], n=1)
    return f'{words} "{close[0]}"?' if close else ""


def _known(section: type[Section], keys: list[int | str]) -> set[str]:
    """Return the names of the fields allowed under `keys`, in any member of a union."""
    sections = {section}
    for key in keys:
        fields = [s.model_fields[str(key)] for s in sections if str(key) in s.model_fields]
        sections = {inner for field in fields for inner in _sections_in(field.annotation)}
    return {name for s in sections for name in s.model_fields}


def _sections_in(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    elif get_origin(annotation) in (Union, types.UnionType, Annotated, list, tuple, dict):
        for inner in get_args(annotation):
            yield from _sections_in(inner)
