"""A series as a plot: what each size costs and, where a law speaks of it, the loss."""

from __future__ import annotations

import io
from typing import Literal

from .series import Member


class PlottingError(Exception):
    """matplotlib is missing."""


def plot(members: list[Member], title: str, form: Literal["svg", "png"]) -> bytes:
    """The plot as SVG or PNG; without a law it shows FLOPs a token instead of the loss.

    Raises PlottingError where matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise PlottingError("a plot needs matplotlib: install graph-composer[plot]") from None
    with rc_context({"svg.hashsalt": "composer", "svg.fonttype": "none"}):
        figure = Figure(figsize=(6.4, 4.4), layout="constrained")
        FigureCanvasAgg(figure)
        _draw(figure, members, title)
        stream = io.BytesIO()
        dated = {"metadata": {"Date": None}} if form == "svg" else {"dpi": 160}
        figure.savefig(stream, format=form, **dated)
    return stream.getvalue()


def _draw(figure: object, members: list[Member], title: str) -> None:
    axes = figure.add_subplot()  # type: ignore[attr-defined]  # matplotlib is optional
    losses = [one.loss for one in members if one.loss is not None]
    costs = [one.training_flops or one.flops_per_token for one in members]
    known = len(losses) == len(members)
    below = costs if known else [one.parameters for one in members]
    shown = losses if known else [one.flops_per_token for one in members]
    axes.plot(below, shown, marker="o", color="#2563EB", linewidth=1.5)
    for one, x, y in zip(members, below, shown, strict=True):
        axes.annotate(one.name, (x, y), textcoords="offset points", xytext=(5, 5), fontsize=8)
    axes.set_xscale("log")
    if not known:
        axes.set_yscale("log")
    axes.set_xlabel("training FLOPs" if known else "parameters")
    axes.set_ylabel("predicted loss (nats a token)" if known else "forward FLOPs a token")
    axes.set_title(title)
    axes.margins(x=0.1, y=0.08)
    axes.grid(visible=True, which="major", alpha=0.3)
