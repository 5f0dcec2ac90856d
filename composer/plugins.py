"""Components of one's own: a Python file whose `Component` classes become kinds like all others.

Such a file holds both halves: the subclass of `composer.Component`, which says what may be written
and what is true of it, and the `torch.nn.Module` that its `module` names, which computes it. An
emitted file gets a copy of the second, so that it needs neither composer nor the plugin.

Where the file imports torch at its top, loading it takes as long as importing torch does; `check`,
`draw` and `describe` load plugins too.
"""

from __future__ import annotations

import hashlib
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType

from composer.components.component import KINDS, Component

_PREFIX = "composer_plugin_"


class PluginError(Exception):
    """A plugin that cannot be read or run; the text says which, where, and why."""


def load_plugin(path: str | Path) -> ModuleType:
    """Runs a Python file and returns it as a module; its component classes register themselves.

    The module's name follows from the file's place, so classes of one file are the same in every
    call: a file that has not changed is not run again.

    Raises PluginError where the file cannot be read, or raises an error itself.
    """
    file = Path(path)
    try:
        text = file.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise PluginError(f"cannot read plugin '{path}': {reason}") from error
    name = module_name(file)
    known = sys.modules.get(name)
    if known is not None and known.__dict__.get("__digest__") == _digest(text):
        return known
    return _run(name, file.resolve(), text, str(path))


def module_name(path: Path) -> str:
    """The name under which `sys.modules` holds a plugin: its stem, and a mark of its folder."""
    file = path.resolve()
    stem = re.sub(r"\W", "_", file.stem)
    return f"{_PREFIX}{stem}_{_digest(str(file.parent).encode())[:6]}"


def _run(name: str, file: Path, text: bytes, shown: str) -> ModuleType:
    module = ModuleType(name)
    module.__file__ = str(file)
    module.__dict__["__digest__"] = _digest(text)
    before, kinds = sys.modules.get(name), dict(KINDS)
    sys.modules[name] = module  # annotations of its classes are looked up there while it runs
    try:
        code = compile(text, str(file), "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102 - the user asked for it, never a spec
    except (Exception, SystemExit) as error:
        _put_back(name, before, kinds)
        raise PluginError(f"plugin {_where(error, file, shown)}: {_said(error)}") from error
    return module


def _put_back(name: str, before: ModuleType | None, kinds: dict[str, type[Component]]) -> None:
    """Leaves nothing of a plugin that failed half-way."""
    KINDS.clear()
    KINDS.update(kinds)
    if before is None:
        del sys.modules[name]
    else:
        sys.modules[name] = before


def _where(error: BaseException, file: Path, shown: str) -> str:
    """The file and, where it can be told, the line of it that failed."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return f"{shown}:{error.lineno}"
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(file)]
    return f"{shown}:{lines[-1]}" if lines else shown


def _said(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return str(error.msg)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
