"""SVG as Graphviz writes it, made fit for a page: fonts, alternative text, both themes in one."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from .theme import DARK, FONT_STACK, LIGHT, Theme, tokens

_SVG = "http://www.w3.org/2000/svg"
_MATERIAL = "[data-md-color-scheme"
_TITLE = "{http://www.w3.org/1999/xlink}title"


def finish(svg: bytes, theme: Theme, mark: str) -> bytes:
    """The SVG with the whole font stack, tooltips, alternative text, and a mark of its origin.

    With `theme="auto"` it has no canvas, and its light colours become dark ones where the reader
    prefers a dark page, or where an element around it says `data-theme="dark"`, or what Material for
    MkDocs says instead.
    """
    root = ET.fromstring(svg)  # noqa: S314 - Graphviz wrote it
    drawing = root.find(f"{{{_SVG}}}g")
    assert drawing is not None, "Graphviz writes one group"
    _lift_titles(root)
    about = drawing.find(f"{{{_SVG}}}title")
    text = "" if about is None else about.text or ""
    root.attrib.update({"class": "composer", "role": "img", "aria-label": text})
    root.set("data-drawn", mark)
    style = ET.Element(f"{{{_SVG}}}style")
    style.text = f"svg.composer text{{font-family:{FONT_STACK}}}"
    if theme == "auto":
        _drop_canvas(drawing)
        style.text += _both_themes(svg.decode().lower())
    root.insert(0, style)
    ET.register_namespace("", _SVG)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _lift_titles(root: ET.Element) -> None:
    """Makes tooltips titles, which browsers and readers of the screen know, in place of links."""
    for group in root.iter(f"{{{_SVG}}}g"):
        wrapper = group.find(f"{{{_SVG}}}g/{{{_SVG}}}a[@{_TITLE}]/..")
        title = group.find(f"{{{_SVG}}}title")
        if wrapper is None or title is None or wrapper not in list(group):
            continue
        (link,) = wrapper
        title.text = link.get(_TITLE)
        at = list(group).index(wrapper)
        group[at : at + 1] = list(link)


def _drop_canvas(drawing: ET.Element) -> None:
    """Removes the background, so that the page's own shows."""
    canvas = drawing.find(f"{{{_SVG}}}polygon")
    if canvas is not None:
        drawing.remove(canvas)


def _both_themes(svg: str) -> str:
    """Rules that give each light colour in use a variable, and the variables their dark values."""
    used = {name: color for name, color in tokens(LIGHT).items() if _written(color, svg)}
    dark = tokens(DARK)
    rules = [_rule(name, color, svg) for name, color in used.items()]
    values = "".join(f"--composer-{name}:{dark[name]};" for name in used)
    unset = "".join(f"--composer-{name}:initial;" for name in used)
    return "".join([
        *rules,
        f"@media (prefers-color-scheme:dark){{svg.composer{{{values}}}}}",
        f"[data-theme=dark] svg.composer,{_MATERIAL}=slate] svg.composer{{{values}}}",
        f"[data-theme=light] svg.composer,{_MATERIAL}=default] svg.composer{{{unset}}}",
    ])  # fmt: skip


def _written(color: str, svg: str) -> list[str]:
    """How a colour stands in the SVG: as a number, or as the name that Graphviz gives it."""
    names = [color, "white"] if color == "#ffffff" else [color]
    return [name for name in names if f'"{name}"' in svg]


def _rule(name: str, color: str, svg: str) -> str:
    rules = []
    for attribute in ("fill", "stroke"):
        chosen = ",".join(f'svg.composer [{attribute}="{text}"]' for text in _written(color, svg))
        rules.append(f"{chosen}{{{attribute}:var(--composer-{name},{color})}}")
    return "".join(rules)
