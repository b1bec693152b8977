"""Draw plots as SVG elements that use the colours and the font of the page."""

import re
from collections.abc import Mapping, Sequence
from io import StringIO

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# matplotlib draws in these colours; _svg then replaces them by the page's colours, which change
# in dark mode.
_INK, _FAINT = "#010101", "#020202"
_SERIES = tuple(f"#03030{number}" for number in range(1, 6))
_LONG_NAME = 28  # letters; a longer name leaves too short an axis for many ticks
_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)))
_PAGE_COLOURS = {
    _INK: "currentColor",
    _FAINT: "var(--line)",
    **{colour: f"var(--series-{number})" for number, colour in enumerate(_SERIES, 1)},
}
_RC = {
    "svg.fonttype": "none",
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": _FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.handlelength": 2.6,
}

Line = tuple[Sequence[float], Sequence[float]]


def line_plot(
    lines: Mapping[str, Line],
    across: str,
    up: str,
    label: str,
    *,
    share: bool = False,
    logarithmic: bool = False,
    mark: tuple[float, str] | None = None,
) -> Markup:
    """Draw a line for each name, given as (x values, y values).

    Args:
        across, up: names of the axes.
        label: what a screen reader says.
        share: whether y is a share, written in percent.
        logarithmic: whether the axis of x is logarithmic.
        mark: an x where a vertical line is drawn, and the word above it.
    """
    with matplotlib.rc_context({**_RC, "svg.hashsalt": label}):
        figure = Figure(figsize=(5, 3), layout="constrained")
        axes = figure.add_subplot()
        for number, (name, (xs, ys)) in enumerate(lines.items()):
            colour, style = _SERIES[number % len(_SERIES)], _STYLES[number % len(_STYLES)]
            marker = "o" if len(xs) <= 12 else None
            axes.plot(xs, ys, style, color=colour, label=name, marker=marker, markersize=4)
        axes.set(xlabel=across, ylabel=up)
        if logarithmic:
            _log_axis(axes, sorted({x for xs, _ in lines.values() for x in xs}))
        if share:
            axes.yaxis.set_major_formatter(_percent)
        if mark is not None:
            axes.axvline(mark[0], color=_INK, linewidth=0.8, linestyle=":")
            height = axes.get_xaxis_transform()
            axes.text(mark[0], 1.01, mark[1], transform=height, ha="center", fontsize=9)
        if len(lines) > 1:
            axes.legend()
        return _svg(figure, label)


def dot_plot(
    title: str, rows: Mapping[str, tuple[float, float, float]], across: str, up: str = ""
) -> Markup:
    """Draw a dot with its interval for each name: (share, low, high).

    Args:
        title: what a screen reader says before it reads the names and shares.
        rows: at least one row, from the top down.
        across, up: names of the axes.

    The axis of shares does not begin at zero, so dots are drawn and not bars.
    """
    label = f"{title}: " + ", ".join(f"{name} {share:.1%}" for name, (share, *_) in rows.items())
    with matplotlib.rc_context({**_RC, "svg.hashsalt": label}):
        figure = Figure(figsize=(5, 0.8 + 0.34 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        for place, (value, low, high) in enumerate(rows.values()):
            axes.plot([low, high], [place, place], color=_SERIES[0], linewidth=2, alpha=0.55)
            axes.plot([value], [place], "o", color=_SERIES[0], markersize=7)
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set(xlabel=across, ylabel=up, ylim=(len(rows) - 0.5, -0.5))
        axes.set_xlim(right=1 + 0.02 * (1 - axes.get_xlim()[0]))
        bins = 6 if max(map(len, rows)) <= _LONG_NAME else 4
        axes.xaxis.set_major_locator(MaxNLocator(bins, steps=[1, 2, 2.5, 5, 10]))
        axes.xaxis.set_major_formatter(_percent)
        axes.grid(axis="y", visible=False)
        return _svg(figure, label)


def _log_axis(axes: Axes, values: Sequence[float]) -> None:
    axes.set_xscale("log")
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.minorticks_off()


def _percent(share: float, place: int) -> str:
    """Label a tick with as many decimals as its value has."""
    return f"{round(100 * share, 3):g}%"


def _svg(figure: Figure, label: str) -> Markup:
    """Turn the figure into an SVG element without a prolog, a fixed size or matplotlib's ids."""
    buffer = StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r' id="[\w.]+_\d+"', "", text)  # every figure has an "axes_1"
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    for drawn, shown in _PAGE_COLOURS.items():
        text = text.replace(drawn, shown)
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text).groups()
    head = f'<svg role="img" aria-label="{_escaped(label)}" viewBox="0 0 {width} {height}"'
    head += ' xmlns:xlink="http://www.w3.org/1999/xlink">'
    return Markup(head + text[text.index(">") + 1 :])


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
