"""Describes the figures that matplotlib shows: the kind of chart, its numbers, and a picture.

This does not load matplotlib: its `show` is replaced only when the user's code imports pyplot.
"""
import base64
import datetime
import functools
import importlib.util
import io
import json
import math
import sys

# The longest description of a figure, in characters of JSON; beyond it the numbers, then the picture are left out.
MAX_CHART_CHARACTERS = 8 * 1024 * 1024
PICTURE_DPI = 100
BOXES = "_atoll_boxes"


def watch(emit):
    """Calls `emit` with JSON in one line for each figure, when it is shown."""
    sys.meta_path.insert(0, PyplotFinder(emit))


class PyplotFinder:
    """Finds matplotlib.pyplot with the other finders, and wraps its loader in one that changes the loaded module."""

    def __init__(self, emit):
        self.emit = emit

    def find_spec(self, name, path=None, target=None):
        if name != "matplotlib.pyplot" or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = PyplotLoader(spec.loader, self.emit)
        return spec


class PyplotLoader:
    def __init__(self, original, emit):
        self.original = original
        self.emit = emit

    def __getattr__(self, name):
        return getattr(self.original, name)

    def create_module(self, spec):
        return self.original.create_module(spec)

    def exec_module(self, module):
        self.original.exec_module(module)
        replace_show(module, self.emit)
        keep_boxes()


def replace_show(pyplot, emit):
    original = pyplot.show

    @functools.wraps(original)
    def show(*args, **kwargs):
        for number in pyplot.get_fignums():
            emit(describe_figure(pyplot.figure(number)))
        # The original `show` of a backend without windows only warns that it has none.
        result = None if is_windowless(pyplot) else original(*args, **kwargs)
        pyplot.close("all")
        return result

    pyplot.show = show


def is_windowless(pyplot):
    return pyplot.get_backend().lower() in ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template")


def keep_boxes():
    """Keeps the numbers of box plots: they are drawn as plain lines, and only the drawing function knows the numbers."""
    from matplotlib.axes import Axes

    original = Axes.bxp

    @functools.wraps(original)
    def bxp(self, bxpstats, *args, **kwargs):
        setattr(self, BOXES, [*getattr(self, BOXES, []), *bxpstats])
        return original(self, bxpstats, *args, **kwargs)

    Axes.bxp = bxp


def describe_figure(figure):
    picture = draw(figure)
    try:
        charts = [describe_axes(axes) for axes in figure.axes if axes.has_data() and axes.get_label() != "<colorbar>"]
    except Exception:
        # Sends the picture without its numbers, which a new version of matplotlib may keep elsewhere.
        charts = []
    if len(charts) > 1:
        chart = {"type": "composite_chart", "title": title_of(figure), "elements": charts}
    else:
        chart = charts[0] if charts else {"type": "unknown", "title": "", "elements": []}
    for attempt in ({**chart, "png": picture}, {**chart, "elements": [], "png": picture}, {**chart, "elements": []}):
        text = json.dumps(attempt, allow_nan=False)
        if len(text) <= MAX_CHART_CHARACTERS:
            break
    return text


def draw(figure):
    """Returns a PNG in base64. Positions and texts of ticks are known only after drawing."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", bbox_inches="tight", dpi=PICTURE_DPI)
    return base64.b64encode(picture.getvalue()).decode("ascii")


def title_of(figure):
    title = getattr(figure, "_suptitle", None)
    return title.get_text() if title is not None else ""


def describe_axes(axes):
    kind = kind_of(axes)
    chart = {"type": kind, "title": axes.get_title()}
    chart["x_label"], chart["y_label"] = axes.get_xlabel(), axes.get_ylabel()
    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        labels = [label.get_text() for label in axis.get_ticklabels()]
        ticks = [position(axis, tick) for tick in axis.get_ticklocs()]
        chart.update({f"{name}_ticks": ticks, f"{name}_tick_labels": labels, f"{name}_scale": scale_of(axis, labels)})
    if kind == "bar" and is_horizontal(axes):
        chart["x_label"], chart["y_label"] = chart["y_label"], chart["x_label"]
    chart["elements"] = ELEMENTS[kind](axes)
    return chart


def kind_of(axes):
    from matplotlib.collections import PathCollection
    from matplotlib.patches import Wedge

    if getattr(axes, BOXES, None):
        return "box_and_whisker"
    found = set()
    if any(isinstance(patch, Wedge) for patch in axes.patches):
        found.add("pie")
    if bars_of(axes):
        found.add("bar")
    if any(isinstance(one, PathCollection) for one in axes.collections):
        found.add("scatter")
    if any(not is_guide(line) for line in axes.lines) or (axes.lines and not found):
        found.add("line")
    return found.pop() if len(found) == 1 else "unknown"


def is_guide(line):
    """Returns whether a line is a straight one along an axis, which only guides the eye."""
    x, y = line.get_xdata(orig=False), line.get_ydata(orig=False)
    return len(x) == 2 and (x[0] == x[1] or y[0] == y[1])


def bars_of(axes):
    from matplotlib.container import BarContainer

    return [container for container in axes.containers if isinstance(container, BarContainer)]


def is_horizontal(axes):
    return any(getattr(bars, "orientation", None) == "horizontal" for bars in bars_of(axes))


def line_elements(axes):
    lines = [line for line in axes.lines if not is_guide(line)] or list(axes.lines)
    return [{"label": label_of(line), "points": points(axes, line.get_xdata(False), line.get_ydata(False))} for line in lines]


def scatter_elements(axes):
    groups = [one.get_offsets() for one in axes.collections]
    return [
        {"label": label_of(one), "points": points(axes, group[:, 0], group[:, 1])}
        for one, group in zip(axes.collections, groups)
        if len(group)
    ]


def bar_elements(axes):
    elements = []
    for bars in bars_of(axes):
        horizontal = getattr(bars, "orientation", None) == "horizontal"
        names = tick_names(axes.yaxis if horizontal else axes.xaxis)
        for bar in bars:
            start, extent = (bar.get_y(), bar.get_height()) if horizontal else (bar.get_x(), bar.get_width())
            name = next((text for place, text in names if abs(place - (start + extent / 2)) <= abs(extent) / 2), None)
            value = bar.get_width() if horizontal else bar.get_height()
            label = name if name is not None else str(plain(start + extent / 2))
            elements.append({"label": label, "group": label_of(bars), "value": plain(value)})
    return elements


def pie_elements(axes):
    from matplotlib.patches import Wedge

    wedges = [patch for patch in axes.patches if isinstance(patch, Wedge)]
    texts = [text.get_text() for text in axes.texts]
    # With percentages each wedge has two texts, its label first.
    step = 2 if len(texts) >= 2 * len(wedges) else 1
    elements = []
    for index, wedge in enumerate(wedges):
        own = texts[index * step : index * step + step]
        element = {"label": own[0] if own else "", "angle": plain(abs(wedge.theta2 - wedge.theta1)), "radius": plain(wedge.r)}
        elements.append({**element, "autopct": own[1]} if len(own) > 1 else element)
    return elements


def box_elements(axes):
    names = {"min": "whislo", "first_quartile": "q1", "median": "med", "third_quartile": "q3", "max": "whishi"}
    boxes = getattr(axes, BOXES)
    ticks = [text for _, text in tick_names(axes.xaxis)]
    elements = []
    for index, box in enumerate(boxes):
        tick = ticks[index] if len(ticks) == len(boxes) else ""
        numbers = {name: plain(box[key]) for name, key in names.items()}
        outliers = [plain(value) for value in box.get("fliers", [])]
        elements.append({"label": str(box.get("label") or tick), **numbers, "outliers": outliers})
    return elements


ELEMENTS = {
    "line": line_elements,
    "scatter": scatter_elements,
    "bar": bar_elements,
    "pie": pie_elements,
    "box_and_whisker": box_elements,
    "unknown": lambda axes: [],
}


def tick_names(axis):
    labels = [label.get_text() for label in axis.get_ticklabels()]
    return [(place, text) for place, text in zip(axis.get_ticklocs(), labels) if text]


def label_of(artist):
    return str(artist.get_label())


def points(axes, xs, ys):
    return [[position(axes.xaxis, x), position(axes.yaxis, y)] for x, y in zip(xs, ys)]


def position(axis, value):
    """Returns a number, or a time where the axis shows times."""
    from matplotlib.dates import num2date

    if is_time(axis) and math.isfinite(value):
        return num2date(value).isoformat()
    return plain(value)


def is_time(axis):
    from matplotlib.dates import AutoDateFormatter, ConciseDateFormatter, DateFormatter

    return isinstance(axis.get_major_formatter(), (AutoDateFormatter, ConciseDateFormatter, DateFormatter))


def scale_of(axis, labels):
    if is_time(axis):
        return "datetime"
    scale = axis.get_scale()
    names = [text for text in labels if text]
    if scale == "linear" and names and not any(is_number(text) for text in names):
        return "categorical"
    return scale


def is_number(text):
    try:
        float(text.replace("\N{MINUS SIGN}", "-"))
        return True
    except ValueError:
        return False


def plain(value):
    """Returns a value that JSON can hold: a finite number, a text or None, and no type of NumPy."""
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and abs(number) < 2**53 else number
