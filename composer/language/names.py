"""What a part may be called: names become attributes, arguments and identifiers of diagrams."""

from __future__ import annotations

import keyword
import re

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")

MODULE_ATTRIBUTES = frozenset(
    [
        "T_destination",
        "add_module",
        "apply",
        "bfloat16",
        "buffers",
        "call_super_init",
        "children",
        "compile",
        "cpu",
        "cuda",
        "double",
        "dump_patches",
        "eval",
        "extra_repr",
        "float",
        "forward",
        "get_buffer",
        "get_extra_state",
        "get_parameter",
        "get_submodule",
        "half",
        "ipu",
        "load_state_dict",
        "modules",
        "mtia",
        "named_buffers",
        "named_children",
        "named_modules",
        "named_parameters",
        "parameters",
        "register_backward_hook",
        "register_buffer",
        "register_forward_hook",
        "register_forward_pre_hook",
        "register_full_backward_hook",
        "register_full_backward_pre_hook",
        "register_load_state_dict_post_hook",
        "register_load_state_dict_pre_hook",
        "register_module",
        "register_parameter",
        "register_state_dict_post_hook",
        "register_state_dict_pre_hook",
        "requires_grad_",
        "set_extra_state",
        "set_submodule",
        "share_memory",
        "state_dict",
        "to",
        "to_empty",
        "train",
        "training",
        "type",
        "xpu",
        "zero_grad",
        "tie_weights",
    ]
)
"""Attributes of `torch.nn.Module`, which a part of that name would hide."""

SOURCE_NAMES = frozenset(
    [
        "self",
        "torch",
        "nn",
        "F",
        "math",
        "Tensor",
        "NamedTuple",
        "einsum",
        "rearrange",
        "reduce",
        "repeat",
        "x",
        "i",
        "layer",
        "mask",
        "rope",
        "states",
        "h",
        "padding",
        "weights",
        "int",
        "float",
        "str",
        "bool",
        "len",
        "range",
        "zip",
        "list",
        "tuple",
        "dict",
        "super",
        "annotations",
        "resample",
        "attention_mask",
        "concat_masks",
    ]
)
"""Names that emitted source uses for other things."""


def name_problem(name: str, *, variable: bool = True, masked: bool = False) -> str | None:
    """Why `name` cannot be a part's name, or None if it can.

    Without `variable` it is only an attribute, and no variable of the emitted source; with `masked`
    NAME_mask may be one, too.
    """
    if not NAME.fullmatch(name):
        return "a name starts with a letter and has at most 64 letters, digits and _"
    if keyword.iskeyword(name) or keyword.issoftkeyword(name) or names_a_constant(name):
        return f"'{name}' is a word of Python"
    if name in MODULE_ATTRIBUTES:
        return f"'{name}' is an attribute of every torch module"
    if variable and name in SOURCE_NAMES:
        return f"'{name}' has another meaning in the emitted source"
    if masked and f"{name}_mask" in SOURCE_NAMES:
        return f"the mask of '{name}' would have another meaning in the emitted source"
    return None


def names_a_constant(name: str) -> bool:
    """Whether a class of this name would be called None, True or False."""
    words = re.findall(r"[A-Za-z0-9]+", name)
    return len(words) == 1 and words[0].lower() in {"none", "true", "false"}


def other_name(name: str) -> str:
    """What to write instead of a name that cannot be, for a fix."""
    kept = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:60]
    for candidate in (kept, f"my_{kept}"):
        if candidate != name and name_problem(candidate) is None:
            return f"choose another name, such as '{candidate}'"
    return "choose another name"
