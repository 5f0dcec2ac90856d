"""From bytes to text that is safe to show and that all parsers cut into the same lines."""

from __future__ import annotations

import re
import unicodedata

from composer.diagnostics import Span, SpecError

from .yaml_faults import Fault, Limits, refusal
from .yaml_places import BREAK, Place, Point, place_of, places_in
from .yaml_scalars import shortened

_UTF16_OR_32 = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


# Controls, line breaks of YAML 1.1 only, direction marks (rustc refuses them too), lone surrogates,
# byte order marks and the two non-characters that PyYAML refuses.
FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"
    "\ud800-\udfff\ufeff\ufffe\uffff]"
)


def check_size(text: str | bytes, file: str, limits: Limits) -> None:
    """Refuses a text of more bytes than a spec may have."""
    size = len(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    if size > limits.spec_bytes:
        raise refusal(
            Fault.LIMIT,
            f"the spec is larger than {limits.spec_bytes} bytes",
            Span(file, 1, 1, 2),
            "use repeats and sizes instead of writing everything out",
        )


def decode(data: bytes, file: str) -> str:
    """The text of strict UTF-8 bytes, less a byte order mark."""
    if data.startswith(_UTF16_OR_32):
        message = "the file is UTF-16 or UTF-32, not UTF-8"
        raise refusal(Fault.ENCODING, message, Span(file, 1, 1, 2), "save the file as UTF-8")
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        text = data.decode("utf-8", "surrogateescape")
        span = place_of(text, len(data[: error.start].decode("utf-8")), places_in(text, file))
        message = f"the byte 0x{data[error.start]:02x} is not UTF-8"
        raise refusal(Fault.ENCODING, message, span, "save the file as UTF-8") from error


def check_characters(text: str, place: Place) -> None:
    """Refuses controls and characters that change the direction of text."""
    found = FORBIDDEN.search(text)
    if found:
        raise forbidden(found[0], place_of(text, found.start(), place))


def forbidden(char: str, span: Span) -> SpecError:
    """What is said of a character that may not stand in a spec."""
    name = f"U+{ord(char):04X} {unicodedata.name(char, '')}".strip()
    return refusal(
        Fault.CHARACTER, f"the character {name} may not stand in a spec", span, "delete it"
    )


_YAML_1_2 = re.compile(r"%YAML[ \t]+1\.2[ \t]*(?:[ \t]#.*)?")


def check_directives(text: str, place: Place) -> None:
    """Refuse directives before the parsers see them: each knows other ones."""
    if not text.startswith(("%", "#", " ", "\t", "\r", "\n")):
        return
    seen: Span | None = None
    for number, line in enumerate(BREAK.split(text)):
        if line.startswith("%"):
            seen = place(Point(number, 0), Point(number, len(line.rstrip())))
            if not _YAML_1_2.fullmatch(line):
                name = shortened(line.split()[0])
                fix = "delete the line: a spec is YAML 1.2 without tags"
                raise refusal(
                    Fault.DIRECTIVE, f"the directive '{name}' is not for specs", seen, fix
                )
        elif line.strip() and not line.lstrip().startswith("#"):
            if seen and not line.startswith("---"):
                fix = "write a line '---' below it, or delete it"
                raise refusal(Fault.DIRECTIVE, "nothing ends the directives", seen, fix)
            return
