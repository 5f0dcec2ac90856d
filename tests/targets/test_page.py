"""The page of a model: what it says of each part, that nothing in it runs or leaves it, its keys."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest

import composer
from composer.components.component import Label
from composer.components.feed_forward import FeedForward
from composer.targets.page import page
from composer.targets.page.details import details
from composer.targets.page.foldings import foldings

ROOT = Path(__file__).resolve().parents[2]
TRANSFORMER = ROOT / "specs/transformer.yaml"
SPECS = [
    *(
        ROOT / f"tests/golden_diagrams/{name}.yaml"
        for name in ("alternating", "co_attention", "flat_memory", "mirror_skips", "universal")
    ),
    ROOT / "specs/mixtral.yaml",
]
HOSTILE = {
    "markup": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "end": "</script></style></title></textarea>--><svg onload=alert(1)>",
    "quotes": "\" onclick='alert(1)' ` x=",
    "entity": "&lt;b&gt; &#60; &nosuch;",
    "address": "javascript:alert(1) https://example.org/ @import url(x)",
    "bidi": "נתונים \u202eevil\u202c \u2066 \x1b[31m",
    "long": "long " * 2000,
    "backslash": "\\N \\u003cscript\\u003e {{x}} ${y}",
}


class Elements(HTMLParser):
    """Elements of a page with the names of their attributes, its scripts, and its policy."""

    def __init__(self, text):
        super().__init__()
        self.found, self.scripts, self.policy = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, tuple(name for name, _ in attrs)))
        given = dict(attrs)
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"]

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)

    def handle_data(self, data):
        if self.cdata_elem == "script":
            self.scripts.append(data)


@pytest.fixture(scope="module")
def transformer():
    return page(composer.graph(TRANSFORMER)).decode()


def test_the_policy_allows_the_one_script_and_the_one_style_and_no_address(transformer):
    elements = Elements(transformer)
    tags = [tag for tag, _ in elements.found]

    assert (tags.count("script"), tags.count("style")) == (1, 1)
    assert elements.policy.startswith("default-src 'none'; ")
    for tag in ("script", "style"):
        text = re.search(rf"<{tag}>(.*?)</{tag}>", transformer, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in elements.policy


def test_nothing_in_it_names_an_address(transformer):
    names = {name for _, attributes in Elements(transformer).found for name in attributes}

    assert not {name for name in names if name.startswith("on") or name in {"href", "src", "style"}}
    assert set(re.findall(r"https?://[^\s\"'<]+", transformer)) <= {"http://www.w3.org/2000/svg"}


def elements_with(text, folder, monkeypatch):
    """The page of a model with `text` for its title, a label and a comment of its spec."""
    monkeypatch.setattr(FeedForward, "label", lambda self, axes: Label(text, text))
    plain = TRANSFORMER.read_text(encoding="utf-8")
    spec = folder / "spec.yaml"
    spec.write_text(plain.replace("encoders:", "encoders:  # x"), encoding="utf-8")
    model = replace(composer.graph(spec), title=text, name="x")
    # The page shows the lines of the file, whatever these have become since it was read.
    spec.write_text(plain.replace("num_layers: 6,", f"num_layers: 6, # {text}\n     "), "utf-8")
    return Elements(page(model).decode())


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        return elements_with("plain", tmp_path_factory.mktemp("plain"), patch)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_text_changes_its_elements(text, plain, tmp_path, monkeypatch):
    found = elements_with(text, tmp_path, monkeypatch)

    assert found.found == plain.found
    assert found.scripts == plain.scripts


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.stem)
def test_every_component_of_a_drawing_is_known(spec):
    model = composer.graph(spec)
    text = page(model).decode()
    classes = "attention|feed_forward|norm|embedding|projection|head|convolution|io|position"
    boxes = re.findall(rf'<g class="node (?:{classes})"([^>]*)>', text)
    blocks = re.findall(r'<g class="cluster block (?:repeat|inside)[^"]*"([^>]*)>', text)
    ids = set(re.findall(r'<section id="(part-\d+)"', text))

    assert boxes
    assert [box for box in [*boxes, *blocks] if "data-part=" not in box] == []
    assert set(re.findall(r'data-part="(part-\d+)"', text)) <= ids
    assert details(model).keys() >= {part.name for part in model.parts.values()}


def test_a_part_says_where_it_is_written_and_what_it_holds():
    model = composer.graph(TRANSFORMER)
    cross = details(model)["decoder.layers.*.cross_attention"]
    facts = dict(cross.facts)

    assert cross.place == "transformer.yaml:26"
    assert cross.lines == "- cross: {from: encoder, to: decoder}"
    assert facts["copies"] == "6"
    assert facts["parameters"] == "6 303 744"
    assert facts["makes"] == "[batch, target, 512]"
    assert facts["FLOPs"].startswith("2048·batch·source·target + ")
    assert dict(cross.options)["num_heads"] == "8"
    assert dict(cross.tensors)["q.weight"] == "512 × 512"
    assert cross.source.startswith("class Attention(nn.Module):")


def test_shared_parameters_are_counted_once_and_name_their_owner():
    facts = dict(details(composer.graph(TRANSFORMER))["logits"].facts)

    assert facts["parameters"] == "0"
    assert facts["shared with"] == "encoder.embed.tokens.weight"


def test_counts_of_stacks_and_the_rest_add_up():
    model = composer.graph(TRANSFORMER)
    known = details(model)
    held = [dict(known[name].facts).get("parameters", "0") for name in model.parts]

    assert sum(int(count.replace(" ", "")) for count in held) == model.parameters


def test_source_of_a_stack_holds_its_layers():
    source = details(composer.graph(TRANSFORMER))["decoder"].source

    assert "class Decoder(nn.Module):" in source
    assert "class DecoderLayer(nn.Module):" in source


def test_a_spec_that_is_no_file_shows_the_line_it_knows():
    text = TRANSFORMER.read_text(encoding="utf-8")
    known = details(composer.graph(text))

    assert known["source"].lines.strip().startswith("source: {kind: tokens")


# In a browser


@pytest.fixture
def opened(chromium, tmp_path):
    """Opens the page of a spec; afterwards nothing may have been asked for or complained of."""
    said, asked = [], []
    made = []

    def call(spec=TRANSFORMER, **context):
        path = tmp_path / "model.html"
        path.write_bytes(page(composer.graph(spec)))
        made.append(chromium.new_context(viewport={"width": 1400, "height": 900}, **context))
        view = made[-1].new_page()
        view.set_default_timeout(5000)
        view.on("console", lambda message: said.append(message.text))
        view.on("pageerror", lambda error: said.append(str(error)))
        view.on("request", lambda request: asked.append(request.url))
        view.goto(path.as_uri())
        return view

    yield call
    for context in made:
        context.close()
    assert said == []
    assert len(asked) == len(made)


def part(view, name):
    return view.locator(f'.view:not([hidden]) [aria-label="{name}: what is known of it"]').first


def box_of(view):
    return view.locator(".view:not([hidden]) svg").get_attribute("viewBox")


def test_a_click_shows_a_part_and_escape_hides_it(opened, screenshot):
    view = opened()
    part(view, "decoder.layers.*.cross_attention").click()

    assert view.locator("#panel section:visible h2").inner_text() == (
        "decoder.layers.*.cross_attention"
    )
    assert "cross: {from: encoder, to: decoder}" in view.locator("#panel").inner_text()
    screenshot(view, "page-light")
    view.keyboard.press("Escape")
    assert not view.locator("#panel").is_visible()


def test_everything_can_be_reached_with_the_keyboard(opened):
    view = opened()
    for _ in range(20):
        view.keyboard.press("Tab")
        name = view.evaluate("document.activeElement.getAttribute('data-part')")
        if name:
            break
    view.keyboard.press("Enter")

    assert view.locator(f"#{name}").is_visible()
    assert view.evaluate("document.activeElement.id") == "panel"
    view.keyboard.press("Escape")
    assert view.evaluate("document.activeElement.getAttribute('data-part')") == name


def test_zoom_and_pan_change_what_is_seen_and_0_shows_all(opened):
    view = opened()
    whole = box_of(view)
    view.keyboard.press("+")
    near = box_of(view)
    view.keyboard.press("ArrowRight")
    moved = box_of(view)

    assert len({whole, near, moved}) == 3
    assert float(near.split()[2]) < float(whole.split()[2])
    view.keyboard.press("0")
    assert box_of(view) == whole

    view.mouse.move(500, 500)
    view.mouse.wheel(0, -100)
    view.mouse.down()
    view.mouse.move(600, 560)
    view.mouse.up()
    assert box_of(view) != whole
    assert not view.locator("#panel").is_visible()  # a drag is no click


def test_depths_fold_and_unfold(opened, screenshot):
    view = opened()
    view.get_by_label("Inside").check()
    assert view.locator('[data-depth="2"]').is_visible()
    assert not view.locator('[data-depth="1"]').is_visible()
    part(view, "encoder.layers.*.attention").click()
    assert view.locator("#panel").is_visible()
    screenshot(view, "page-inside")
    view.get_by_label("Stacks").check()
    assert view.locator('[data-depth="0"]').is_visible()
    assert not view.locator("#panel").is_visible()


def levels(view):
    return view.locator(".view:not([hidden])").get_attribute("data-levels")


def fold(view, label):
    return view.locator(f'.view:not([hidden]) .fold[aria-label="{label}"]')


def test_each_stack_folds_and_unfolds_by_itself(opened, screenshot):
    view = opened()
    fold(view, "Fold encoder").click()
    assert levels(view) == "0 1"
    assert view.locator("#depths input:checked").count() == 0
    assert not view.locator("#panel").is_visible()  # to fold is not to choose
    fold(view, "Unfold decoder").click()
    assert levels(view) == "0 2"
    assert fold(view, "Fold encoder").count() == 0
    screenshot(view, "page-folded")
    part(view, "decoder.layers.*.cross_attention").click()
    assert view.locator("#panel").is_visible()
    fold(view, "Unfold encoder").click()
    fold(view, "Fold decoder").click()
    assert levels(view) == "1 1"
    assert view.get_by_role("radio", name="Layers").is_checked()


def test_a_stack_is_folded_with_the_keyboard_and_the_focus_stays(opened):
    view = opened()
    fold(view, "Fold encoder").focus()
    view.keyboard.press("Enter")
    assert levels(view) == "0 1"
    assert view.evaluate("document.activeElement.getAttribute('aria-label')") == "Unfold encoder"
    view.keyboard.press(" ")
    assert levels(view) == "1 1"


def test_of_many_stacks_one_unfolds_at_a_time():
    stacks = ("a", "b", "c", "d")
    model = SimpleNamespace(stacks=stacks)
    views = foldings(model)

    assert views[:3] == tuple((depth,) * 5 for depth in (0, 1, 2))
    assert {(0, 2, 0, 0), (1, 1, 0, 1)} <= {view[1:] for view in views}
    assert len(set(views)) == len(views) == 27
    assert len(foldings(SimpleNamespace(stacks=stacks[:3]))) == 27
    assert len(foldings(SimpleNamespace(stacks=stacks[:1]))) == 3
    assert len(foldings(SimpleNamespace(stacks=stacks * 4))) == 3


def test_light_and_dark_follow_the_reader_and_the_button(opened, screenshot):
    view = opened(color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert view.evaluate(ground) == "rgb(13, 17, 23)"
    screenshot(view, "page-dark")
    view.locator("#theme").click()
    assert view.evaluate(ground) == "rgb(255, 255, 255)"
    fill = view.evaluate(
        "getComputedStyle(document.querySelector('.view:not([hidden]) .cluster path')).fill"
    )
    assert fill == "rgb(248, 250, 252)"


def test_without_scripts_everything_is_there(opened):
    view = opened(java_script_enabled=False)

    assert view.locator("section:visible").count() == len(details(composer.graph(TRANSFORMER)))
    assert view.locator(".view:visible").count() == 3
