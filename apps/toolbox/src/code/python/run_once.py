"""Runs the code on descriptor 3 as the main program, and prints charts that matplotlib shows as artifact lines.

Called with the path of charts.py and the user's own arguments.
"""
import linecache
import os
import sys
import types

MARK = "dtn_artifact_k39fd2:"
NAME = "<string>"


def read_code():
    with os.fdopen(3, "rb") as source:
        return source.read().decode("utf-8", "surrogateescape")


def watch_charts(path):
    names = {"__name__": "atoll_charts"}
    with open(path, encoding="utf-8") as source:
        exec(compile(source.read(), path, "exec"), names)
    # One write, so that output of other threads goes before or after the line.
    names["watch"](lambda text: print(f'{MARK}{{"type": "chart", "value": {text}}}\n', end="", flush=True))


def own_frames_off(traceback):
    """Returns the traceback from the first frame that is not of this program."""
    while traceback is not None and traceback.tb_frame.f_code.co_filename == __file__:
        traceback = traceback.tb_next
    return traceback


def die_first():
    """Makes the kernel end this process and its children when memory runs out, not the toolbox, which has to report it."""
    try:
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write("500")
    except OSError:
        # The score is higher already, or there is no /proc.
        pass


def run(code):
    main = types.ModuleType("__main__")
    main.__builtins__ = __builtins__
    sys.modules["__main__"] = main
    linecache.cache[NAME] = (len(code), None, code.splitlines(True), NAME)
    try:
        exec(compile(code, NAME, "exec", dont_inherit=True), main.__dict__)
    except Exception as error:
        sys.excepthook(type(error), error.with_traceback(own_frames_off(error.__traceback__)), error.__traceback__)
        sys.exit(1)
    except KeyboardInterrupt as error:
        raise error.with_traceback(own_frames_off(error.__traceback__)) from None


charts_path = sys.argv[1]
# As under `python3 -c`: programs rely on an empty name and on modules of the working directory.
sys.argv[:2] = ["-c"]
if sys.path[0] == os.path.dirname(__file__):
    sys.path[0] = ""
die_first()
watch_charts(charts_path)
run(read_code())
