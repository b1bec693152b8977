"""Join the page's script modules into one file, so that a first visit asks for one script."""

import re
from pathlib import Path

# The only two forms that the modules use; tests/app/test_page.py checks this.
_IMPORT = re.compile(r'^import \{([^}]+)\} from "\./(\w+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?function|const) (\w+)", re.MULTILINE)


def bundled(folder: Path, entry: str) -> str:
    """Return a script that does what the module `entry`, without its suffix, does.

    Every other module becomes a function that is called once and returns what the module exports.
    The functions stand in the order in which a browser would run the modules.
    """
    parts: list[str] = []
    _add(folder, entry, parts, {})
    return "\n".join(parts)


def _add(
    folder: Path, name: str, parts: list[str], seen: dict[str, bool], within: bool = False
) -> None:
    """Append a module after all that it imports; `seen` tells which are complete."""
    if name in seen:
        assert seen[name], f"{name}.js imports itself by a detour"
        return
    seen[name] = False
    text = (folder / f"{name}.js").read_text(encoding="utf-8")
    for _, other in _IMPORT.findall(text):
        _add(folder, other, parts, seen, within=True)
    taken = _IMPORT.sub(lambda found: f"const {{{found[1]}}} = ${found[2]};\n", text)
    body = _EXPORT.sub(r"\1 \2", taken)
    if within:
        exported = ", ".join(name for _, name in _EXPORT.findall(text))
        body = f"const ${name} = (() => {{\n{body}return {{ {exported} }};\n}})();\n"
    parts.append(body)
    seen[name] = True
