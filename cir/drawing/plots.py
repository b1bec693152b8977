"""Draw plots of measured values and save them as PNG files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from cir.drawing.saving import save_figure

_BLUE, _INK = "#4c78a8", "#1f2328"


def save_line_plot(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], x: str, y: str, path: Path
) -> None:
    """Draw one line for each name, given as (x values, y values); `x` and `y` name the axes."""
    figure, axes = _plot(5, 3.2)
    for name, (across, up) in lines.items():
        axes.plot(across, up, marker="o", markersize=3, label=name)
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    save_figure(figure, path)


def save_bar_plot(bars: Mapping[str, float], y: str, path: Path) -> None:
    """Draw an upright bar for each name, with its value (from 0 to 1) written over it."""
    figure, axes = _plot(max(3.2, 0.8 * len(bars) + 1), 3.2)
    drawn = axes.bar(list(bars), list(bars.values()), color=_BLUE)
    axes.bar_label(drawn, [f"{value:.1%}" for value in bars.values()], fontsize=8, padding=2)
    axes.set(ylabel=y, ylim=(0, 1.1))
    save_figure(figure, path)


def save_interval_plot(
    rows: Mapping[str, tuple[float, float, float]], across: str, path: Path
) -> None:
    """Draw a horizontal bar with its interval for each name, from the top down.

    A row is (value, low, high), all from 0 to 1. `across` names the horizontal axis.
    """
    figure, axes = _plot(8, 0.8 + 0.32 * len(rows))
    names = [name.replace("_", " ") for name in rows]
    values, lows, highs = zip(*rows.values(), strict=True)
    reach = [
        [value - low for value, low in zip(values, lows, strict=True)],
        [high - value for value, high in zip(values, highs, strict=True)],
    ]
    axes.barh(names, values, color=_BLUE, xerr=reach, ecolor=_INK, capsize=3)
    for place, (value, high) in enumerate(zip(values, highs, strict=True)):
        axes.text(high + 0.01, place, f"{value:.1%}", va="center", fontsize=9)
    axes.set(xlabel=across, xlim=(0, 1.1), ylim=(len(rows) - 0.4, -0.6))
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def save_speed_plot(points: Mapping[str, tuple[float, float]], path: Path) -> None:
    """Draw a named point for each encoder: (images per second, nDCG@10), the speed in log scale."""
    figure, axes = _plot(7, 4)
    for name, (rate, ndcg) in points.items():
        axes.plot([rate], [ndcg], "o", color=_BLUE)
        axes.annotate(name, (rate, ndcg), (5, 4), textcoords="offset points", fontsize=8)
    axes.set(xlabel="images per second in the encoder", ylabel="nDCG@10", xscale="log")
    rates = [rate for rate, _ in points.values()]
    axes.set(xlim=(min(rates) / 2, 3 * max(rates)), ylim=(0, 1.05))  # room for the names
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda rate, _: f"{rate:,g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def _plot(width: float, height: float) -> tuple[Figure, Axes]:
    """Return an empty figure of this size in inches, and its axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()
