from PIL import Image

from cir.drawing import plots


def test_plots_are_the_same_bytes_for_the_same_figures(tmp_path):
    for name in ("one", "other"):
        plots.save_line_plot({"a": ([1, 5], [0.5, 1.0])}, "k", "recall", tmp_path / f"l{name}.png")
        plots.save_bar_plot({"+1 -0": 0.9, "+0 -1": 1.0}, "accuracy", tmp_path / f"b{name}.png")
        rows = {"a_name": (0.9, 0.85, 0.95), "b": (0.0, 0.0, 0.0)}
        plots.save_interval_plot(rows, "accuracy", tmp_path / f"i{name}.png")
        plots.save_speed_plot({"a": (100.0, 0.5), "b": (2.5, 0.9)}, tmp_path / f"s{name}.png")
    for kind in "lbis":
        one, other = ((tmp_path / f"{kind}{name}.png").read_bytes() for name in ("one", "other"))
        assert one == other
        assert one.startswith(b"\x89PNG")


def test_encoders_equally_fast_make_a_plot_too(tmp_path):
    plots.save_speed_plot({"a": (100.0, 0.5), "b": (100.0, 0.5)}, tmp_path / "plot.png")
    assert Image.open(tmp_path / "plot.png").size == (700, 400)
