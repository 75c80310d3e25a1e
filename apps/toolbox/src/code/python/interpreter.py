"""Runs code again and again in one set of variables.

Requests come as lines of JSON on descriptor 3, events leave as lines of JSON on descriptor 4; the code's output goes to
descriptors 1 and 2 as it is. Before each event its request's `mark` is written to both of these, so that the reader knows
what was printed before it. Called with the path of charts.py.
"""
import _thread
import ast
import builtins
import collections
import contextlib
import inspect
import json
import linecache
import os
import reprlib
import signal
import sys
import traceback
import types

# The longest texts of an event, in characters.
MAX_TRACEBACK = 64 * 1024
MAX_VALUE = 16 * 1024
MAX_RESULT = 64 * 1024
# Sources kept for tracebacks through functions of earlier code.
MAX_SOURCES = 256
MAX_SOURCE_CHARACTERS = 16 * 1024 * 1024

PROCESS_ID = os.getpid()
MAIN_THREAD = _thread.get_ident()
OUTPUTS = tuple(os.dup(number) for number in (1, 2))
write, dumps, loads, system_exit = os.write, json.dumps, json.loads, os._exit


class Requests:
    """Reads requests, the lines of descriptor 3."""

    def __init__(self):
        self.pending = b""

    def next(self):
        """Returns the next request; None when there will be no more."""
        while b"\n" not in self.pending:
            piece = os.read(3, 65536)
            if not piece:
                return None
            self.pending += piece
        line, _, self.pending = self.pending.partition(b"\n")
        return loads(line)


class Events:
    def __init__(self):
        self.mark = b""
        self.lock = _thread.allocate_lock()

    def send(self, event):
        self.send_text(dumps(event))

    def send_text(self, text):
        if os.getpid() != PROCESS_ID:
            # A child that the code forked must not speak for its parent.
            return
        with uninterrupted(), self.lock:
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except Exception:
                    # The code may have closed or replaced the stream.
                    pass
            for output in OUTPUTS:
                write_all(output, self.mark)
            write_all(4, text.encode("utf-8", "backslashreplace") + b"\n")


@contextlib.contextmanager
def uninterrupted():
    """Delays an interrupt until afterwards, because half an event could not be read."""
    if _thread.get_ident() != MAIN_THREAD:
        yield
        return
    late = []
    before = signal.signal(signal.SIGINT, lambda number, frame: late.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if late and callable(before):
        before(signal.SIGINT, None)


def write_all(descriptor, data):
    while data:
        data = data[write(descriptor, data) :]


class Sources:
    """A bounded number of sources, whose lines tracebacks show."""

    def __init__(self):
        self.names = collections.deque()
        self.characters = 0
        self.count = 0

    def add(self, code):
        self.count += 1
        name = f"<cell {self.count}>"
        linecache.cache[name] = (len(code), None, code.splitlines(True), name)
        self.names.append((name, len(code)))
        self.characters += len(code)
        while len(self.names) > MAX_SOURCES or self.characters > MAX_SOURCE_CHARACTERS:
            old, length = self.names.popleft()
            self.characters -= length
            linecache.cache.pop(old, None)
        return name


class Interpreter:
    def __init__(self, events):
        self.events = events
        self.sources = Sources()
        self.main = types.ModuleType("__main__")
        self.main.__builtins__ = builtins
        self.loop = None
        sys.modules["__main__"] = self.main

    def execute(self, code, variables):
        """Runs code and sends its error or the value of its last expression."""
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        try:
            value = self.run(code)
            if value is not None:
                text = show(value)
                if text is not None:
                    self.events.send({"type": "result", "text": text})
        except SystemExit as error:
            # The variables are kept: an exit ends the code and not the context.
            if error.code not in (None, 0):
                self.events.send(describe(error))
        except BaseException as error:
            self.events.send(describe(error))
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    def run(self, code):
        name = self.sources.add(code)
        tree = compile(code, name, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        if tree.body:
            self.evaluate(compile(tree, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True))
        if last is None:
            return None
        expression = ast.Expression(last.value)
        return self.evaluate(compile(expression, name, "eval", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True))

    def evaluate(self, program):
        value = eval(program, self.main.__dict__)
        if not program.co_flags & inspect.CO_COROUTINE:
            return value
        if self.loop is None or self.loop.is_closed():
            import asyncio

            self.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)
        return self.loop.run_until_complete(value)


def describe(error):
    """Returns an event about an exception, whose traceback starts at the user's code."""
    try:
        frames = error.__traceback__
        while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
            frames = frames.tb_next
        lines = "".join(traceback.format_exception(type(error), error.with_traceback(frames), frames))
    except Exception:
        lines = ""
    try:
        value = str(error)
    except Exception:
        value = ""
    return {
        "type": "error",
        "name": type(error).__name__,
        "value": cut(value, MAX_VALUE),
        "traceback": cut(lines, MAX_TRACEBACK),
    }


def cut(text, length):
    """Returns the text, or only the beginning and the end of one that is too long."""
    if len(text) <= length:
        return text
    half = length // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters cut]\n{text[-half:]}"


def show(value):
    """Returns the representation of a value, or None. A very long value is shortened before."""
    short = reprlib.Repr()
    for limit in ("maxdict", "maxlist", "maxtuple", "maxset", "maxfrozenset"):
        setattr(short, limit, 1000)
    short.maxstring = short.maxother = MAX_RESULT
    try:
        is_long = isinstance(value, (str, bytes, list, tuple, dict, set, frozenset)) and len(value) > MAX_RESULT
        return cut(short.repr(value) if is_long else repr(value), MAX_RESULT)
    except Exception:
        return None


def watch_charts(path, events):
    names = {"__name__": "atoll_charts"}
    with open(path, encoding="utf-8") as source:
        exec(compile(source.read(), path, "exec"), names)
    names["watch"](lambda text: events.send_text(f'{{"type": "chart", "chart": {text}}}'))


def die_first():
    """Makes the kernel end this process and its children when memory runs out, not the toolbox, which has to report it."""
    try:
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write("500")
    except OSError:
        # The score is higher already, or there is no /proc.
        pass


def main():
    die_first()
    for descriptor in (3, 4, *OUTPUTS):
        os.set_inheritable(descriptor, False)
    charts, sys.argv = sys.argv[1], [""]
    if sys.path and sys.path[0] == os.path.dirname(__file__):
        sys.path[0] = ""
    requests, events = Requests(), Events()
    watch_charts(charts, events)
    interpreter = Interpreter(events)
    serve(requests, events, interpreter)
    # Exits although threads of the code may still run.
    system_exit(0)


def serve(requests, events, interpreter):
    def ignore(number, frame):
        pass

    signal.signal(signal.SIGINT, ignore)
    while True:
        request = requests.next()
        if request is None:
            return
        events.mark = request["mark"].encode()
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            try:
                interpreter.execute(request["code"], request.get("envs") or {})
            finally:
                signal.signal(signal.SIGINT, ignore)
        except KeyboardInterrupt:
            # The interrupt came between the code's end and the line that ignores interrupts.
            signal.signal(signal.SIGINT, ignore)
        if os.getpid() != PROCESS_ID:
            system_exit(0)
        events.send({"type": "done"})


main()
