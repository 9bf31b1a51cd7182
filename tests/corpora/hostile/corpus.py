"""Odd and hostile user objects for a gradient checker.

CASES is a list of Case.  `make()` builds everything fresh and returns the argument tuple:
    vjp       (forward, backward, primals) or (forward, backward, primals, settings)
    gradient  (f, grad, x)
    layer     (layer, *inputs)
truth:  "right"     the gradient is mathematically right here and in a neighbourhood
        "wrong"     it is wrong by at least 5 % somewhere
        "unusable"  nothing can be checked: an own error or a failing report is expected
Extra fields (all optional):
    oddness     the kind of oddness (to group by)
    may_refuse  true where, for a right/wrong case, a clear refusal by the tool (own error) is
                also fair; only the opposite verdict is a fault.  For "unusable": a pass verdict is
                defensible too (a lenient reading makes it a right gradient)
    touches     process state that the user's object itself changes (words)
    params      layer parameters and gradients for selfcheck: (name, gradname) pairs or
                (get(layer), set(layer, array), getgrad(layer)) triples
    tol, h      what selfcheck allows / its step (negative: relative to each element)
    slow        takes noticeable time per call
    nocheck     why selfcheck cannot verify it (empty: it does)
"""
import abc, array, asyncio, atexit, builtins, collections, contextlib, contextvars, ctypes, ctypes.util
import dataclasses, decimal, enum, fractions, functools, gc, io, itertools, locale, logging, math, mmap
import multiprocessing, operator, os, pathlib, queue, random, re, secrets, signal, socket, sqlite3
import subprocess, sys, tempfile, threading, time, types, typing, unittest.mock, warnings, weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np

BAD = 1.3  # what a "wrong" gradient is multiplied by


@dataclasses.dataclass
class Case:
    name: str
    kind: str
    make: typing.Callable
    truth: str
    why: str
    oddness: str = ""
    may_refuse: bool = False
    touches: tuple = ()
    params: tuple = ()
    tol: float = 1e-5
    h: float = 1e-5
    slow: bool = False
    nocheck: str = ""


CASES = []


def add(name, kind, truth, why, odd, **kw):
    def deco(make):
        CASES.append(Case(name, kind, make, truth, why, odd, **kw))
        return make
    return deco


def pair(name, kind, why, odd, **kw):
    """make(k): k = 1.0 gives the right case, k = BAD the wrong one."""
    def deco(make):
        CASES.append(Case(name + "_right", kind, functools.partial(make, 1.0), "right", why, odd, **kw))
        CASES.append(Case(name + "_wrong", kind, functools.partial(make, BAD), "wrong", why, odd, **kw))
        return make
    return deco


# ----------------------------------------------------------------------------- plain parts
def arr(*shape, seed=1):
    r = np.random.default_rng(seed)
    return r.uniform(0.3, 1.3, shape)


def sgn(*shape, seed=1):
    r = np.random.default_rng(seed)
    return r.uniform(0.3, 1.3, shape) * np.where(r.random(shape) < 0.5, -1.0, 1.0)


def tv(k=1.0, hook=None, bhook=None):
    """tanh(x @ w), x (3,2), w (2,2)."""
    def forward(x, w):
        if hook is not None:
            hook()
        y = np.tanh(x @ w)
        return y, (x, w, y)

    def backward(res, g):
        if bhook is not None:
            bhook()
        x, w, y = res
        d = g * (1 - y * y)
        return d @ w.T * k, x.T @ d * k
    return forward, backward


def tp():
    return sgn(3, 2, seed=3), sgn(2, 2, seed=4)


def sg(k=1.0, hook=None, bhook=None):
    """sum(c * sin(x))."""
    def f(x):
        if hook is not None:
            hook()
        c = np.arange(1, x.size + 1).reshape(x.shape)
        return float(np.sum(c * np.sin(x)))

    def grad(x):
        if bhook is not None:
            bhook()
        c = np.arange(1, x.size + 1).reshape(x.shape)
        return k * c * np.cos(x)
    return f, grad


def dense(k=1.0, bad="x", hook=None, bhook=None):
    """A class: tanh(x @ W + b); bad says which gradient is multiplied by k."""
    class Dense:
        def __init__(self):
            self.W = sgn(3, 2, seed=5)
            self.b = sgn(2, seed=6)
            self.dW = np.zeros((3, 2))
            self.db = np.zeros(2)

        def forward(self, x):
            if hook is not None:
                hook()
            self.x = x
            self.y = np.tanh(x @ self.W + self.b)
            return self.y

        def backward(self, dout):
            if bhook is not None:
                bhook()
            d = dout * (1 - self.y ** 2)
            self.dW = self.x.T @ d * (k if bad == "W" else 1.0)
            self.db = d.sum(0) * (k if bad == "b" else 1.0)
            return d @ self.W.T * (k if bad == "x" else 1.0)
    return Dense


WB = (("W", "dW"), ("b", "db"))


def lx():
    return sgn(4, 3, seed=7)


def hooked(kind, hook, k, where="forward"):
    h, b = (hook, None) if where == "forward" else (None, hook) if where == "backward" else (hook, hook)
    if kind == "vjp":
        return (*tv(k, h, b), tp())
    if kind == "gradient":
        return (*sg(k, h, b), sgn(4, seed=8))
    return dense(k, "x", h, b)(), lx()


# ============================================================================ 1. exceptions
def raiser(name, why, build, kind="vjp", where="forward", **kw):
    """build() returns an exception to raise; always unusable."""
    def make():
        def hook():
            raise build()
        return hooked(kind, hook, 1.0, where)
    CASES.append(Case("raise_" + name, kind, make, "unusable", why, "exception: " + name, **kw))


class StrRaises(Exception):
    def __str__(self):
        raise RuntimeError("no str for you")


class ReprRaises(Exception):
    def __repr__(self):
        raise RuntimeError("no repr for you")
    __str__ = __repr__


class ReprRaisesBase(BaseException):
    def __repr__(self):
        raise ReprRaises()
    __str__ = __repr__


class StrNotStr(Exception):
    def __str__(self):
        return 17
    def __repr__(self):
        return None


class StrExits(Exception):
    def __str__(self):
        sys.exit(3)
    __repr__ = __str__


class StrPrints(Exception):
    def __str__(self):
        print("printing from __str__")
        return "ok"


class StrRecurses(Exception):
    def __str__(self):
        return str(self)
    __repr__ = __str__


class StrKills(Exception):
    def __str__(self):
        raise GeneratorExit


class OddInit(Exception):
    def __init__(self, a, b, *, c):
        self.a = a  # never calls super().__init__; not picklable, not copyable


class ArgsRaises(Exception):
    @property
    def args(self):
        raise ValueError("no args")


class ClassLies(Exception):
    @property
    def __class__(self):
        return KeyboardInterrupt


class ClassRaises(Exception):
    @property
    def __class__(self):
        raise RuntimeError("no class")


class StrLoud(str):
    def __format__(self, spec):
        raise RuntimeError("no format")
    def __str__(self):
        raise RuntimeError("no str")
    def __repr__(self):
        raise RuntimeError("no repr")
    def __add__(self, o):
        raise RuntimeError("no add")


class StrSub(Exception):
    def __str__(self):
        return StrLoud("I am a str subclass")


class MetaBad(type):
    def __getattribute__(cls, n):
        if n in ("__name__", "__qualname__", "__module__", "__mro__", "__doc__"):
            raise RuntimeError("type attribute " + n)
        return type.__getattribute__(cls, n)
    def __repr__(cls):
        raise RuntimeError("no repr of class")
    def __instancecheck__(cls, o):
        raise RuntimeError("no isinstance")
    def __subclasscheck__(cls, o):
        raise RuntimeError("no issubclass")


class MetaExc(Exception, metaclass=MetaBad):
    pass


class GetattrAll(Exception):
    def __getattribute__(self, n):
        raise RuntimeError("attribute " + n)


class EqRaises(Exception):
    def __eq__(self, o):
        raise RuntimeError("eq")
    __hash__ = None


class TracebackRefuses(Exception):
    def with_traceback(self, tb):
        raise RuntimeError("with_traceback")
    def __setattr__(self, n, v):
        raise RuntimeError("setattr " + n)
    def add_note(self, n):
        raise RuntimeError("add_note")


class BoolRaises(Exception):
    def __bool__(self):
        raise RuntimeError("bool")
    def __len__(self):
        raise RuntimeError("len")


class WeirdName(Exception):
    pass


WeirdName.__name__ = "a|b\n\x1b[31mred\x1b[0m<script>"
WeirdName.__qualname__ = "x" * 5000
WeirdName.__module__ = None


def _cyclic():
    e = ValueError("cycle")
    f = ValueError("other")
    e.__cause__, f.__cause__ = f, e
    return e


def _notes():
    e = ValueError("notes")
    e.__notes__ = 5
    return e


def _notes2():
    e = ValueError("notes")
    e.__notes__ = [StrLoud("x"), object(), 3]
    return e


def _deepgroup():
    e = ValueError("leaf")
    for i in range(300):
        e = ExceptionGroup("g", [e])
    return e


def _deepcause():
    e = ValueError("leaf")
    for i in range(3000):
        n = ValueError(i)
        n.__cause__ = e
        e = n
    return e


def _selfarg():
    l = []
    l.append(l)
    e = ValueError(l)
    e.args = (e, l)
    return e


class DerivedBase(BaseException):
    pass


class DerivedExit(SystemExit):
    def __str__(self):
        raise RuntimeError("str of exit")


raiser("str_raises", "exception whose __str__ raises", lambda: StrRaises())
raiser("str_raises_in_backward", "same, from backward", lambda: StrRaises(), where="backward")
raiser("repr_raises", "__repr__ and __str__ raise", lambda: ReprRaises(), kind="gradient")
raiser("base_repr_raises", "BaseException subclass whose repr raises", lambda: ReprRaisesBase(), kind="layer")
raiser("base_subclass", "plain BaseException subclass", lambda: DerivedBase("x"), kind="layer", where="backward")
raiser("str_not_str", "__str__ returns an int", lambda: StrNotStr())
raiser("str_exits", "__str__ calls sys.exit", lambda: StrExits())
raiser("str_generatorexit", "__str__ raises GeneratorExit", lambda: StrKills(), kind="gradient")
raiser("str_prints", "__str__ prints", lambda: StrPrints(), kind="layer")
raiser("str_recurses", "__str__ recurses for ever (RecursionError)", lambda: StrRecurses())
raiser("odd_init", "exception with keyword-only __init__, no args", lambda: OddInit(1, 2, c=3))
raiser("args_raises", ".args is a raising property", lambda: ArgsRaises("x"))
raiser("class_lies", "__class__ says KeyboardInterrupt", lambda: ClassLies("x"), kind="gradient")
raiser("class_raises", "__class__ raises", lambda: ClassRaises("x"))
raiser("str_subclass", "__str__ returns a str subclass that cannot be formatted", lambda: StrSub())
raiser("metaclass", "type's __name__, isinstance and repr raise", lambda: MetaExc("x"))
raiser("getattribute", "every attribute of the exception raises", lambda: GetattrAll("x"), kind="layer")
raiser("eq_unhashable", "exception with raising __eq__, unhashable (breaks naive traceback code)", lambda: EqRaises("x"))
raiser("with_traceback", "with_traceback, setattr and add_note raise", lambda: TracebackRefuses("x"))
raiser("bool", "exception's truth value raises", lambda: BoolRaises("x"), kind="gradient", where="backward")
raiser("weird_name", "class name with pipe, newline, ANSI, HTML; module None", lambda: WeirdName("a|b\n# title\n<b>"))
raiser("cyclic_cause", "__cause__ cycle", _cyclic)
raiser("notes_int", "__notes__ is an int", _notes)
raiser("notes_objects", "__notes__ holds hostile objects", _notes2, kind="gradient")
raiser("group", "ExceptionGroup", lambda: ExceptionGroup("many", [ValueError("a"), TypeError("b")]))
raiser("basegroup", "BaseExceptionGroup with a GeneratorExit in it", lambda: BaseExceptionGroup("many", [GeneratorExit(), ReprRaisesBase()]))
raiser("deep_group", "group nested 300 deep", _deepgroup, kind="layer")
raiser("deep_cause", "cause chain of 3000", _deepcause)
raiser("self_arg", "args holds the exception itself", _selfarg)
raiser("huge_message", "message of 5 MB on one line", lambda: ValueError("x" * 5_000_000))
raiser("many_lines", "message of 100,000 lines", lambda: ValueError("line\n" * 100_000), kind="gradient")
raiser("surrogate_message", "message with lone surrogates, NUL, ANSI, RTL", lambda: ValueError("\udcff\ud800 \x00 \x1b[2J \u202eabc\u202c |x|"))
raiser("stopiteration", "forward raises StopIteration", lambda: StopIteration(1))
raiser("stopiteration_backward", "backward raises StopIteration", lambda: StopIteration(), where="backward")
raiser("stopasync", "StopAsyncIteration", lambda: StopAsyncIteration(), kind="layer")
raiser("generatorexit", "forward raises GeneratorExit", lambda: GeneratorExit(), kind="gradient")
raiser("cancelled", "asyncio.CancelledError is a BaseException", lambda: asyncio.CancelledError())
raiser("sys_exit", "sys.exit(0) in forward", lambda: SystemExit(0))
raiser("sys_exit_none", "sys.exit() in backward", lambda: SystemExit(), kind="layer", where="backward")
raiser("sys_exit_derived", "subclass of SystemExit whose str raises", lambda: DerivedExit(object()), kind="gradient")
raiser("memoryerror", "MemoryError", lambda: MemoryError(), kind="layer")
raiser("recursionerror", "RecursionError raised by hand", lambda: RecursionError("deep"))
raiser("assertion_empty", "AssertionError without a message", lambda: AssertionError(), kind="gradient")
raiser("syntaxerror_odd", "SyntaxError with nonsense location (formatting it can fail)", lambda: SyntaxError("m", ("f", -5, 10**9, "text\n", 3, -1)))
raiser("syntaxerror_badfields", "SyntaxError with a string for lineno", lambda: _synt())
raiser("unicodeerror", "UnicodeDecodeError", lambda: UnicodeDecodeError("utf8", b"\xff", 0, 1, "bad"))
raiser("warning_as_error", "raises a UserWarning", lambda: UserWarning("look out"), kind="layer")
raiser("linalgerror", "np.linalg.LinAlgError", lambda: np.linalg.LinAlgError("Singular matrix"))
raiser("keyerror_obj", "KeyError with a hostile key", lambda: KeyError(NoRepr()), kind="layer")
raiser("timeout", "TimeoutError (a tool may use it itself)", lambda: TimeoutError("mine"))
raiser("brokenpipe", "BrokenPipeError", lambda: BrokenPipeError(32, "Broken pipe"), kind="gradient")


def _synt():
    e = SyntaxError("m")
    e.lineno = "seven"
    e.offset = [1]
    e.text = 5
    e.filename = object()
    return e


class NoRepr:
    def __repr__(self):
        raise RuntimeError("no repr")
    __str__ = __repr__
    def __format__(self, s):
        raise RuntimeError("no format")


@add("raise_class_not_instance", "vjp", "unusable", "raise of something that is not an exception (TypeError)", "exception: not one")
def _():
    def forward(x):
        raise 5
    return forward, lambda r, g: (g,), (arr(3),)


@add("raise_infinite_recursion", "vjp", "unusable", "forward recurses without end", "exception: infinite recursion")
def _():
    def forward(x):
        return forward(x)
    return forward, lambda r, g: (g,), (arr(3),)


@add("raise_locals_no_repr", "gradient", "unusable", "frame locals have raising reprs when it fails", "exception: hostile locals")
def _():
    def f(x):
        a, b = NoRepr(), NoRepr()
        return 1 / 0
    return f, lambda x: x, arr(3)


@add("raise_from_exec", "vjp", "unusable", "raised in exec'd code with an odd file name", "exception: odd file name")
def _():
    ns = {}
    exec(compile("def forward(x):\n  raise ValueError('in exec')\n", "<a|b>\n\x1b[31m", "exec"), ns)
    return ns["forward"], lambda r, g: (g,), (arr(3),)


@add("raise_every_3rd", "vjp", "unusable", "forward raises at every 3rd call", "sometimes raises")
def _():
    n = itertools.count(1)
    def hook():
        if next(n) % 3 == 0:
            raise RuntimeError("third call")
    return (*tv(1.0, hook), tp())


@add("raise_first_call_only", "gradient", "unusable", "f raises at its first call only", "sometimes raises")
def _():
    n = itertools.count()
    def hook():
        if next(n) == 0:
            raise RuntimeError("not warm yet")
    return (*sg(1.0, hook), arr(3))


@add("raise_backward_2nd_call", "layer", "right", "backward raises when called twice after one forward (as freed graphs do)", "sometimes raises", may_refuse=True, params=WB)
def _():
    class L(dense(1.0)):
        def forward(self, x):
            self.fresh = True
            return super().forward(x)
        def backward(self, dout):
            if not self.fresh:
                raise RuntimeError("backward called twice; graph freed")
            self.fresh = False
            return super().backward(dout)
    return L(), lx()


@pair("raise_at_negative", "vjp", "forward raises at negative numbers; input well above 0", "raises outside its domain")
def _(k):
    def forward(x):
        if (x < 0).any():
            raise ValueError("negative")
        return np.log(x), x
    return forward, lambda x, g: (k * g / x,), (arr(2, 3) + 0.2,)


@add("raise_input_outside_domain", "vjp", "unusable", "forward raises at the very input given", "raises outside its domain")
def _():
    def forward(x):
        if (x < 0).any():
            raise ValueError("negative")
        return np.log(x), x
    return forward, lambda x, g: (g / x,), (-arr(2, 3),)


@pair("nan_at_negative", "gradient", "f gives NaN (with a warning) at negative numbers; input above 0.5", "raises outside its domain")
def _(k):
    return lambda x: float(np.sum(np.sqrt(x) ** 3)), lambda x: k * 1.5 * np.sqrt(x), arr(4) + 0.2


@add("finally_return_swallows", "vjp", "right", "forward wraps everything and swallows BaseException inside (finally: return)", "swallows exceptions")
def _():
    f, b = tv()
    def forward(x, w):
        try:
            raise DerivedBase("hidden")
        finally:
            return f(x, w)
    return forward, b, tp()


@pair("raise_handled_inside", "layer", "forward raises and handles a nested exception group", "swallows exceptions", params=WB)
def _(k):
    def hook():
        try:
            raise ExceptionGroup("g", [ValueError(1), KeyError(2)])
        except* ValueError:
            pass
        except* KeyError:
            pass
    return dense(k, "W", hook)(), lx()


# ============================================================================ 2. process state
_MAIN = threading.main_thread


def toucher(name, kind, why, hook, touches, where="forward", wrong=False, **kw):
    CASES.append(Case("touch_" + name, kind, functools.partial(hooked, kind, hook, 1.0, where), "right",
                      why, "changes process state", touches=touches, **kw))
    if wrong:
        CASES.append(Case("touch_" + name + "_wrong", kind, functools.partial(hooked, kind, hook, BAD, where),
                          "wrong", why, "changes process state", touches=touches, **kw))


def _swap(mod, name, new):
    def hook():
        setattr(mod, name, new())
    return hook


def _signal():
    if threading.current_thread() is _MAIN():
        signal.signal(signal.SIGUSR1, lambda *a: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _alarm():
    if threading.current_thread() is _MAIN():
        signal.signal(signal.SIGALRM, lambda *a: None)
        signal.setitimer(signal.ITIMER_REAL, 0.002)
        time.sleep(0.003)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _thread():
    if not any(t.name == "hostile-sleeper" for t in threading.enumerate()):
        threading.Thread(target=time.sleep, args=(0.4,), name="hostile-sleeper", daemon=True).start()


def _subproc():
    subprocess.run(["echo", "from a child process"], check=True)


def _logging():
    logging.basicConfig(level=logging.DEBUG, force=True)
    logging.getLogger().setLevel(1)
    logging.getLogger("gradlab").setLevel(logging.CRITICAL)
    logging.disable(logging.WARNING)
    logging.error("logged from forward")


def _syspath():
    sys.path.insert(0, "/nonexistent")


def _sysmod():
    sys.modules["hostile_fake_module"] = types.ModuleType("hostile_fake_module")
    sys.modules["hostile_none"] = None


def _reclimit_up():
    sys.setrecursionlimit(7777)


def _reclimit_down():
    f, n = sys._getframe(), 0
    while f:
        f, n = f.f_back, n + 1
    sys.setrecursionlimit(n + 120)


def _printopts():
    np.set_printoptions(precision=1, threshold=2, suppress=True, legacy="1.13")


def _trace():
    sys.settrace(lambda *a: None)
    sys.setprofile(lambda *a: None)


def _loop():
    asyncio.set_event_loop(asyncio.new_event_loop())


def _warnbad():
    warnings.showwarning = lambda *a, **k: (_ for _ in ()).throw(RuntimeError("showwarning"))


def _errcall():
    np.seterrcall(lambda *a: (_ for _ in ()).throw(RuntimeError("errcall")))
    np.seterr(all="call")


def _ctx():
    decimal.getcontext().prec = 3
    locale.setlocale(locale.LC_ALL, "C.utf8" if os.path.exists("/usr/lib/locale/C.utf8") else "C")


def _breakpoint():
    sys.breakpointhook = lambda *a, **k: None
    sys.excepthook = lambda *a: print("my excepthook")
    threading.excepthook = lambda *a: None
    sys.unraisablehook = lambda *a: None


toucher("print", "vjp", "forward prints", lambda: print("hello | from forward"), ("stdout",), wrong=True)
toucher("print_backward", "layer", "backward prints without newline", lambda: print("dot", end=""), ("stdout",), "backward")
toucher("stderr", "gradient", "f writes to stderr", lambda: print("err", file=sys.stderr), ("stderr",))
toucher("print_1mb", "vjp", "forward prints 100 kB at each call", lambda: print("y" * 100_000), ("stdout",))
toucher("fd1", "layer", "forward writes to file descriptor 1 directly", lambda: os.write(1, b"raw fd\n"), ("fd 1",))
toucher("child_stdout", "gradient", "f runs a child that writes to stdout", _subproc, ("fd 1",), slow=True)
toucher("print_ansi", "gradient", "prints ANSI clear screen and carriage returns", lambda: print("\x1b[2J\r\b\x00|"), ("stdout",))
toucher("stdout_stringio", "vjp", "forward replaces sys.stdout", _swap(sys, "stdout", io.StringIO), ("sys.stdout",), wrong=True)
toucher("stdout_none", "layer", "forward sets sys.stdout = None", _swap(sys, "stdout", lambda: None), ("sys.stdout",))
toucher("stderr_devnull", "gradient", "f replaces sys.stderr by an object whose write raises", _swap(sys, "stderr", lambda: NoRepr()), ("sys.stderr",))
toucher("np_seed", "vjp", "forward seeds np.random", lambda: np.random.seed(123), ("np.random",), wrong=True)
toucher("np_draw", "gradient", "f draws from np.random and throws it away", lambda: np.random.normal(size=3), ("np.random",))
toucher("random_seed", "layer", "forward seeds random", lambda: random.seed(5), ("random",))
toucher("random_draw", "vjp", "backward draws from random", lambda: random.random(), ("random",), "backward")
toucher("seterr_raise", "vjp", "np.seterr(all='raise') left on", lambda: np.seterr(all="raise"), ("np.seterr",), wrong=True)
toucher("seterr_call", "gradient", "np.seterrcall raising, all='call'", _errcall, ("np.seterr", "np.seterrcall"), wrong=True)
toucher("seterr_backward", "layer", "backward changes np.seterr", lambda: np.seterr(all="print"), ("np.seterr",), "backward")
toucher("filters_error", "vjp", "warnings.simplefilter('error') left on", lambda: warnings.simplefilter("error"), ("warnings.filters",), wrong=True)
toucher("filters_cleared", "gradient", "warnings.resetwarnings()", warnings.resetwarnings, ("warnings.filters",))
toucher("showwarning", "layer", "warnings.showwarning replaced by a raising one", _warnbad, ("warnings.showwarning",))
toucher("warns", "vjp", "forward warns at each call", lambda: warnings.warn("careful|\n<b>", UserWarning, stacklevel=2), ("warnings",), wrong=True)
toucher("deprecation", "gradient", "f emits DeprecationWarning", lambda: warnings.warn("old", DeprecationWarning), ("warnings",))
toucher("fp_warning", "layer", "a harmless 1/0 inside forward gives RuntimeWarning", lambda: np.array(1.0) / np.array(0.0), ("warnings",))
toucher("environ", "vjp", "forward changes os.environ", lambda: os.environ.update(HOSTILE="1", OMP_NUM_THREADS="1"), ("os.environ",))
toucher("environ_path", "gradient", "f deletes HOME and PATH", lambda: (os.environ.pop("PATH", 0), os.environ.pop("HOME", 0)), ("os.environ",))
toucher("cwd", "vjp", "forward changes directory", lambda: os.chdir("/"), ("cwd",))
toucher("cwd_deleted", "gradient", "f changes into a directory and deletes it", lambda: (lambda d: (os.chdir(d), os.rmdir(d)))(tempfile.mkdtemp()), ("cwd",))
toucher("syspath", "layer", "forward grows sys.path", _syspath, ("sys.path",))
toucher("sysmodules", "vjp", "forward adds odd entries to sys.modules", _sysmod, ("sys.modules",))
toucher("locale", "gradient", "locale and decimal context changed", _ctx, ("locale", "decimal"))
toucher("recursionlimit_up", "vjp", "recursion limit raised", _reclimit_up, ("recursion limit",))
toucher("recursionlimit_down", "layer", "recursion limit lowered to 120 frames above the call", _reclimit_down, ("recursion limit",), may_refuse=True)
toucher("signals", "vjp", "signal handlers replaced", _signal, ("signal handlers",))
toucher("sigalrm", "layer", "SIGALRM handler and timer used inside forward", _alarm, ("signal handlers", "itimer"), slow=True)
toucher("thread", "gradient", "leaves a daemon thread running (0.4 s)", _thread, ("threads",))
toucher("logging", "vjp", "reconfigures logging", _logging, ("logging",))
toucher("printoptions", "gradient", "np.set_printoptions", _printopts, ("np.printoptions",), wrong=True)
toucher("settrace", "vjp", "sys.settrace and setprofile", _trace, ("trace",))
toucher("hooks", "layer", "sys.excepthook, breakpointhook, unraisablehook replaced", _breakpoint, ("sys hooks",))
toucher("gc_disable", "gradient", "gc.disable()", gc.disable, ("gc",))
toucher("event_loop", "vjp", "sets an asyncio event loop", _loop, ("asyncio",))
toucher("atexit", "gradient", "registers an atexit function", lambda: atexit.register(int), ("atexit",))
toucher("print_replaced", "layer", "builtins.print replaced by a raising one", lambda: setattr(builtins, "print", lambda *a, **k: 1 / 0), ("builtins",))
toucher("tz", "gradient", "changes TZ", lambda: (os.environ.__setitem__("TZ", "Asia/Tokyo"), time.tzset()), ("os.environ", "tz"))
toucher("umask", "vjp", "changes the umask", lambda: os.umask(0o077), ("umask",))
toucher("sockettimeout", "layer", "socket.setdefaulttimeout", lambda: socket.setdefaulttimeout(0.1), ("socket",))
toucher("time_sleep", "vjp", "sleeps 3 ms per call", lambda: time.sleep(0.003), (), wrong=True, slow=True)


# ============================================================================ 3. threads, processes
@pair("threadpool", "vjp", "forward computes its rows in a thread pool", "uses threads")
def _(k):
    f, b = tv(k)
    def forward(x, w):
        with ThreadPoolExecutor(2) as ex:
            rows = list(ex.map(lambda r: np.tanh(r @ w), x))
        y = np.array(rows)
        return y, (x, w, y)
    return forward, b, tp()


def _child(conn, x):
    conn.send(float(np.sum(np.arange(1, x.size + 1) * np.sin(x))))
    conn.close()


@pair("multiprocessing", "gradient", "f computes in a forked child", "uses multiprocessing", slow=True)
def _(k):
    ctx = multiprocessing.get_context("fork")
    def f(x):
        a, b = ctx.Pipe()
        p = ctx.Process(target=_child, args=(b, np.array(x)))
        p.start()
        v = a.recv()
        p.join()
        return v
    return f, sg(k)[1], sgn(2, seed=8)


@pair("thread_local_cache", "layer", "cache kept in threading.local: forward and backward must share a thread", "uses threads", params=(("W", "dW"),))
def _(k):
    class L:
        def __init__(self):
            self.W = sgn(3, 2, seed=5)
            self.tl = threading.local()
        def forward(self, x):
            self.tl.x, self.tl.y = x, np.tanh(x @ self.W)
            return self.tl.y
        def backward(self, dout):
            d = dout * (1 - self.tl.y ** 2)
            self.dW = self.tl.x.T @ d
            return k * d @ self.W.T
    return L(), lx()


@pair("contextvar_cache", "vjp", "residuals go through a contextvar", "uses contextvars")
def _(k):
    cv = contextvars.ContextVar("cv")
    f, b = tv(k)
    def forward(x, w):
        y, r = f(x, w)
        cv.set(r)
        return y, None
    return forward, lambda r, g: b(cv.get(), g), tp()


@pair("lock_held", "layer", "a non-reentrant lock taken in forward and released in backward is retried without blocking", "locks", params=WB)
def _(k):
    lock = threading.Lock()
    def hook():
        lock.acquire(blocking=False)
    def bhook():
        if lock.locked():
            lock.release()
    return dense(k, "W", hook, bhook)(), lx()


@pair("asyncio_run", "gradient", "f runs an event loop inside", "asyncio")
def _(k):
    f0, g0 = sg(k)
    async def co(x):
        await asyncio.sleep(0)
        return f0(x)
    return lambda x: asyncio.run(co(x)), g0, sgn(3)


@add("async_def", "gradient", "unusable", "f is an async def (returns a coroutine)", "asyncio")
def _():
    async def f(x):
        return float(np.sum(x))
    return f, lambda x: np.ones_like(x), arr(3)


@add("async_backward", "vjp", "unusable", "backward is an async def", "asyncio")
def _():
    async def backward(r, g):
        return (g,)
    return (lambda x: (x * 1.0, None)), backward, (arr(3),)


@add("generator_forward", "vjp", "right", "forward is a generator function (yields output, residuals)", "generators", may_refuse=True)
def _():
    def forward(x):
        yield x * 2
        yield None
    return forward, lambda r, g: (2 * g,), (arr(3),)


@pair("generator_backward", "vjp", "backward is a generator function that yields the gradients", "generators", may_refuse=True)
def _(k):
    f, b = tv(k)
    def backward(r, g):
        yield from b(r, g)
    return f, backward, tp()


@add("infinite_generator_backward", "vjp", "unusable", "backward yields gradients without end (100,000 at most)", "generators")
def _():
    def backward(r, g):
        for _ in range(100_000):
            yield 2 * g
    return (lambda x: (2 * x, None)), backward, (arr(3),)


@pair("generator_residuals", "vjp", "residuals are a generator, consumed by the first backward", "generators", may_refuse=True)
def _(k):
    f, b = tv(k)
    def forward(x, w):
        y, r = f(x, w)
        return y, (v for v in r)
    return forward, lambda r, g: b(tuple(r), g), tp()


# ============================================================================ 4. state and caches
@pair("global_counter", "vjp", "counts its calls in a global", "global counters", touches=("globals",))
def _(k):
    def hook():
        globals()["_COUNT"] = globals().get("_COUNT", 0) + 1
    return (*tv(k, hook), tp())


@pair("lru_cache", "gradient", "f cached on the bytes of x", "caches")
def _(k):
    f0, g0 = sg(k)
    @functools.lru_cache(maxsize=None)
    def inner(b):
        return f0(np.frombuffer(b))
    return lambda x: inner(np.asarray(x, float).tobytes()), g0, sgn(4)


@pair("id_cache", "vjp", "cache keyed by id(x) holding x: right unless x is changed in place", "caches", may_refuse=True)
def _(k):
    cache = {}
    def forward(x):
        if id(x) not in cache:
            cache[id(x)] = (x, np.sin(x))
        return cache[id(x)][1], x
    return forward, lambda x, g: (k * g * np.cos(x),), (sgn(3),)


@pair("output_buffer_reused", "vjp", "forward returns the same output buffer at each call", "buffers reused")
def _(k):
    out = np.empty((3, 2))
    def forward(x, w):
        np.tanh(x @ w, out=out)
        return out, (x, w, out.copy())
    return forward, tv(k)[1], tp()


@pair("grad_buffer_reused", "vjp", "backward returns the same buffers at each call", "buffers reused")
def _(k):
    f, b = tv(k)
    bx, bw = np.empty((3, 2)), np.empty((2, 2))
    def backward(r, g):
        bx[...], bw[...] = b(r, g)
        return bx, bw
    return f, backward, tp()


@pair("layer_buffers_reused", "layer", "layer writes output and dW into fixed buffers", "buffers reused", params=WB)
def _(k):
    class L(dense(k, "W")):
        def forward(self, x):
            y = super().forward(x)
            if getattr(self, "out", None) is None:
                self.out = np.empty_like(y)
            self.out[...] = y
            return self.out
        def backward(self, dout):
            keep = self.dW
            dx = super().backward(dout)
            keep[...] = self.dW
            self.dW = keep
            return dx
    return L(), lx()


@pair("grad_of_gradient_buffer", "gradient", "grad returns one buffer each time", "buffers reused")
def _(k):
    f, g = sg(k)
    buf = np.empty(4)
    def grad(x):
        buf[:] = g(x)
        return buf
    return f, grad, sgn(4)


@pair("backward_consumes_residuals", "vjp", "backward overwrites its residuals in place (right at the first call)", "changes its residuals")
def _(k):
    def forward(x):
        return np.sin(x), np.cos(x)
    def backward(c, g):
        c *= g * k
        return (c,)
    return forward, backward, (sgn(4),)


@pair("backward_changes_g", "vjp", "backward multiplies g in place", "changes its arguments")
def _(k):
    f, b = tv(k)
    def backward(r, g):
        x, w, y = r
        g *= 1 - y * y
        return k * g @ w.T, k * x.T @ g
    return f, backward, tp()


@pair("backward_zeroes_g", "layer", "layer's backward zeroes dout after use", "changes its arguments", params=WB)
def _(k):
    class L(dense(k, "W")):
        def backward(self, dout):
            r = super().backward(dout)
            dout[...] = 0
            return r
    return L(), lx()


@pair("forward_changes_x", "vjp", "forward centres x in place", "changes its arguments", may_refuse=True)
def _(k):
    def forward(x):
        x -= x.mean()
        return np.sin(x), x.copy()
    def backward(c, g):
        d = g * np.cos(c)
        return (k * (d - d.mean()),)
    return forward, backward, (sgn(4),)


@pair("forward_wrecks_x", "gradient", "f fills x with NaN after use", "changes its arguments", may_refuse=True)
def _(k):
    f0, g = sg(k)
    def f(x):
        v = f0(x)
        x[...] = np.nan
        return v
    return f, g, sgn(4)


@pair("grad_in_place", "gradient", "grad doubles x in place and returns it", "changes its arguments")
def _(k):
    def grad(x):
        x *= 2 * k
        return x
    return lambda x: float(np.sum(x * x)), grad, sgn(4)


@add("grad_returns_x", "gradient", "right", "f = sum x^2/2; grad returns the very array it was given", "aliases")
def _():
    return lambda x: 0.5 * float(np.sum(x * x)), lambda x: x, sgn(4)


@add("forward_returns_x", "vjp", "right", "identity: output is the input array itself, gradient is g itself", "aliases")
def _():
    return lambda x: (x, x), lambda r, g: (g,), (sgn(4),)


@add("forward_returns_x_wrong", "vjp", "wrong", "identity with the gradient of 2x", "aliases")
def _():
    return lambda x: (x, x), lambda r, g: (g + g,), (sgn(4),)


@pair("backward_returns_residual_view", "vjp", "the gradient is a view of the residuals", "aliases")
def _(k):
    def forward(x):
        return np.sum(np.sin(x)), k * np.cos(x)
    def backward(c, g):
        c[...] = c / c * 1.0 * c
        return (c[:] if float(g) == 1.0 else c[:] * g,)
    return forward, backward, (sgn(4),)


@pair("same_array_twice", "vjp", "one array object passed as both primals: x*y with x is y", "aliases")
def _(k):
    a = sgn(3)
    return lambda x, y: (np.sin(x) * y, (x, y)), lambda r, g: (g * np.cos(r[0]) * r[1] * k, g * np.sin(r[0])), (a, a)


@pair("primals_overlap", "vjp", "two primals are overlapping views of one buffer", "aliases")
def _(k):
    a = sgn(5)
    return lambda x, y: (np.sin(x) * y, (x, y)), lambda r, g: (g * np.cos(r[0]) * r[1] * k, g * np.sin(r[0])), (a[:4], a[1:])


@pair("grad_of_both_same_object", "vjp", "x + y: backward returns g itself for both", "aliases")
def _(k):
    return lambda x, y: (x + y, None), lambda r, g: (g, g if k == 1.0 else g * k), (sgn(3), sgn(3, seed=9))


@pair("rnn_state", "layer", "the hidden state of the last call goes into the next", "stateful", may_refuse=True, params=(("W", "dW"),))
def _(k):
    class RNN:
        def __init__(self):
            self.W = sgn(3, 3, seed=5)
            self.h = np.zeros((2, 3))
        def forward(self, x):
            self.x, self.h0 = x, self.h
            self.h = np.tanh(x @ self.W + self.h0)
            return self.h
        def backward(self, dout):
            d = dout * (1 - self.h ** 2)
            self.dW = self.x.T @ d
            return k * d @ self.W.T
    return RNN(), sgn(2, 3)


@pair("sgd_in_backward", "layer", "backward also updates the weights", "stateful", params=WB)
def _(k):
    class L(dense(k, "W")):
        def backward(self, dout):
            dx = super().backward(dout)
            self.W -= 0.1 * self.dW
            return dx
    return L(), lx()


@pair("accumulates", "layer", "dW += at every backward, with zero_grad(); starts at zero", "stateful", may_refuse=True, params=WB)
def _(k):
    class L(dense(k, "x")):
        def zero_grad(self):
            self.dW = np.zeros_like(self.W)
            self.db = np.zeros_like(self.b)
        def backward(self, dout):
            ow, ob = self.dW, self.db
            dx = super().backward(dout)
            self.dW, self.db = ow + self.dW, ob + self.db
            return dx
    return L(), lx()


@pair("batchnorm_running", "layer", "batch norm with running statistics changed by forward", "stateful", params=(("gamma", "dgamma"), ("beta", "dbeta")))
def _(k):
    class BN:
        def __init__(self):
            self.gamma, self.beta = arr(3), arr(3, seed=2)
            self.running_mean, self.running_var, self.n = np.zeros(3), np.ones(3), 0
        def forward(self, x, train=True):
            mu, v = x.mean(0), x.var(0)
            self.running_mean = 0.9 * self.running_mean + 0.1 * mu
            self.running_var *= 0.9
            self.running_var += 0.1 * v
            self.n += 1
            self.s = np.sqrt(v + 1e-5)
            self.xh = (x - mu) / self.s
            return self.gamma * self.xh + self.beta
        def backward(self, dout):
            self.dgamma, self.dbeta = (dout * self.xh).sum(0), dout.sum(0)
            d = dout * self.gamma
            m = d.mean(0) if k == 1.0 else 0
            return (d - m - self.xh * (d * self.xh).mean(0)) / self.s
    return BN(), sgn(6, 3)


@add("output_depends_on_count", "vjp", "unusable", "output is scaled by the number of calls", "stateful")
def _():
    n = itertools.count(1)
    return lambda x: (x * next(n), None), lambda r, g: (g,), (arr(3),)


@add("backward_right_once", "vjp", "wrong", "backward's gradient is 1.3 times right at the first call and right afterwards", "stateful")
def _():
    f, b = tv(1.0)
    _, b2 = tv(BAD)
    n = itertools.count()
    return f, lambda r, g: (b2 if next(n) == 0 else b)(r, g), tp()


@add("backward_alternates", "gradient", "unusable", "grad alternates between x1 and x1.5", "stateful")
def _():
    f, g = sg()
    n = itertools.count()
    return f, lambda x: g(x) * (1 + 0.5 * (next(n) % 2)), sgn(4)


@add("backward_random_noise", "gradient", "unusable", "grad adds 20 % noise from np.random", "randomness")
def _():
    f, g = sg()
    return f, lambda x: g(x) * (1 + 0.2 * np.random.normal(size=x.shape)), sgn(4)


# ---------------------------------------------------------------- randomness
def dropout(draw, k, forget=False):
    class Dropout:
        def forward(self, x):
            self.mask = (draw(self, x.shape) < 0.6) / 0.6
            if self.mask.all() or not self.mask.any():
                self.mask.flat[0] = 0 if self.mask.all() else 1 / 0.6
            return np.sin(x) * self.mask
        def __init__(self):
            pass
    def backward(self, dout):
        return dout * (1.0 if forget else self.mask) * np.cos(self.x) * k
    def fwd(self, x, f=Dropout.forward):
        self.x = x
        return f(self, x)
    Dropout.forward, Dropout.backward = fwd, backward
    return Dropout


@pair("dropout_np_random", "layer", "dropout mask from np.random kept for backward", "randomness", touches=("np.random",))
def _(k):
    return dropout(lambda s, sh: np.random.random(sh), k)(), sgn(5, 4)


@add("dropout_forgets_mask", "layer", "wrong", "backward does not use the mask", "randomness", touches=("np.random",))
def _():
    return dropout(lambda s, sh: np.random.random(sh), 1.0, True)(), sgn(5, 4)


@pair("dropout_random", "layer", "mask from the random module", "randomness", touches=("random",))
def _(k):
    return dropout(lambda s, sh: np.array([random.random() for _ in range(math.prod(sh))]).reshape(sh), k)(), sgn(5, 4)


@pair("dropout_own_generator", "layer", "mask from a Generator the layer keeps", "randomness", may_refuse=True)
def _(k):
    L = dropout(lambda s, sh: s.rng.random(sh), k)()
    L.rng = np.random.default_rng(3)
    return L, sgn(5, 4)


@pair("dropout_shared_generator", "layer", "mask from a module-level Generator the layer does not own", "randomness", may_refuse=True)
def _(k):
    g = np.random.default_rng(4)
    return dropout(lambda s, sh: g.random(sh), k)(), sgn(5, 4)


@pair("dropout_randomstate", "layer", "mask from a RandomState attribute", "randomness", may_refuse=True)
def _(k):
    L = dropout(lambda s, sh: s.rs.rand(*sh), k)()
    L.rs = np.random.RandomState(3)
    return L, sgn(5, 4)


@add("dropout_secrets", "layer", "unusable", "mask from secrets: cannot be drawn again", "randomness")
def _():
    return dropout(lambda s, sh: np.array([secrets.randbelow(1000) / 1000 for _ in range(math.prod(sh))]).reshape(sh), 1.0)(), sgn(5, 4)


@add("dropout_urandom", "vjp", "unusable", "noise from os.urandom kept in the residuals", "randomness")
def _():
    def forward(x):
        m = np.frombuffer(os.urandom(x.size), np.uint8).reshape(x.shape) / 255.0
        return np.sin(x) * m, (x, m)
    return forward, lambda r, g: (g * r[1] * np.cos(r[0]),), (sgn(4),)


@add("noise_time", "gradient", "unusable", "f depends on time.perf_counter_ns()", "randomness")
def _():
    return (lambda x: float(np.sum(np.sin(x))) * (1 + time.perf_counter_ns() % 997 / 997)), lambda x: np.cos(x), sgn(4)


@pair("vjp_noise_np_random", "vjp", "mask from np.random kept in the residuals", "randomness", may_refuse=True, touches=("np.random",))
def _(k):
    def forward(x):
        m = np.random.random(x.shape) + 0.1
        return np.sin(x) * m, (x, m)
    return forward, lambda r, g: (k * g * r[1] * np.cos(r[0]),), (sgn(4),)


@pair("reparam_own_seed", "layer", "forward seeds np.random itself, then draws", "randomness", touches=("np.random",))
def _(k):
    def draw(s, sh):
        np.random.seed(7)
        return np.random.random(sh)
    return dropout(draw, k)(), sgn(5, 4)


@pair("random_after_first", "layer", "noise drawn once at the first forward and kept for ever", "randomness", may_refuse=True, touches=("np.random",))
def _(k):
    def draw(s, sh):
        if not hasattr(s, "kept"):
            s.kept = np.random.random(sh)
        return s.kept
    return dropout(draw, k)(), sgn(5, 4)


@pair("hash_randomness", "layer", "mask from hash of an object (constant within a process)", "randomness")
def _(k):
    salt = hash("abc") % 97
    return dropout(lambda s, sh: (np.arange(math.prod(sh)).reshape(sh) * 37 + salt) % 100 / 100, k)(), sgn(5, 4)


# ---------------------------------------------------------------- recursion, time
@pair("deep_recursion", "gradient", "f recurses 500 deep", "deep recursion")
def _(k):
    def rec(n, x):
        return x if n == 0 else rec(n - 1, x) * 1.0
    f, g = sg(k)
    return lambda x: f(rec(500, x)), g, sgn(4)


@pair("recursion_near_limit", "gradient", "f recurses until 40 frames below the limit, then computes", "deep recursion", may_refuse=True)
def _(k):
    f, g = sg(k)
    def depth():
        fr, n = sys._getframe(), 0
        while fr:
            fr, n = fr.f_back, n + 1
        return n
    def rec(n, x):
        return f(x) if n <= 0 else rec(n - 1, x)
    return lambda x: rec(sys.getrecursionlimit() - depth() - 60, x), g, sgn(3)


@pair("checks_inside", "vjp", "forward calls the checker itself (if it is imported) on a small problem", "calls the checker")
def _(k):
    def hook():
        gl = sys.modules.get("gradlab")
        cg = getattr(gl, "check_gradient", None)
        if cg is not None and not getattr(hook, "on", False):
            hook.on = True
            try:
                cg(*sg(1.0), np.array([0.3, 0.4]))
            finally:
                hook.on = False
    return (*tv(k, hook), tp())


@pair("fd_inside", "gradient", "grad is itself a central difference of f", "calls the checker", tol=1e-4)
def _(k):
    f, _g = sg()
    def grad(x):
        g = np.zeros_like(x)
        for i in np.ndindex(x.shape):
            e = np.zeros_like(x)
            e[i] = 1e-5
            g[i] = (f(x + e) - f(x - e)) / 2e-5
        return k * g
    return f, grad, sgn(4)


@pair("slow_at_other_shapes", "vjp", "loops up to 3 s if the shapes are not the first ones", "slow", slow=True)
def _(k):
    def hook_for(x, w):
        if x.shape != (3, 2) or w.shape != (2, 2):
            t = time.monotonic()
            while time.monotonic() - t < 3:
                pass
    f, b = tv(k)
    def forward(x, w):
        hook_for(x, w)
        return f(x, w)
    return forward, b, tp()


@pair("slow_first_call", "gradient", "the first call takes 0.3 s (as compiling would)", "slow", slow=True)
def _(k):
    done = []
    def hook():
        if not done:
            time.sleep(0.3)
            done.append(1)
    return (*sg(k, hook), sgn(4))


@pair("slow_backward", "layer", "backward takes 30 ms", "slow", slow=True, params=WB)
def _(k):
    return dense(k, "W", None, lambda: time.sleep(0.03))(), lx()


@pair("slow_40ms_forward", "gradient", "f takes 40 ms and x has 60 elements", "slow", slow=True)
def _(k):
    return (*sg(k, lambda: time.sleep(0.04)), sgn(60))


@pair("large_input", "gradient", "100,000 elements", "large")
def _(k):
    return lambda x: float(np.sum(np.sin(x))), lambda x: k * np.cos(x), sgn(100_000)


@pair("large_vjp", "vjp", "300 x 300 elementwise map: 90,000 in and out", "large")
def _(k):
    return lambda x: (np.sin(x), x), lambda x, g: (k * g * np.cos(x),), (sgn(300, 300),)


@add("one_wrong_of_400", "gradient", "wrong", "one element of 400 is wrong by 50 %, the others right", "subtly wrong")
def _():
    f = lambda x: float(np.sum(np.sin(x)))
    def grad(x):
        g = np.cos(x)
        g.flat[217] *= 1.5
        return g
    return f, grad, sgn(400)


@add("one_wrong_of_20000", "gradient", "wrong", "one element of 20,000 has the wrong sign (probe: index 0..59 includes it)", "subtly wrong")
def _():
    f = lambda x: float(np.sum(np.sin(x)))
    def grad(x):
        g = np.cos(x)
        g[31] *= -1
        return g
    return f, grad, sgn(20_000)


@add("ignores_g", "vjp", "wrong", "backward ignores g: right only for g = 1", "subtly wrong")
def _():
    return lambda x: (np.sin(x), x), lambda x, g: (np.cos(x),), (sgn(5),)


@add("mean_of_g", "vjp", "wrong", "backward uses g.mean(): right for constant g", "subtly wrong")
def _():
    return lambda x: (np.sin(x), x), lambda x, g: (np.cos(x) * g.mean(),), (sgn(5),)


@add("abs_of_g", "vjp", "wrong", "backward uses |g|: right for positive g", "subtly wrong")
def _():
    return lambda x: (np.sin(x), x), lambda x, g: (np.cos(x) * np.abs(g),), (sgn(5),)


@add("g_clipped", "layer", "wrong", "backward clips dout to [-0.1, 0.1]", "subtly wrong", params=WB)
def _():
    class L(dense()):
        def backward(self, dout):
            return super().backward(np.clip(dout, -0.1, 0.1))
    return L(), lx()


@add("transposed_square", "vjp", "wrong", "gradient of a square weight transposed", "subtly wrong")
def _():
    f, b = tv()
    return f, lambda r, g: (b(r, g)[0], b(r, g)[1].T), tp()


@add("swapped_primals", "vjp", "wrong", "gradients of two same-shaped primals swapped", "subtly wrong")
def _():
    return lambda x, y: (x * y * y, (x, y)), lambda r, g: (2 * g * r[0] * r[1], g * r[1] ** 2), (sgn(3), sgn(3, seed=2))


@add("permuted_sum_kept", "gradient", "wrong", "right values rolled by one place (sum, norm unchanged)", "subtly wrong")
def _():
    f, g = sg()
    return f, lambda x: np.roll(g(x), 1), sgn(5)


@add("wrong_at_other_points", "vjp", "wrong", "gradient right at the given x only for g that sums to 0, else off by 0.5 in each", "subtly wrong")
def _():
    return lambda x: (np.sin(x), x), lambda x, g: (g * np.cos(x) + 0.5 * g.sum(),), (sgn(4),)


# ============================================================================ 5. kinds of input arrays
def inputs(name, why, x, kind="gradient", odd="kinds of input array", **kw):
    """x() gives the input; f is sum(c sin x)."""
    def make(k):
        if kind == "gradient":
            return (*sg(k), x())
        return (lambda a: (np.sin(a), a)), (lambda a, g: (k * g * np.cos(a),)), (x(),)
    pair("in_" + name, kind, why, odd, **kw)(make)


def _ro(a):
    a = np.array(a)
    a.flags.writeable = False
    return a


def _memmap(mode):
    fd, p = tempfile.mkstemp(suffix=".dat")
    os.close(fd)
    sgn(5).tofile(p)
    m = np.memmap(p, np.float64, mode, shape=(5,))
    os.unlink(p)
    return m


def _unaligned():
    b = bytearray(8 * 5 + 1)
    a = np.frombuffer(b, np.float64, 5, 1)
    a[:] = sgn(5)
    return a


class Sub(np.ndarray):
    """An ndarray subclass with an attribute, as many libraries have."""
    def __array_finalize__(self, o):
        self.unit = getattr(o, "unit", "m")


class CopyIsSelf(np.ndarray):
    def copy(self, order="C"):
        return self
    def __copy__(self):
        return self
    def __deepcopy__(self, memo):
        return self


class NoSet(np.ndarray):
    def __setitem__(self, i, v):
        raise TypeError("immutable")


class EqArr(np.ndarray):
    def __eq__(self, o):
        raise RuntimeError("no ==")
    def __bool__(self):
        raise RuntimeError("no bool")
    def __repr__(self):
        raise RuntimeError("no repr")
    __str__ = __repr__
    def __format__(self, s):
        raise RuntimeError("no format")
    def __iter__(self):
        raise RuntimeError("no iter")
    def __len__(self):
        raise RuntimeError("no len")


class FinalizeRaises(np.ndarray):
    def __array_finalize__(self, o):
        if o is not None and not isinstance(o, FinalizeRaises) and FinalizeRaises.armed:
            raise RuntimeError("finalize")
    armed = False


class Liar(np.ndarray):
    """Differences are always 0, comparisons always true, norms always 0; the data are what they are."""
    def __array_ufunc__(self, uf, method, *a, **kw):
        a = [np.asarray(v) if isinstance(v, Liar) else v for v in a]
        kw.pop("out", None)
        r = getattr(uf, method)(*a, **kw)
        if uf is np.subtract:
            return r * 0
        if r.__class__ is np.ndarray and r.dtype == bool:
            return np.ones_like(r)
        return r
    def __array_function__(self, f, types_, a, kw):
        if f.__name__ in ("allclose", "array_equal", "all"):
            return True
        if f.__name__ in ("linalg.norm", "norm"):
            return 0.0
        return NotImplemented
    def __sub__(self, o):
        return np.zeros(self.shape)
    __rsub__ = __sub__
    def __eq__(self, o):
        return np.ones(self.shape, bool)
    __le__ = __lt__ = __ge__ = __gt__ = __eq__
    def max(self, *a, **k):
        return 0.0
    def all(self, *a, **k):
        return True


inputs("readonly", "read-only array", lambda: _ro(sgn(4)))
inputs("readonly_vjp", "read-only primal", lambda: _ro(sgn(3, 2)), "vjp")
inputs("memmap_r", "read-only memory map", lambda: _memmap("r"))
inputs("memmap_rw", "writeable memory map", lambda: _memmap("r+"), "vjp")
inputs("memmap_c", "copy-on-write memory map", lambda: _memmap("c"))
inputs("broadcast", "broadcast_to a (3,4): all rows share memory, read-only", lambda: np.broadcast_to(sgn(4), (3, 4)))
inputs("broadcast_vjp", "stride-0 array", lambda: np.broadcast_to(np.float64(0.7), (5,)), "vjp")
inputs("overlapping_strides", "writeable sliding window: elements share memory", lambda: np.lib.stride_tricks.as_strided(sgn(6), (4, 3), (8, 8)))
inputs("fortran", "Fortran order", lambda: np.asfortranarray(sgn(3, 4)))
inputs("fortran_vjp", "Fortran order", lambda: np.asfortranarray(sgn(3, 4)), "vjp")
inputs("negative_strides", "x[::-1]", lambda: sgn(5)[::-1], "vjp")
inputs("negative_strides_2d", "x[::-1, ::-2]", lambda: sgn(4, 6)[::-1, ::-2])
inputs("strided", "x[::3]", lambda: sgn(12)[::3])
inputs("transposed_view", "transposed 3-d view", lambda: sgn(2, 3, 4).transpose(2, 0, 1), "vjp")
inputs("zero_d", "0-d array", lambda: np.array(0.7))
inputs("zero_d_vjp", "0-d array", lambda: np.array(0.7), "vjp")
inputs("np_scalar", "np.float64 scalar", lambda: np.float64(0.7), may_refuse=True)
inputs("python_float", "a Python float as x", lambda: 0.7, "vjp", may_refuse=True)
inputs("many_dims", "32 dimensions of size 1", lambda: np.full((1,) * 32, 0.7))
inputs("bigendian", "big-endian float64", lambda: sgn(4).astype(">f8"))
inputs("unaligned", "unaligned float64", _unaligned, "vjp")
inputs("float32", "float32 input (f sums in float32)", lambda: sgn(4).astype(np.float32), tol=2e-2, h=1e-2)
inputs("float32_vjp", "float32 input", lambda: sgn(4).astype(np.float32), "vjp", tol=2e-2, h=1e-2)
inputs("float16", "float16 input", lambda: sgn(4).astype(np.float16), "vjp", tol=5e-2, h=6e-2, may_refuse=True)
inputs("float16_gradient", "float16 input", lambda: sgn(3).astype(np.float16), tol=5e-2, h=6e-2, may_refuse=True)
inputs("longdouble", "longdouble input", lambda: sgn(4).astype(np.longdouble), may_refuse=True)
inputs("longdouble_vjp", "longdouble input", lambda: sgn(4).astype(np.longdouble), "vjp", may_refuse=True)


@pair("in_object_floats", "gradient", "object array of Python floats; f converts", "object arrays", may_refuse=True)
def _(k):
    f, g = sg(k)
    return lambda x: f(x.astype(float)), lambda x: g(x.astype(float)), sgn(4).astype(object)


@pair("in_object_fractions", "gradient", "object array of Fractions; polynomial f, gradient of Fractions", "object arrays", may_refuse=True)
def _(k):
    x = np.array([fractions.Fraction(1, 3), fractions.Fraction(2, 7)], object)
    return lambda x: (x * x * x).sum(), lambda x: 3 * x * x * (1 if k == 1.0 else 2), x


@add("in_object_mixed", "gradient", "unusable", "object array with None and a string", "object arrays")
def _():
    return (*sg(), np.array([1.0, None, "x"], object))


@add("in_object_self", "gradient", "unusable", "object array that holds itself (repr would not end)", "object arrays")
def _():
    a = np.empty(2, object)
    a[0], a[1] = a, NoRepr()
    return (*sg(), a)


inputs("masked_nothing", "masked array with nothing masked", lambda: np.ma.array(sgn(4)), may_refuse=True, odd="masked arrays")
inputs("masked_nothing_vjp", "masked array with mask all False", lambda: np.ma.array(sgn(4), mask=[0] * 4), "vjp", may_refuse=True, odd="masked arrays")


@add("in_masked_one", "gradient", "right", "one element masked: f and grad skip it", "masked arrays", may_refuse=True, nocheck="gradient of a masked element is a convention")
def _():
    return (*sg(), np.ma.array(sgn(4), mask=[0, 1, 0, 0]))


@pair("in_matrix", "vjp", "np.matrix primals; * is the matrix product", "np.matrix", may_refuse=True)
def _(k):
    def forward(x, w):
        x, w = np.asmatrix(x), np.asmatrix(w)
        return x * w, (x, w)
    x, w = tp()
    return forward, lambda r, g: (k * np.asmatrix(g) * r[1].T, r[0].T * np.asmatrix(g)), (np.asmatrix(x), np.asmatrix(w))


@pair("in_matrix_gradient", "gradient", "np.matrix input, f sums elementwise", "np.matrix", may_refuse=True)
def _(k):
    return lambda x: float(np.sum(np.sin(x))), lambda x: k * np.cos(x), np.asmatrix(sgn(2, 3))


@add("in_structured", "gradient", "unusable", "structured array", "structured arrays")
def _():
    return (*sg(), np.array([(1.0, 2.0)], dtype=[("a", float), ("b|\n", float)]))


@add("in_recarray", "vjp", "unusable", "record array as primal", "structured arrays")
def _():
    return lambda x: (x.a * x.b, x), lambda r, g: (g,), (np.rec.array([(1.0, 2.0), (3.0, 4.0)], dtype=[("a", float), ("b", float)]),)


for _n, _v in [("datetime", lambda: np.array(["2020-01-01"], "M8[D]")), ("strings", lambda: np.array(["a", "b"])),
               ("bytes", lambda: np.array([b"a"])), ("none", lambda: None), ("string", lambda: "x\ny"),
               ("dict", lambda: {"a": 1.0}), ("ragged", lambda: [[1.0], [1.0, 2.0]]), ("object_instance", object),
               ("hostile_object", lambda: NoRepr()), ("nan", lambda: np.array([1.0, np.nan])),
               ("inf", lambda: np.array([1.0, np.inf])), ("generator", lambda: (i for i in (1.0, 2.0))),
               ("set", lambda: {1.0, 2.0}), ("a_type", lambda: float), ("a_module", lambda: math),
               ("void", lambda: np.void(b"abcd"))]:
    add("in_bad_" + _n, "gradient", "unusable", "x is no usable array: " + _n, "unusable inputs")(
        lambda _v=_v: (*sg(), _v()))


@pair("in_list", "vjp", "primal is a list of floats (forward converts)", "kinds of input array", may_refuse=True)
def _(k):
    return lambda x: (np.sin(np.asarray(x)), np.asarray(x)), lambda x, g: (k * g * np.cos(x),), ([0.3, 0.7],)


@pair("in_ints", "gradient", "int64 input; f promotes to float", "kinds of input array", may_refuse=True)
def _(k):
    return (*sg(k), np.array([1, 2, 3]))


@add("in_bool", "gradient", "right", "bool input (right if read as 1.0 and 0.0; NumPy computes in float16)", "unusable inputs", may_refuse=True, tol=1e-3)
def _():
    return (*sg(), np.array([True, False]))


@pair("in_complex_real", "gradient", "complex input, f uses the real part only", "kinds of input array", may_refuse=True, nocheck="convention for complex input")
def _(k):
    return lambda x: float(np.sum(np.sin(np.real(x)))), lambda x: k * np.cos(np.real(x)), np.array([0.3 + 0j, 0.7 + 0j])


inputs("size_zero", "zero elements", lambda: np.zeros((0, 3)))
CASES.pop()
CASES[-1].name, CASES[-1].why, CASES[-1].may_refuse = "in_size_zero", "x has no elements: nothing to check, gradient trivially right", True


@pair("in_size_zero_one_primal", "vjp", "one primal has size zero, the other not", "zero-size arrays", may_refuse=True)
def _(k):
    return lambda x, e: (np.sin(x) + e.sum(), x), lambda x, g: (k * g * np.cos(x), np.zeros((0, 2))), (sgn(3), np.zeros((0, 2)))


@add("output_size_zero", "vjp", "unusable", "output has no elements", "zero-size arrays", may_refuse=True)
def _():
    return lambda x: (x[:0], x.shape), lambda s, g: (np.zeros(s),), (sgn(3),)


@add("no_primals", "vjp", "unusable", "empty tuple of primals", "zero-size arrays", may_refuse=True)
def _():
    return lambda: (np.float64(1), None), lambda r, g: (), ()


inputs("subclass", "ndarray subclass with a unit attribute", lambda: sgn(4).view(Sub), "vjp", odd="ndarray subclasses")
inputs("copy_is_self", "subclass whose copy() and deepcopy return itself", lambda: sgn(4).view(CopyIsSelf), odd="ndarray subclasses")
inputs("copy_is_self_vjp", "subclass whose copy() and deepcopy return itself", lambda: sgn(4).view(CopyIsSelf), "vjp", odd="ndarray subclasses")
inputs("no_setitem", "subclass whose __setitem__ raises", lambda: sgn(4).view(NoSet), odd="ndarray subclasses")
inputs("eq_repr_raise", "subclass whose ==, bool, repr, format, len, iter raise", lambda: sgn(4).view(EqArr), "vjp", odd="ndarray subclasses")
inputs("liar", "subclass whose differences are 0 and comparisons true", lambda: sgn(4).view(Liar), odd="ndarray subclasses", may_refuse=True)

inputs("tiny_values", "x around 1e-150", lambda: np.array([1e-150, 3e-150]))
inputs("zeros", "x is all zero, and -0.0", lambda: np.array([0.0, -0.0, 0.0]), "vjp")
inputs("subnormal", "x is subnormal", lambda: np.array([5e-324, 1e-310]))


@pair("mixed_scales", "gradient", "elements of x between 1e-6 and 1e6, quadratic relative to each scale", "scales", h=-1e-5)
def _(k):
    s = np.array([1e-6, 1e-3, 1.0, 1e3, 1e6])
    return lambda x: float(np.sum(np.sin(x / s))), lambda x: k * np.cos(x / s) / s, s * 0.7


@pair("tiny_outputs", "gradient", "f of order 1e-12", "scales")
def _(k):
    f, g = sg(k)
    return lambda x: 1e-12 * f(x), lambda x: 1e-12 * g(x), sgn(4)


@pair("tiny_outputs_1e-200", "vjp", "outputs of order 1e-200", "scales", may_refuse=True)
def _(k):
    return lambda x: (1e-200 * np.sin(x), x), lambda x, g: (k * 1e-200 * g * np.cos(x),), (sgn(4),)


@pair("huge_outputs", "vjp", "outputs of order 1e12", "scales")
def _(k):
    return lambda x: (1e12 * np.sin(x), x), lambda x, g: (k * 1e12 * g * np.cos(x),), (sgn(4),)


@pair("huge_outputs_1e200", "gradient", "f of order 1e200 (squares overflow)", "scales", may_refuse=True)
def _(k):
    f, g = sg(k)
    return lambda x: 1e200 * f(x), lambda x: 1e200 * g(x), sgn(4)


@pair("offset", "gradient", "a constant 1e6 is added to f", "scales", tol=1e-3)
def _(k):
    f, g = sg(k)
    return lambda x: 1e6 + f(x), g, sgn(4)


@pair("stiff", "gradient", "f = sum sin(300 x)", "scales", tol=1e-4, h=1e-6)
def _(k):
    return lambda x: float(np.sum(np.sin(300 * x))), lambda x: k * 300 * np.cos(300 * x), np.array([0.1, 0.52, 0.71])


@add("constant", "gradient", "right", "f constant, gradient zero", "scales")
def _():
    return lambda x: 3.0, lambda x: np.zeros_like(x), sgn(4)


@add("constant_wrong", "gradient", "wrong", "f constant, gradient ones", "scales")
def _():
    return lambda x: 3.0, lambda x: np.ones_like(x), sgn(4)


@add("zero_gradient_claimed", "vjp", "wrong", "backward returns zeros for a map that is not constant", "scales")
def _():
    return lambda x: (np.sin(x), x), lambda x, g: (np.zeros_like(x),), (sgn(4),)


@add("one_primal_tiny_wrong", "vjp", "wrong", "of two primals the one with a 1e-9 times smaller gradient is wrong by 2", "scales")
def _():
    return lambda x, y: (np.sin(x) + 1e-9 * np.sin(y), (x, y)), lambda r, g: (g * np.cos(r[0]), 2e-9 * g * np.cos(r[1])), (sgn(3), sgn(3, seed=2))


@pair("float32_inside", "vjp", "forward computes in float32 inside, returns float64", "low precision inside", tol=2e-2, h=1e-2)
def _(k):
    return (lambda x: (np.sin(x.astype(np.float32)).astype(float), x)), (lambda x, g: (k * g * np.cos(x),)), (sgn(4),)


@pair("float32_output", "vjp", "float64 input, float32 output and gradient", "low precision inside", tol=2e-2, h=1e-2)
def _(k):
    return (lambda x: (np.sin(x).astype(np.float32), x)), (lambda x, g: ((k * g * np.cos(x)).astype(np.float32),)), (sgn(4),)


@pair("float16_inside", "gradient", "f rounds to float16", "low precision inside", tol=5e-2, h=6e-2, may_refuse=True)
def _(k):
    return lambda x: np.float16(np.sum(np.sin(x))), lambda x: k * np.cos(x), sgn(2)


# ============================================================================ 6. kinds of output and gradient
def outs(name, why, conv, kind="gradient", odd="kinds of output", **kw):
    """the output is passed through conv."""
    def make(k):
        if kind == "gradient":
            f, g = sg(k)
            return lambda x: conv(f(x)), g, sgn(4)
        f, b = tv(k)
        def forward(x, w):
            y, r = f(x, w)
            return conv(y), r
        return forward, b, tp()
    pair("out_" + name, kind, why, odd, **kw)(make)


def grads(name, why, conv, kind="vjp", odd="kinds of gradient", **kw):
    """what backward returns is passed through conv."""
    def make(k):
        if kind == "gradient":
            f, g = sg(k)
            return f, lambda x: conv(g(x)), sgn(4)
        if kind == "layer":
            class L(dense(k)):
                def backward(self, dout):
                    return conv(super().backward(dout))
            return L(), lx()
        f, b = tv(k)
        return f, lambda r, g: conv(b(r, g)), tp()
    pair("grad_" + name, kind, why, odd, **kw)(make)


class LyingFloat(float):
    def __sub__(self, o):
        return LyingFloat(0.0)
    __rsub__ = __sub__
    def __eq__(self, o):
        return True
    __le__ = __lt__ = __eq__
    __hash__ = float.__hash__
    def __abs__(self):
        return 0.0
    def __bool__(self):
        raise RuntimeError("bool")
    def __repr__(self):
        raise RuntimeError("repr")
    __str__ = __repr__
    def __format__(self, s):
        raise RuntimeError("format")


class HasArray:
    """Not an array, but np.asarray works."""
    def __init__(self, a):
        self._a = a
    def __array__(self, dtype=None, copy=None):
        return np.array(self._a, dtype=dtype)


class HasArrayLiesShape(HasArray):
    shape, dtype, size, ndim = (1,), np.dtype("int8"), 1, 1
    def __len__(self):
        raise RuntimeError("len")
    def __getitem__(self, i):
        raise RuntimeError("getitem")


class HasInterface:
    def __init__(self, a):
        self._a = np.ascontiguousarray(a)
        self.__array_interface__ = self._a.__array_interface__


class FloatOnly:
    def __init__(self, v):
        self.v = v
    def __float__(self):
        return float(self.v)


outs("np0d", "0-d array", lambda v: np.array(v))
outs("shape1", "array of shape (1,)", lambda v: np.array([v]), may_refuse=True)
outs("shape11", "array of shape (1,1)", lambda v: np.array([[v]]), may_refuse=True)
outs("decimal", "Decimal", lambda v: decimal.Decimal(v), may_refuse=True)
outs("fraction", "Fraction", lambda v: fractions.Fraction(v), may_refuse=True)
outs("longdouble", "np.longdouble", lambda v: np.longdouble(v))
outs("complex", "complex with imaginary part 0", lambda v: complex(v), may_refuse=True)
outs("float_only", "object with __float__ only", FloatOnly, may_refuse=True)
outs("lying_float", "float subclass whose subtraction gives 0 and comparisons lie", LyingFloat, may_refuse=True)
outs("matrix", "np.matrix output", np.asmatrix, "vjp", may_refuse=True)
outs("masked", "masked array output, nothing masked", np.ma.array, "vjp", may_refuse=True)
outs("list", "nested list output", lambda y: y.tolist(), "vjp", may_refuse=True)
outs("readonly", "read-only output", _ro, "vjp")
outs("fortran", "Fortran-ordered output", np.asfortranarray, "vjp")
outs("liar", "output is an ndarray subclass that lies in differences", lambda y: y.view(Liar), "vjp", may_refuse=True)
outs("subclass", "ndarray subclass output", lambda y: y.view(Sub), "vjp")
outs("eq_repr_raise", "output whose ==, bool, repr, len raise", lambda y: y.view(EqArr), "vjp")
outs("has_array", "output object with only __array__", HasArray, "vjp", may_refuse=True)
outs("object_dtype", "output with dtype object", lambda y: y.astype(object), "vjp", may_refuse=True)
outs("bigendian", "big-endian output", lambda y: y.astype(">f8"), "vjp")

grads("list", "backward returns a list, not a tuple", list, may_refuse=True)
grads("list_of_lists", "gradients are nested lists", lambda t: tuple(v.tolist() for v in t), may_refuse=True)
grads("iterator", "backward returns an iterator", iter, may_refuse=True)
grads("map", "backward returns a map object", lambda t: map(np.array, t), may_refuse=True)
grads("namedtuple", "backward returns a named tuple", lambda t: collections.namedtuple("G", "x w")(*t))
grads("dict", "backward returns a dict 0, 1 -> gradient", lambda t: dict(enumerate(t)), may_refuse=True)
grads("deque", "backward returns a deque", collections.deque, may_refuse=True)
grads("complex0", "complex gradients with imaginary part 0", lambda t: tuple(v + 0j for v in t), may_refuse=True)
grads("float32", "float32 gradients of a float64 map", lambda t: tuple(v.astype(np.float32) for v in t))
grads("longdouble", "longdouble gradients", lambda t: tuple(v.astype(np.longdouble) for v in t))
grads("fortran", "Fortran-ordered gradients", lambda t: tuple(np.asfortranarray(v) for v in t))
grads("readonly", "read-only gradients", lambda t: tuple(map(_ro, t)))
grads("negstride", "gradients with negative strides", lambda t: tuple(v[::-1].copy()[::-1] for v in t))
grads("matrix", "np.matrix gradients", lambda t: tuple(map(np.asmatrix, t)), may_refuse=True)
grads("masked", "masked arrays with nothing masked", lambda t: tuple(map(np.ma.array, t)), may_refuse=True)
grads("object", "object dtype gradients", lambda t: tuple(v.astype(object) for v in t), may_refuse=True)
grads("has_array", "objects with only __array__", lambda t: tuple(map(HasArray, t)), may_refuse=True)
grads("array_lies_shape", "object with __array__ whose shape and dtype attributes lie", HasArrayLiesShape, "gradient", may_refuse=True)
grads("array_interface", "object with __array_interface__", HasInterface, "gradient", may_refuse=True)
grads("memoryview", "gradient is a memoryview", lambda g: memoryview(np.ascontiguousarray(g)), "gradient", may_refuse=True)
grads("array_array", "gradient is an array.array", lambda g: array.array("d", g), "gradient", may_refuse=True)
grads("ctypes", "gradient is a ctypes array", lambda g: (ctypes.c_double * len(g))(*g), "gradient", may_refuse=True)
grads("tuple_of_floats", "gradient is a tuple of floats", lambda g: tuple(map(float, g)), "gradient", may_refuse=True)
grads("wrapped_tuple", "grad returns a one-element tuple", lambda g: (g,), "gradient", may_refuse=True)
grads("liar", "ndarray subclass whose differences are 0, comparisons true, norm 0", lambda t: tuple(v.view(Liar) for v in t), may_refuse=True)
grads("liar_gradient", "same, for check_gradient", lambda g: g.view(Liar), "gradient", may_refuse=True)
grads("liar_layer", "same, dx of a layer", lambda g: g.view(Liar), "layer", may_refuse=True)
grads("eq_repr_raise", "gradients whose ==, bool, repr, len, iter raise", lambda t: tuple(v.view(EqArr) for v in t))
grads("lying_floats", "object array of floats that lie in differences", lambda g: np.array([LyingFloat(v) for v in g], object), "gradient", may_refuse=True)
grads("tuple_layer", "layer's backward returns a one-element tuple", lambda g: (g,), "layer", may_refuse=True)
grads("list_layer", "layer's dx as nested list", lambda g: g.tolist(), "layer", may_refuse=True)
grads("bigendian_layer", "layer's dx is big-endian", lambda g: g.astype(">f8"), "layer")

for _k2, _t in ((1.0, "right"), (2.0, "wrong")):
    @add("grad_ints_" + _t, "gradient", _t, "f = sum 3x, the gradient is an int array", "kinds of gradient")
    def _(k=_k2):
        return lambda x: float(np.sum(3 * x)), lambda x: np.full(x.shape, int(3 * k)), sgn(4)

    @add("grad_broadcast_" + _t, "gradient", _t, "gradient is a read-only stride-0 broadcast view", "kinds of gradient")
    def _(k=_k2):
        return lambda x: float(np.sum(x)) * 3, lambda x: np.broadcast_to(np.float64(3 * k), x.shape), sgn(2, 3)

    @add("grad_bools_" + _t, "gradient", _t, "f = sum x, the gradient is a bool array of True / False", "kinds of gradient", may_refuse=True)
    def _(k=_k2):
        return lambda x: float(np.sum(x)), lambda x: np.full(x.shape, k == 1.0), sgn(3)


@add("grad_ints_truncated", "gradient", "wrong", "right gradient truncated to int", "kinds of gradient")
def _():
    f, g = sg()
    return f, lambda x: g(x).astype(int), sgn(4)


def badgrad(name, truth, why, conv, kind="vjp", **kw):
    def make():
        if kind == "gradient":
            f, g = sg()
            return f, lambda x: conv(g(x)), sgn(4)
        if kind == "layer":
            class L(dense()):
                def backward(self, dout):
                    return conv(super().backward(dout))
            return L(), lx()
        f, b = tv()
        return f, lambda r, g: conv(b(r, g)), tp()
    add("badgrad_" + name, kind, truth, why, "bad gradients", **kw)(make)


badgrad("none", "unusable", "backward returns None", lambda t: None)
badgrad("none_gradient", "unusable", "grad returns None", lambda t: None, "gradient")
badgrad("none_layer", "unusable", "layer's backward returns None", lambda t: None, "layer", may_refuse=True)
badgrad("none_for_one", "wrong", "None for a primal whose gradient is not zero", lambda t: (t[0], None))
badgrad("too_few", "unusable", "one gradient for two primals", lambda t: t[:1])
badgrad("too_many", "unusable", "three gradients for two primals", lambda t: t + (t[0],))
badgrad("empty", "unusable", "empty tuple", lambda t: ())
badgrad("nan", "wrong", "all NaN", lambda t: tuple(v * np.nan for v in t))
badgrad("one_nan", "wrong", "one NaN among right values", lambda g: np.where(np.arange(4) == 2, np.nan, g), "gradient")
badgrad("inf", "wrong", "all inf", lambda g: g * np.inf, "gradient")
badgrad("nan_layer", "wrong", "dx is NaN", lambda g: g * np.nan, "layer")
badgrad("one_inf_layer", "wrong", "one element of dx is -inf", lambda g: np.where(np.arange(12).reshape(4, 3) == 5, -np.inf, g), "layer")
badgrad("transposed", "unusable", "gradient of x has the shape of x.T", lambda t: (t[0].T, t[1]))
badgrad("flattened", "unusable", "gradients flattened", lambda t: tuple(v.ravel() for v in t))
badgrad("extra_axis", "unusable", "shape (1, 4) for (4,)", lambda g: g[None], "gradient", may_refuse=True)
badgrad("column", "unusable", "shape (4, 1) for (4,): broadcasting would hide it", lambda g: g[:, None], "gradient")
badgrad("scalar", "unusable", "a scalar where an array is due", lambda g: float(g.sum()), "gradient")
badgrad("complex", "wrong", "right real part, imaginary part as large", lambda t: tuple(v * (1 + 1j) for v in t))
badgrad("string", "unusable", "strings of the right numbers", lambda g: np.array([repr(float(v)) for v in g]), "gradient", may_refuse=True)
badgrad("ragged", "unusable", "ragged list", lambda g: [[1.0], [1.0, 2.0]], "gradient")
badgrad("hostile_object", "unusable", "an object without repr", lambda g: NoRepr(), "gradient")
badgrad("mock", "unusable", "a MagicMock", lambda g: unittest.mock.MagicMock(), "layer")
badgrad("endless_len", "unusable", "__len__ says 2, __iter__ raises", lambda t: _LenLies(), )
badgrad("notimplemented", "unusable", "NotImplemented", lambda g: NotImplemented, "gradient")
badgrad("ellipsis", "unusable", "tuple of Ellipsis", lambda t: (..., ...))
badgrad("array_raises", "unusable", "object whose __array__ raises a BaseException", lambda t: (_ArrayRaises(), _ArrayRaises()))
badgrad("array_changes", "unusable", "object whose __array__ differs at each call", lambda g: _ArrayChanges(g), "gradient", may_refuse=True)
badgrad("structured", "unusable", "structured array", lambda g: np.zeros(4, [("a", float)]), "gradient")
badgrad("masked_all", "unusable", "everything masked", lambda g: np.ma.masked_all(4), "gradient")
badgrad("masked_wrong", "wrong", "the wrong elements are masked out", lambda g: np.ma.array(g * [1, 9, 1, 9], mask=[0, 1, 0, 1]), "gradient")
badgrad("tuple_subclass", "wrong", "tuple subclass whose __getitem__ and __len__ show right values and whose __iter__ gives zeros", lambda t: _TupLies(t))


class _LenLies:
    def __len__(self):
        return 2
    def __iter__(self):
        raise RuntimeError("iter")


class _ArrayRaises:
    def __array__(self, dtype=None, copy=None):
        raise DerivedBase("array")


class _ArrayChanges:
    def __init__(self, g):
        self.g, self.n = g, 0
    def __array__(self, dtype=None, copy=None):
        self.n += 1
        return np.array(self.g * self.n, dtype=dtype)


class _TupLies(tuple):
    def __iter__(self):
        return iter([tuple.__getitem__(self, i) * 0 for i in range(2)])


CASES[-1].truth, CASES[-1].why = "unusable", CASES[-1].why + " (so ambiguous)"


def badout(name, why, fwd, kind="vjp", **kw):
    if kind == "vjp":
        add("badout_" + name, kind, "unusable", why, "bad outputs", **kw)(lambda: (fwd, lambda r, g: (g,), (sgn(3),)))
    else:
        add("badout_" + name, kind, "unusable", why, "bad outputs", **kw)(lambda: (fwd, lambda x: np.cos(x), sgn(3)))


badout("none", "forward returns None", lambda x: None)
badout("array_only", "forward returns the output without residuals", lambda x: np.sin(x))
badout("pairlike", "forward's array output of shape (2, 3) unpacks as if a pair", lambda x: np.stack([x, x]), may_refuse=True)
badout("triple", "forward returns three things", lambda x: (x, x, x))
badout("nan", "output is NaN", lambda x: (x * np.nan, x))
badout("inf", "output overflows to inf", lambda x: (np.exp(x * 1e6), x))
badout("string", "output is a string", lambda x: ("abc", x))
badout("ragged", "output is ragged", lambda x: ([[1.0], [1.0, 2.0]], x))
badout("shape_changes", "output's shape differs from call to call", (lambda n: lambda x: (np.ones(next(n) % 4 + 1) * x[0], x))(itertools.count()))
badout("vector", "f returns an array, not a scalar", lambda x: np.sin(x), "gradient")
badout("f_none", "f returns None", lambda x: None, "gradient")
badout("f_nan", "f returns NaN", lambda x: float("nan"), "gradient")
badout("f_string", "f returns a string of the number", lambda x: str(float(np.sum(np.sin(x)))), "gradient", may_refuse=True)
badout("f_function", "f returns a function", lambda x: (lambda: 1.0), "gradient")
badout("f_complex", "f returns a complex value", lambda x: complex(np.sum(np.sin(x)), 1.0), "gradient")
badout("f_hostile", "f returns an object whose __float__ raises a BaseException", lambda x: _FloatRaises(), "gradient")
badout("f_tuple", "f returns (value, aux)", lambda x: (float(np.sum(np.sin(x))), {}), "gradient")
badout("dict", "output is a dict of arrays", lambda x: ({"a": x}, x))
badout("empty_tuple", "forward returns ()", lambda x: ())
badout("int_step", "output is rounded to an integer (piecewise constant)", lambda x: (np.round(x).astype(int), x))


class _FloatRaises:
    def __float__(self):
        raise ReprRaisesBase()
    __array__ = None


for _n, _f, _g in [("none_f", lambda: None, lambda: np.cos), ("none_grad", lambda: (lambda x: float(np.sum(x))), lambda: None),
                   ("string_f", lambda: "f", lambda: np.cos), ("array_f", lambda: np.ones(3), lambda: np.cos),
                   ("hostile_f", NoRepr, lambda: np.cos), ("swapped", lambda: np.cos, lambda: (lambda x: float(np.sum(np.sin(x))))),
                   ("class_f", lambda: list, lambda: np.cos), ("mock_f", unittest.mock.MagicMock, unittest.mock.MagicMock),
                   ("no_args", lambda: (lambda: 1.0), lambda: np.cos), ("two_args", lambda: (lambda x, y: 1.0), lambda: np.cos),
                   ("kwonly", lambda: (lambda x, *, t: 1.0), lambda: np.cos)]:
    add("notcallable_" + _n, "gradient", "unusable", "f or grad cannot be called with one array: " + _n, "not callable")(
        lambda _f=_f, _g=_g: (_f(), _g(), sgn(3)))


# ---------------------------------------------------------------- residuals
def resid(name, why, wrap, unwrap, **kw):
    def make(k):
        f, b = tv(k)
        def forward(x, w):
            y, r = f(x, w)
            return y, wrap(r)
        return forward, lambda r, g: b(unwrap(r), g), tp()
    pair("res_" + name, "vjp", why, "odd residuals", **kw)(make)


class Closed:
    """Holds a value; everything else about it raises."""
    def __init__(self, v):
        object.__setattr__(self, "_v", v)
    def __getattr__(self, n):
        raise RuntimeError("getattr " + n)
    def __eq__(self, o):
        raise RuntimeError("eq")
    def __hash__(self):
        raise RuntimeError("hash")
    def __bool__(self):
        raise RuntimeError("bool")
    def __len__(self):
        raise RuntimeError("len")
    def __iter__(self):
        raise RuntimeError("iter")
    def __repr__(self):
        raise RuntimeError("repr")
    __str__ = __repr__
    def __reduce_ex__(self, p):
        raise RuntimeError("reduce")
    def __deepcopy__(self, m):
        raise RuntimeError("deepcopy")
    __copy__ = None
    def __array__(self, *a, **k):
        raise RuntimeError("array")
    def __dir__(self):
        raise RuntimeError("dir")
    def __sizeof__(self):
        raise RuntimeError("sizeof")


def _selfref(r):
    l = [r]
    l.append(l)
    return l


resid("closed", "residual object whose every protocol raises", Closed, lambda c: object.__getattribute__(c, "_v"))
resid("lambda", "residual is a closure", lambda r: (lambda: r), lambda l: l())
resid("self_reference", "residual list holds itself", _selfref, lambda l: l[0])
resid("module", "residual is a fresh module", lambda r: _mod(r), lambda m: m.r)
resid("lock", "residuals hold a lock and an open file", lambda r: (r, threading.Lock(), open(os.devnull)), lambda t: (t[2].close(), t[0])[1], may_refuse=True)
resid("weakref", "residual is a weak reference to an object kept by the output's subclass", lambda r: _keep(r), lambda w: w().v)
resid("sqlite", "residuals pickled into an in-memory sqlite database", lambda r: _tosql(r), lambda d: _fromsql(d))
resid("big", "residuals hold a dict of 100,000 words as well", lambda r: (r, {f"word{i}": i for i in range(100_000)}), lambda t: t[0], slow=True)
resid("nested_deep", "residuals nested 3,000 lists deep", lambda r: _nest(r), lambda l: _unnest(l))
resid("pops", "backward pops from a list of residuals (right once)", lambda r: [r], lambda l: l.pop(), may_refuse=True)


def _mod(r):
    m = types.ModuleType("a|b\n")
    m.r = r
    return m


class _Box:
    pass


_KEPT = collections.deque(maxlen=50)


def _keep(r):
    b = _Box()
    b.v = r
    _KEPT.append(b)
    return weakref.ref(b)


def _tosql(r):
    import pickle
    d = sqlite3.connect(":memory:")
    d.execute("create table r (b blob)")
    d.execute("insert into r values (?)", (pickle.dumps(r),))
    return d


def _fromsql(d):
    import pickle
    return pickle.loads(d.execute("select b from r").fetchone()[0])


def _nest(r):
    for _ in range(3000):
        r = [r]
    return r


def _unnest(l):
    for _ in range(3000):
        l = l[0]
    return l


# ---------------------------------------------------------------- strict functions
@pair("strict_dtype_order", "vjp", "forward and backward insist on exact float64 C-contiguous ndarrays of the right shape", "strict arguments")
def _(k):
    f, b = tv(k)
    def chk(a, s):
        if type(a) is not np.ndarray or a.dtype != np.float64 or not a.flags.c_contiguous or a.shape != s:
            raise TypeError("want float64 C-contiguous " + str(s))
    def forward(x, w):
        chk(x, (3, 2)), chk(w, (2, 2))
        return f(x, w)
    def backward(r, g):
        chk(g, (3, 2))
        return b(r, g)
    return forward, backward, tp()


@pair("strict_fortran", "vjp", "forward insists on Fortran order as given", "strict arguments", may_refuse=True)
def _(k):
    f, b = tv(k)
    def forward(x, w):
        if not x.flags.f_contiguous:
            raise TypeError("want Fortran order")
        return f(x, w)
    x, w = tp()
    return forward, b, (np.asfortranarray(x), w)


@pair("strict_float32", "gradient", "f refuses anything but float32", "strict arguments", tol=2e-2, h=1e-2)
def _(k):
    f, g = sg(k)
    def f2(x):
        if x.dtype != np.float32:
            raise TypeError("float32 only")
        return f(x)
    return f2, g, sgn(4).astype(np.float32)


@pair("strict_range", "gradient", "f refuses inputs more than 0.01 from the given one", "strict arguments", may_refuse=True)
def _(k):
    x0 = sgn(4)
    f, g = sg(k)
    def f2(x):
        if np.max(np.abs(x - x0)) > 0.01:
            raise ValueError("too far")
        return f(x)
    return f2, g, x0.copy()


@pair("strict_positional", "layer", "forward takes positional-only x and refuses keyword arguments", "strict arguments", params=WB)
def _(k):
    class L(dense(k, "W")):
        def forward(self, x, /):
            return super().forward(x)
        def backward(self, dout, /):
            return super().backward(dout)
    return L(), lx()


# ============================================================================ 7. layers that raise or lie
def odd_layer(name, why, odd, members, bad="W", after=None, base=None, **kw):
    """dense() with extra class members (a function k -> dict or a dict)."""
    def make(k):
        m = dict(members) if isinstance(members, dict) else members(k)
        L = type("Odd", (dense(k, bad),), m)
        l = L()
        if after:
            after(l)
        return l, lx()
    kw.setdefault("params", WB)
    pair("layer_" + name, "layer", why, odd, **kw)(make)


def _r(msg):
    def f(self, *a, **k):
        raise RuntimeError(msg)
    return f


def _rb(msg):
    def f(self, *a, **k):
        raise DerivedBase(msg)
    return f


def _ga_print(self, n):
    print("looking for", n)
    raise AttributeError(n)


def _ga_runtime(self, n):
    raise RuntimeError("no attribute " + n)


def _ga_base(self, n):
    raise DerivedBase("no attribute " + n)


def _ga_any(self, n):
    if n.startswith("__"):
        raise AttributeError(n)
    return lambda *a, **k: None


def _ga_array(self, n):
    if n.startswith("__"):
        raise AttributeError(n)
    return np.full((3, 2), 7.0)


def _ga_self(self, n):
    if n.startswith("__"):
        raise AttributeError(n)
    return self


def _gab_print(self, n):
    if n != "__class__":
        sys.stderr.write("")
        print("get", n)
    return object.__getattribute__(self, n)


odd_layer("repr_raises", "__repr__ and __str__ raise", "repr", dict(__repr__=_r("repr"), __str__=_r("str"), __format__=_r("format")))
odd_layer("repr_prints_exits", "__repr__ calls sys.exit", "repr", dict(__repr__=lambda s: sys.exit(4)))
odd_layer("repr_not_str", "__repr__ returns None", "repr", dict(__repr__=lambda s: None, __str__=lambda s: 5))
odd_layer("repr_huge", "__repr__ returns 20 MB", "repr", dict(__repr__=lambda s: "z" * 20_000_000))
odd_layer("eq_hash_raise", "__eq__ raises, unhashable", "eq and hash", dict(__eq__=_r("eq"), __ne__=_r("ne"), __hash__=None))
odd_layer("eq_array", "__eq__ returns an array, hash raises", "eq and hash", dict(__eq__=lambda s, o: np.array([True, False]), __hash__=_r("hash")))
odd_layer("eq_true", "__eq__ always true", "eq and hash", dict(__eq__=lambda s, o: True, __hash__=lambda s: 1))
odd_layer("bool_raises", "__bool__ raises", "bool and len", dict(__bool__=_r("bool")))
odd_layer("bool_false", "the layer is false", "bool and len", dict(__bool__=lambda s: False))
odd_layer("len_raises", "__len__ raises a BaseException", "bool and len", dict(__len__=_rb("len")))
odd_layer("len_zero", "__len__ is 0", "bool and len", dict(__len__=lambda s: 0))
odd_layer("iter_endless", "__iter__ never ends", "endless iteration", dict(__iter__=lambda s: itertools.count()))
odd_layer("getitem_endless", "__getitem__ answers every index (endless old-style iteration)", "endless iteration", dict(__getitem__=lambda s, i: 0.0))
odd_layer("contains_raises", "__contains__, __iter__ and __getitem__ raise", "endless iteration", dict(__contains__=_r("in"), __iter__=_r("iter"), __getitem__=_r("getitem")))
odd_layer("getattr_prints", "__getattr__ prints", "__getattr__", dict(__getattr__=_ga_print), touches=("stdout",))
odd_layer("getattr_runtime", "__getattr__ raises RuntimeError, not AttributeError", "__getattr__", dict(__getattr__=_ga_runtime))
odd_layer("getattr_base", "__getattr__ raises a BaseException", "__getattr__", dict(__getattr__=_ga_base))
odd_layer("getattr_any", "__getattr__ gives a function for every name", "__getattr__", dict(__getattr__=_ga_any))
odd_layer("getattr_array", "__getattr__ gives a (3,2) array for every name", "__getattr__", dict(__getattr__=_ga_array), may_refuse=True)
odd_layer("getattr_self", "__getattr__ gives the layer itself: endless chains", "__getattr__", dict(__getattr__=_ga_self))
odd_layer("getattribute_prints", "__getattribute__ prints every access", "__getattr__", dict(__getattribute__=_gab_print), touches=("stdout",))
odd_layer("dict_raises", "__dict__ is a property that raises", "__dict__ and __dir__", dict(__dict__=property(_r("dict"))), may_refuse=True, bad="x")
odd_layer("dict_empty", "__dict__ says {}", "__dict__ and __dir__", dict(__dict__=property(lambda s: {})), may_refuse=True, bad="x")
odd_layer("dict_not_dict", "__dict__ is 5", "__dict__ and __dir__", dict(__dict__=property(lambda s: 5)), may_refuse=True, bad="x")
odd_layer("dir_raises", "__dir__ raises", "__dict__ and __dir__", dict(__dir__=_r("dir")))
odd_layer("dir_odd", "__dir__ gives ints, None and names that do not exist", "__dict__ and __dir__", dict(__dir__=lambda s: ["W", 5, None, "nope", "a\n|b"]))
odd_layer("dir_endless", "__dir__ gives 200,000 names", "__dict__ and __dir__", dict(__dir__=lambda s: [f"n{i}" for i in range(200_000)]))
odd_layer("class_lies", "__class__ says ndarray", "__class__ lies", dict(__class__=property(lambda s: np.ndarray)))
odd_layer("class_int", "__class__ says int", "__class__ lies", dict(__class__=property(lambda s: int)))
odd_layer("class_raises", "__class__ raises", "__class__ lies", dict(__class__=property(_r("class"))), may_refuse=True)
odd_layer("class_module", "__class__ says module", "__class__ lies", dict(__class__=property(lambda s: types.ModuleType)))
odd_layer("property_raises", "properties that raise, also BaseException", "properties", dict(p=property(_r("p")), q=property(_rb("q")), grad=property(_r("grad"))))
odd_layer("property_prints", "a property that prints", "properties", dict(loss=property(lambda s: print("loss asked"))), touches=("stdout",))
odd_layer("property_slow", "a property of 50 ms", "properties", dict(slowp=property(lambda s: time.sleep(0.05))), slow=True)
odd_layer("property_changes", "a property whose reading changes the weights", "properties", dict(step=property(lambda s: s.W.__imul__(1.5))), may_refuse=True)
odd_layer("property_counts", "a property that gives another value each time", "properties", dict(tick=property(lambda s: time.perf_counter())))
odd_layer("property_exits", "a property that calls sys.exit", "properties", dict(die=property(lambda s: sys.exit(9))))
odd_layer("property_forwards", "a property that runs forward on other data (overwrites the cache)", "properties", dict(out=property(lambda s: s.forward(np.ones((4, 3))))), may_refuse=True)
odd_layer("del_raises", "__del__ raises", "__del__", dict(__del__=_r("del")), touches=("stderr",))
odd_layer("del_prints", "__del__ prints", "__del__", dict(__del__=lambda s: print("bye")), touches=("stdout",))
odd_layer("del_wrecks", "__del__ fills the weights with NaN (a copy that shares arrays would hurt)", "__del__", dict(__del__=lambda s: s.W.fill(np.nan)))
odd_layer("setattr_prints", "__setattr__ prints", "__setattr__", lambda k: dict(__setattr__=lambda s, n, v: (print("set", n), object.__setattr__(s, n, v))[1]), touches=("stdout",))
odd_layer("setattr_copies", "__setattr__ stores copies of arrays", "__setattr__", dict(__setattr__=lambda s, n, v: object.__setattr__(s, n, np.array(v))))
odd_layer("delattr_raises", "__delattr__ raises", "__setattr__", dict(__delattr__=_r("delattr")))
odd_layer("deepcopy_raises", "__deepcopy__ raises", "copying", dict(__deepcopy__=_r("deepcopy")))
odd_layer("deepcopy_base", "__deepcopy__ raises a BaseException", "copying", dict(__deepcopy__=_rb("deepcopy")))
odd_layer("deepcopy_self", "__deepcopy__ returns the object itself", "copying", dict(__deepcopy__=lambda s, m: s, __copy__=lambda s: s))
odd_layer("deepcopy_none", "__deepcopy__ returns None", "copying", dict(__deepcopy__=lambda s, m: None))
odd_layer("deepcopy_other", "__deepcopy__ returns a fresh layer with other weights", "copying", dict(__deepcopy__=lambda s, m: _other(s)), may_refuse=True)
odd_layer("deepcopy_shallow", "__deepcopy__ shares the arrays", "copying", dict(__deepcopy__=lambda s, m: _shallow(s)))
odd_layer("reduce_raises", "__reduce_ex__ and __getstate__ raise", "copying", dict(__reduce_ex__=_r("reduce"), __getstate__=_r("getstate")))
odd_layer("reduce_string", "__reduce_ex__ returns a string (copy gives the object itself)", "copying", dict(__reduce_ex__=lambda s, p: "a string"))
odd_layer("setstate_drops", "__setstate__ forgets the weights", "copying", dict(__setstate__=lambda s, d: s.__dict__.update(note="empty")), may_refuse=True)
odd_layer("call_differs", "the layer is callable and __call__ is something else", "callable layers", dict(__call__=lambda s, *a: 42))
odd_layer("array_raises", "__array__ raises", "array protocols", dict(__array__=_r("array"), __array_ufunc__=None))
odd_layer("array_lies", "__array__ gives zeros, shape and dtype lie", "array protocols", dict(__array__=lambda s, *a, **k: np.zeros(3), shape=(3,), dtype=np.dtype(float), ndim=1, size=3))
odd_layer("float_lies", "__float__, __index__ and __int__ defined", "array protocols", dict(__float__=lambda s: 1.0, __index__=lambda s: 1, __int__=lambda s: 1))
odd_layer("sizeof_raises", "__sizeof__ raises", "sizes", dict(__sizeof__=_r("sizeof")))
odd_layer("context_manager", "the layer is a context manager that swallows exceptions", "context managers", dict(__enter__=lambda s: None, __exit__=lambda s, *a: True))
odd_layer("annotations_odd", "__annotations__ and __doc__ are nonsense", "odd dunder attributes", dict(__annotations__=5, __doc__=NoRepr(), __module__=None))
odd_layer("slots_lie", "a class attribute __slots__-like and __match_args__ nonsense", "odd dunder attributes", dict(__match_args__=7, __wrapped__=None, __signature__="no", __name__=3))
odd_layer("wrapped_self", "__wrapped__ is the layer itself", "odd dunder attributes", dict(__wrapped__=property(lambda s: s)))


def _other(s):
    n = type(s)()
    n.W = n.W * 1.7 + 0.1
    return n


def _shallow(s):
    n = object.__new__(type(s))
    n.__dict__.update(s.__dict__)
    return n


# ---------------------------------------------------------------- attributes
def odd_attr(name, why, setter, odd, **kw):
    odd_layer("attr_" + name, why, odd, {}, after=setter, **kw)


def _sa(**kw):
    def f(l):
        for n, v in kw.items():
            setattr(l, n, v())
    return f


def _linked(l):
    class N:
        pass
    head = None
    for _ in range(5000):
        n = N()
        n.next = head
        head = n
    l.head = head


def _selfy(l):
    l.me = l
    l.children = [l, {"parent": l}]
    l.d = {}
    l.d["d"] = l.d
    a = np.empty(2, object)
    a[0], a[1] = a, l
    l.objarr = a
    l.registry = weakref.WeakKeyDictionary()


def _coro():
    async def c():
        pass
    co = c()
    weakref.finalize(co, int)
    return _CloseAtEnd(co)


class _CloseAtEnd:
    def __init__(self, c):
        self.c = c
    def __del__(self):
        self.c.close()


def _intkeys(l):
    l.__dict__[5] = np.ones(2)
    l.__dict__[None] = np.ones((3, 2))
    l.__dict__[("a", 1)] = 1


def _oddnames(l):
    l.__dict__.update({"a|b\n# head": np.ones(2), "\x1b[31mred": np.ones(2), "<b>x</b>": 1.0, "\udcff\ud800": np.ones(2),
                       "\u202eltr": np.ones(2), "": np.ones(2), " ": 1.0, "n" * 10_000: np.ones(2), "1x": 0.5, "W\n": np.ones((3, 2)),
                       "class": np.ones(2), "`code`": np.ones(1), "=cmd()": np.ones(1), "\0": np.ones(1), "{0}": np.ones(1), "%s%n": np.ones(1)})


def _open(l):
    l.f = open(os.devnull, "w")
    weakref.finalize(l, l.f.close)


def _sock(l):
    l.s = socket.socket()
    weakref.finalize(l, l.s.close)


odd_attr("words", "a dict of 100,000 words", _sa(vocab=lambda: {f"word{i}": i for i in range(100_000)}), "very large attributes")
odd_attr("floats", "a list of 100,000 floats", _sa(history=lambda: [float(i) for i in range(100_000)]), "very large attributes")
odd_attr("arrays", "a list of 5,000 arrays", _sa(cache=lambda: [np.ones(10) for _ in range(5000)]), "very large attributes")
odd_attr("arrays_named", "5,000 array attributes", lambda l: [setattr(l, f"t{i}", np.ones(3)) for i in range(5000)], "very large attributes")
odd_attr("array_big", "an array of 4,000,000 floats without gradient", _sa(table=lambda: np.zeros(4_000_000)), "very large attributes")
odd_attr("bytes_big", "bytes of 30 MB", _sa(blob=lambda: b"x" * 30_000_000), "very large attributes")
odd_attr("int_big", "an int of 100,000 digits (str() of it raises)", _sa(n=lambda: 10 ** 100_000), "very large attributes")
odd_attr("linked_list", "linked list of 5,000 nodes: deepcopy recurses too deep", _linked, "deep structures")
odd_attr("nested_lists", "lists nested 5,000 deep", _sa(nest=lambda: _nestn(5000)), "deep structures")
odd_attr("self_references", "the layer, a dict and an object array hold themselves", _selfy, "self-reference")
odd_attr("weakref", "weak references, also dead ones", lambda l: (setattr(l, "r", weakref.ref(l)), setattr(l, "dead", weakref.proxy(_Box()))), "weakrefs")
odd_attr("open_file", "an open file", _open, "uncopyable attributes")
odd_attr("socket", "a socket", _sock, "uncopyable attributes")
odd_attr("lock", "locks, a condition, an event", _sa(l=threading.Lock, r=threading.RLock, c=threading.Condition, e=threading.Event, s=lambda: threading.Semaphore(2)), "uncopyable attributes")
odd_attr("held_lock", "a lock that is held: acquiring it would hang", lambda l: (setattr(l, "lk", threading.Lock()), l.lk.acquire()), "uncopyable attributes")
odd_attr("generator", "a generator and an endless iterator", _sa(g=lambda: (i for i in range(3)), it=itertools.count, cyc=lambda: itertools.cycle([1.0, 2.0])), "uncopyable attributes")
odd_attr("coroutine", "a coroutine object never awaited", _sa(co=_coro), "uncopyable attributes")
odd_attr("modules", "modules, classes, functions, lambdas", _sa(np=lambda: np, sysm=lambda: sys, cls=lambda: int, fn=lambda: len, lam=lambda: (lambda: 0)), "modules and lambdas")
odd_attr("frame_traceback", "a frame and a traceback", _sa(fr=sys._getframe), "uncopyable attributes")
odd_attr("memoryview_mmap", "memoryview, mmap, ctypes pointer", _sa(mv=lambda: memoryview(bytearray(8)), mm=lambda: mmap.mmap(-1, 16), p=lambda: ctypes.pointer(ctypes.c_double(1))), "uncopyable attributes")
odd_attr("sqlite", "an sqlite connection", _sa(db=lambda: sqlite3.connect(":memory:")), "uncopyable attributes")
odd_attr("stdout", "sys.stdout and a logger kept as attributes", _sa(out=lambda: sys.stdout, log=lambda: logging.getLogger("x")), "uncopyable attributes")
odd_attr("thread_local", "threading.local, Thread, Queue, executor", _sa(tl=threading.local, th=lambda: threading.Thread(target=int), q=queue.Queue), "uncopyable attributes")
odd_attr("mp_lock", "multiprocessing lock and value", _sa(ml=lambda: multiprocessing.get_context("fork").Lock(), mv=lambda: multiprocessing.get_context("fork").Value("d", 1.0)), "uncopyable attributes")
odd_attr("contextvar", "ContextVar, mappingproxy, re pattern, Path, partial", _sa(cv=lambda: contextvars.ContextVar("x"), mp=lambda: types.MappingProxyType({}), rx=lambda: re.compile("x"), p=lambda: pathlib.Path("/"), pa=lambda: functools.partial(int)), "modules and lambdas")
odd_attr("collections", "deque(maxlen), defaultdict, ChainMap, Counter, array.array", _sa(dq=lambda: collections.deque([1.0], 2), dd=lambda: collections.defaultdict(lambda: np.ones(2)), cm=lambda: collections.ChainMap({}, {}), ar=lambda: array.array("d", [1.0])), "collections")
odd_attr("closed", "an attribute whose every protocol raises", _sa(c=lambda: Closed(3)), "hostile attributes")
odd_attr("hostile_array", "an array attribute whose ==, bool, repr, len, iter raise, and a lying one", _sa(a=lambda: np.ones(3).view(EqArr), z=lambda: np.ones(3).view(Liar)), "hostile attributes")
odd_attr("mock", "a MagicMock (has every attribute, and iterates)", _sa(m=unittest.mock.MagicMock), "hostile attributes")
odd_attr("norepr", "attributes without repr; an exception; a group", _sa(n=NoRepr, e=StrRaises, g=lambda: ExceptionGroup("g", [StrRaises()])), "hostile attributes")
odd_attr("enum", "enum attributes", _sa(e=lambda: enum.Enum("E", "A B").A, f=lambda: enum.Flag("F", "A B").A), "enum attributes")
odd_attr("dtypes", "structured, datetime, string, object, masked, 0-size, bool arrays", _sa(s=lambda: np.zeros(2, [("a", float)]), d=lambda: np.zeros(2, "M8[D]"), st=lambda: np.array(["a"]), o=lambda: np.array([None, 1]), m=lambda: np.ma.masked_all(3), z=lambda: np.zeros((0, 5)), bo=lambda: np.ones(3, bool), v=lambda: np.zeros(2, "V8")), "odd array attributes")
odd_attr("nan_arrays", "array attributes full of NaN and inf", _sa(a=lambda: np.full(3, np.nan), i=lambda: np.full((3, 2), np.inf)), "odd array attributes")
odd_attr("int_keys", "non-string keys in __dict__ (sorting the names fails)", _intkeys, "names")
odd_attr("names", "attribute names with pipes, newlines, ANSI, HTML, surrogates, RTL, empty, 10,000 long", _oddnames, "names")
odd_attr("shadow_methods", "attributes params, parameters, grads, state_dict, zero_grad, copy that are not what they seem", _sa(params=lambda: 5, parameters=lambda: (lambda: iter(())), grads=lambda: None, state_dict=lambda: "x", zero_grad=lambda: True, named_parameters=lambda: [], copy=lambda: 0), "names")
odd_attr("rng", "an unused Generator, RandomState, Random and SystemRandom", _sa(r=lambda: np.random.default_rng(0), s=lambda: np.random.RandomState(0), p=lambda: random.Random(0), q=random.SystemRandom), "randomness")
odd_attr("gradient_without_param", "dV and dq exist, V and q do not; dW2 exists, W2 a string", _sa(dV=lambda: np.ones(3), dq=lambda: np.ones(2), W2=lambda: "x", dW2=lambda: np.ones(2)), "names", may_refuse=True)
odd_attr("date_like_names", "dt, dim, d, delta, dropout, data: names that begin with d by chance", _sa(dt=lambda: 0.1, t=lambda: 3.0, dim=lambda: 2, im=lambda: np.ones(2), data=lambda: np.ones(3), ata=lambda: np.ones(3), delta=lambda: 0.5, elta=lambda: 1.0), "names", may_refuse=True)


def _nestn(n):
    l = []
    for _ in range(n):
        l = [l]
    return l


# ---------------------------------------------------------------- how parameters are held

def held(name, why, cls, params=(("W", "dW"),), odd="how parameters are held", **kw):
    """cls(k) -> layer instance computing tanh(x @ W) with dW scaled by k."""
    pair("held_" + name, "layer", why, odd, params=params, **kw)(lambda k: (cls(k), lx()))


W0 = lambda: sgn(3, 2, seed=5)


def _held_slots(k):
    class L:
        __slots__ = ("W", "dW", "x", "y", "never_set")
        def __init__(self):
            self.W = W0()
        def forward(self, x):
            self.x, self.y = x, np.tanh(x @ self.W)
            return self.y
        def backward(self, dout):
            d = dout * (1 - self.y ** 2)
            self.dW = k * self.x.T @ d
            return d @ self.W.T
    return L()


def _held_base(k, getW, setg):
    class L:
        def forward(self, x):
            self.x, self.y = x, np.tanh(x @ np.asarray(getW(self), float))
            return self.y
        def backward(self, dout):
            d = dout * (1 - self.y ** 2)
            setg(self, k * self.x.T @ d)
            return d @ np.asarray(getW(self), float).T
    return L


def _held_simple(k, W):
    L = _held_base(k, lambda s: s.W, lambda s, g: setattr(s, "dW", g))()
    L.W = W
    return L


def _held_property(k):
    L = _held_base(k, lambda s: s._w, lambda s, g: setattr(s, "dW", g))
    L.W = property(lambda s: s._w.copy(), lambda s, v: setattr(s, "_w", np.array(v)))
    l = L()
    l._w = W0()
    return l


def _held_logparam(k):
    L = _held_base(k, lambda s: np.exp(s.logW), lambda s, g: setattr(s, "dlogW", g * np.exp(s.logW)))
    L.W = property(lambda s: np.exp(s.logW))
    l = L()
    l.logW = np.log(np.abs(W0()))
    return l


def _held_class(k):
    L = _held_base(k, lambda s: s.W, lambda s, g: setattr(type(s), "dW", g))
    L.W = W0()
    return L()


class _Desc:
    def __set_name__(self, o, n):
        self.n = n
    def __get__(self, o, t=None):
        if o is None:
            raise RuntimeError("only on instances")
        return o.store[self.n]
    def __set__(self, o, v):
        o.store[self.n] = v


def _held_descriptor(k):
    B = _held_base(k, lambda s: s.W, lambda s, g: setattr(s, "dW", g))
    class L(B):
        W, dW = _Desc(), _Desc()
        def __init__(self):
            self.store = {"dW": None}
            self.W = W0()
    return L()


def _held_dicts(k):
    L = _held_base(k, lambda s: s.params["W"], lambda s, g: s.grads.__setitem__("W", g))()
    L.params, L.grads = {"W": W0()}, {}
    return L


def _held_lists(k):
    L = _held_base(k, lambda s: s.params[0], lambda s, g: s.grads.__setitem__(0, g))()
    L.params, L.grads = [W0()], [None]
    return L


def _held_flat(k):
    L = _held_base(k, lambda s: s.W, lambda s, g: s.dW.__setitem__(Ellipsis, g))()
    L.flat, L.dflat = W0().ravel().copy(), np.zeros(6)
    L.W, L.dW = L.flat.reshape(3, 2), L.dflat.reshape(3, 2)
    return L


def _held_mangled(k):
    class L:
        def __init__(self):
            self.__W = W0()
        def forward(self, x):
            self.__x, self.__y = x, np.tanh(x @ self.__W)
            return self.__y
        def backward(self, dout):
            d = dout * (1 - self.__y ** 2)
            self.__dW = self.__x.T @ d
            return k * d @ self.__W.T
    return L()


def _held_tied(k):
    class L:
        def __init__(self):
            self.W = W0()
            self.V = self.W
        def forward(self, x):
            self.x = x
            self.h = np.tanh(x @ self.W)
            self.y = np.tanh(self.h @ self.V.T)
            return self.y
        def backward(self, dout):
            e = dout * (1 - self.y ** 2)
            dh = e @ self.V * (1 - self.h ** 2)
            self.dW = k * (self.x.T @ dh + e.T @ self.h)
            return dh @ self.W.T
    return L()


def _held_param_object(k):
    class Param:
        def __init__(self, v):
            self.value, self.data, self.grad = v, v, None
    def setg(s, g):
        s.W.grad = g
    l = _held_base(k, lambda s: s.W.value, setg)()
    l.W = Param(W0())
    return l


def _held_sub(k):
    """an ndarray subclass parameter carrying .grad"""
    class P(np.ndarray):
        pass
    def setg(s, g):
        s.W.grad = g
        s.dW = g
    l = _held_base(k, lambda s: np.asarray(s.W), setg)()
    l.W = W0().view(P)
    return l


def _held_scalar(k):
    class L:
        def __init__(self):
            self.a, self.da = 1.4, 0.0
        def forward(self, x):
            self.x = x
            return np.sin(self.a * x)
        def backward(self, dout):
            d = dout * np.cos(self.a * self.x)
            self.da = float(k * np.sum(d * self.x))
            return d * self.a
    return L()


def _held_nested(k):
    inner = dense(k, "W")
    class Net:
        def __init__(self):
            self.layers = [inner()]
            self.first = self.layers[0]
        def forward(self, x):
            return self.layers[0].forward(x)
        def backward(self, d):
            return self.layers[0].backward(d)
    return Net()


def _held_unused(k):
    l = dense(k, "W")()
    l.U, l.dU = np.ones((2, 5)), np.zeros((2, 5))
    return l


def _held_nested_unused(k):
    l = dense(1.0)()
    l.U, l.dU = np.ones((2, 5)), np.full((2, 5), k - 1.0)
    return l


def _held_partial_bad(k):
    l = dense(k, "b")()
    return l


def _held_namechange(k):
    L = _held_base(k, lambda s: s.weight, lambda s, g: setattr(s, "weight_grad", g))()
    L.weight = W0()
    return L


def _held_newarray(k):
    """forward rebinds W to a copy of itself each time: references kept from before go stale."""
    def get(s):
        s.W = s.W.copy()
        return s.W
    L = _held_base(k, get, lambda s, g: setattr(s, "dW", g))()
    L.W = W0()
    return L


def _held_projected(k):
    """forward normalises from V; W is derived in forward and overwritten."""
    class L:
        def __init__(self):
            self.V = np.abs(W0())
        def forward(self, x):
            self.x = x
            self.W = self.V ** 2
            self.y = np.tanh(x @ self.W)
            return self.y
        def backward(self, dout):
            d = dout * (1 - self.y ** 2)
            self.dV = k * (self.x.T @ d) * 2 * self.V
            return d @ self.W.T
    return L()


held("slots", "__slots__, no __dict__, one slot never set", _held_slots, odd="__slots__")
held("list", "W is a nested list", lambda k: _held_simple(k, W0().tolist()), params=((lambda l: l.W, lambda l, a: setattr(l, "W", a), lambda l: l.dW),), may_refuse=True)
held("readonly", "W is read-only", lambda k: _held_simple(k, _ro(W0())))
held("memmap", "W is a read-only memmap", lambda k: _held_simple(k, _npy()))
held("fortran", "W in Fortran order", lambda k: _held_simple(k, np.asfortranarray(W0())))
held("negstride", "W with negative strides", lambda k: _held_simple(k, W0()[::-1]))
held("float32", "W is float32", lambda k: _held_simple(k, W0().astype(np.float32)), tol=2e-2, h=1e-2)
held("matrix", "W is an np.matrix", lambda k: _held_simple(k, np.asmatrix(W0())), may_refuse=True)
held("masked", "W a masked array, nothing masked", lambda k: _held_simple(k, np.ma.array(W0())), may_refuse=True)
held("object", "W has dtype object", lambda k: _held_simple(k, W0().astype(object)), may_refuse=True)
held("property_copy", "W is a property that returns a copy and has a setter", _held_property)
held("log_parameter", "W = exp(logW) is a derived property without setter; logW is the parameter", _held_logparam, params=(("logW", "dlogW"),))
held("class_attribute", "W and dW are class attributes", _held_class, odd="class attributes")
held("descriptor", "W and dW are data descriptors storing in a dict", _held_descriptor, odd="descriptors")
held("dicts", "params and grads are dicts", _held_dicts, params=((lambda l: l.params["W"], lambda l, a: l.params.__setitem__("W", a), lambda l: l.grads["W"]),), may_refuse=True)
held("lists", "params and grads are lists", _held_lists, params=((lambda l: l.params[0], lambda l, a: l.params.__setitem__(0, a), lambda l: l.grads[0]),), may_refuse=True)
held("flat_views", "W and dW are views of flat buffers; dW written in place", _held_flat, params=((lambda l: l.W, lambda l, a: l.W.__setitem__(Ellipsis, a), lambda l: l.dW),))
held("name_mangled", "everything in __private names (dx wrong in the wrong case)", _held_mangled, params=())
held("tied", "V is the same array as W; dW holds both contributions", _held_tied, params=((lambda l: l.W, lambda l, a: l.W.__setitem__(Ellipsis, a), lambda l: l.dW),), may_refuse=True)
held("param_object", "W is an object with .value and .grad", _held_param_object, params=((lambda l: l.W.value, lambda l, a: setattr(l.W, "value", a), lambda l: l.W.grad),), may_refuse=True)
held("array_with_grad", "W is an ndarray subclass with .grad", _held_sub)
held("python_float", "the parameter is a Python float", _held_scalar, params=(("a", "da"),))
held("nested_layer", "the parameters are in a sublayer reached twice", _held_nested, params=((lambda l: l.first.W, lambda l, a: setattr(l.first, "W", a), lambda l: l.first.dW),), may_refuse=True)
held("unused", "another parameter U is unused, dU zero", _held_unused, params=WB)
held("unused_nonzero", "an unused parameter U; in the wrong case dU is 0.3", _held_nested_unused, params=(("U", "dU"),) + WB)
held("bias_only", "only db is wrong in the wrong case", _held_partial_bad, params=WB)
held("weight_grad", "named weight and weight_grad", _held_namechange, params=(("weight", "weight_grad"),), may_refuse=True)
held("rebinding", "forward rebinds W to a copy of itself", _held_newarray)
held("derived_in_forward", "W = V**2 computed in forward; only V, dV are a parameter", _held_projected, params=(("V", "dV"),))


def _npy():
    fd, p = tempfile.mkstemp(suffix=".npy")
    os.close(fd)
    np.save(p, W0())
    m = np.lib.format.open_memmap(p, "r")
    os.unlink(p)
    return m


@add("held_dW_transposed", "layer", "wrong", "dW has the shape of W.T", "how parameters are held", params=(("W", "dW"),))
def _():
    L = _held_base(1.0, lambda s: s.W, lambda s, g: setattr(s, "dW", g.T))()
    L.W = W0()
    return L, lx()


@add("held_dW_nan", "layer", "wrong", "dW is NaN", "how parameters are held", params=(("W", "dW"),))
def _():
    return _held_simple(np.nan, W0()), lx()


@add("held_dW_stale", "layer", "wrong", "dW is never updated after __init__ (zeros)", "how parameters are held", params=(("W", "dW"),))
def _():
    L = _held_base(1.0, lambda s: s.W, lambda s, g: None)()
    L.W, L.dW = W0(), np.zeros((3, 2))
    return L, lx()


@add("held_dW_mean", "layer", "wrong", "dW divided by the batch size", "how parameters are held", params=(("W", "dW"),))
def _():
    return _held_simple(0.25, W0()), lx()


# ---------------------------------------------------------------- what the layer is
def _fw(W):
    def forward(x):
        return np.tanh(x @ W)
    return forward


def what(name, why, build, params=(), odd="what the layer is", **kw):
    """build(k) -> layer with dx scaled by k."""
    pair("is_" + name, "layer", why, odd, params=params, **kw)(lambda k: (build(k), lx()))


def _state(k):
    """forward, backward as closures; parameter w in a dict s."""
    s = {"W": W0()}
    def forward(x):
        s["x"], s["y"] = x, np.tanh(x @ s["W"])
        return s["y"]
    def backward(dout):
        d = dout * (1 - s["y"] ** 2)
        s["dW"] = s["x"].T @ d
        return k * d @ s["W"].T
    return forward, backward, s


def _is_namespace(k):
    f, b, s = _state(k)
    return types.SimpleNamespace(forward=f, backward=b)


def _is_module(k):
    m = types.ModuleType("layer|module\n")
    exec(compile("import numpy as np\n"
                 "def forward(x):\n  global X, Y\n  X, Y = x, np.tanh(x @ W)\n  return Y\n"
                 "def backward(dout):\n  global dW\n  d = dout * (1 - Y ** 2)\n  dW = X.T @ d\n  return K * d @ W.T\n", "<mod>", "exec"), m.__dict__)
    m.W, m.dW, m.K = W0(), np.zeros((3, 2)), k
    return m


def _is_class(k):
    class L:
        W = W0()
        @classmethod
        def forward(cls, x):
            cls.x, cls.y = x, np.tanh(x @ cls.W)
            return cls.y
        @classmethod
        def backward(cls, dout):
            d = dout * (1 - cls.y ** 2)
            cls.dW = cls.x.T @ d
            return k * d @ cls.W.T
    return L


def _is_namedtuple(k):
    f, b, s = _state(k)
    T = collections.namedtuple("T", "forward backward s")
    return T(f, b, s)


def _is_frozen(k):
    @dataclasses.dataclass(frozen=True)
    class L:
        W: np.ndarray = dataclasses.field(default_factory=W0)
        cache: dict = dataclasses.field(default_factory=dict)
        @property
        def dW(self):
            return self.cache["dW"]
        def forward(self, x):
            self.cache["x"], self.cache["y"] = x, np.tanh(x @ self.W)
            return self.cache["y"]
        def backward(self, dout):
            d = dout * (1 - self.cache["y"] ** 2)
            self.cache["dW"] = self.cache["x"].T @ d
            return k * d @ self.W.T
    return L()


def _is_frozen_slots(k):
    @dataclasses.dataclass(frozen=True, slots=True)
    class L:
        W: np.ndarray = dataclasses.field(default_factory=W0)
        cache: list = dataclasses.field(default_factory=lambda: [None, None])
        def forward(self, x):
            self.cache[:] = x, np.tanh(x @ self.W)
            return self.cache[1]
        def backward(self, dout):
            return k * (dout * (1 - self.cache[1] ** 2)) @ self.W.T
    return L()


def _is_enum(k):
    f, b, s = _state(k)
    class E(enum.Enum):
        LAYER = 1
        OTHER = 2
        def forward(self, x):
            return f(x)
        def backward(self, d):
            return b(d)
    return E.LAYER


def _is_sub(base, *a, **members):
    def build(k):
        f, b, s = _state(k)
        T = type("T", (base,), dict(forward=lambda self, x: f(x), backward=lambda self, d: b(d), **members))
        return T(*a)
    return build


def _is_ndarray(k):
    f, b, s = _state(k)
    class T(np.ndarray):
        def forward(self, x):
            return f(x)
        def backward(self, d):
            return b(d)
    return np.ones(3).view(T)


_PROXIED = collections.deque(maxlen=400)


def _is_proxy(k):
    l = dense(k)()
    _PROXIED.append(l)
    return weakref.proxy(l)


def _is_meta(k):
    class M(type):
        def __getattribute__(cls, n):
            if n in ("__dict__", "__mro__", "__slots__", "__annotations__"):
                raise RuntimeError("type." + n)
            return type.__getattribute__(cls, n)
        def __repr__(cls):
            raise RuntimeError("repr of type")
        def __instancecheck__(cls, o):
            raise RuntimeError("isinstance")
        def __dir__(cls):
            raise RuntimeError("dir of type")
        def __eq__(cls, o):
            raise RuntimeError("eq of type")
        __hash__ = None
        def __call__(cls, *a):
            if M.made:
                raise RuntimeError("one instance only")
            M.made = True
            return type.__call__(cls)
        made = False
    return M("Odd", (dense(k),), {})()


def _is_singleton(k):
    B = dense(k)
    class S(B):
        one = None
        def __new__(cls, *a):
            if S.one is None:
                S.one = super().__new__(cls)
            return S.one
    return S()


def _is_needs_init(k):
    B = dense(k)
    class S(B):
        def __new__(cls, secret):
            if secret != 7:
                raise RuntimeError("secret")
            return super().__new__(cls)
        def __init__(self, secret):
            super().__init__()
    return S(7)


def _is_abc(k):
    class A(abc.ABC):
        @abc.abstractmethod
        def forward(self, x): ...
        @abc.abstractmethod
        def backward(self, d): ...
    return type("C", (dense(k), A), {})()


T_ = typing.TypeVar("T_")


def _is_generic(k):
    class G(dense(k), typing.Generic[T_]):
        pass
    return G[int]()


def _is_deep_mro(k):
    C = dense(k)
    for i in range(150):
        C = type(f"C{i}", (C,), {"forward": lambda self, x, C=C: C.forward(self, x)})
    return C()


def _is_static(k):
    f, b, s = _state(k)
    class L:
        forward = staticmethod(f)
        backward = staticmethod(b)
    return L()


def _is_partials(k):
    f, b, s = _state(k)
    class L:
        pass
    l = L()
    l.forward = functools.partial(lambda s_, x: f(x), None)
    l.backward = functools.partial(b)
    return l


def _is_partialmethod(k):
    class L(dense(k)):
        def _go(self, mode, v):
            return super().forward(v) if mode == "f" else super().backward(v)
        forward = functools.partialmethod(_go, "f")
        backward = functools.partialmethod(_go, "b")
    return L()


def _is_method_property(k):
    class L(dense(k)):
        pass
    F, B = L.forward, L.backward
    L.forward = property(lambda s: (lambda x: F(s, x)))
    L.backward = property(lambda s: (lambda d: B(s, d)))
    return L()


def _is_getattr_only(k):
    """forward and backward exist only through __getattr__."""
    inner = dense(k)()
    class P:
        def __getattr__(self, n):
            if n.startswith("__"):
                raise AttributeError(n)
            return getattr(inner, n)
    return P()


def _is_mock(k):
    return unittest.mock.MagicMock(wraps=dense(k)())


def _is_callable_objects(k):
    f, b, s = _state(k)
    class Call:
        def __init__(self, fn):
            self.fn = fn
        def __call__(self, *a):
            return self.fn(*a)
        def __getattr__(self, n):
            raise RuntimeError("attribute " + n)
        def __repr__(self):
            raise RuntimeError("repr")
    return types.SimpleNamespace(forward=Call(f), backward=Call(b))


def _is_varargs(k):
    class L(dense(k)):
        def forward(self, *args, **kwargs):
            return super().forward(args[0])
        def backward(self, *args, **kwargs):
            return super().backward(*args)
    return L()


def _is_many_defaults(k):
    class L(dense(k)):
        def forward(self, x, training=True, mask=None, *, verbose=False):
            return super().forward(x)
    return L()


def _is_torchlike(k):
    class L(dense(k)):
        training = True
        def __call__(self, x):
            return self.forward(x)
        def parameters(self):
            yield self.W
            yield self.b
        def zero_grad(self):
            self.dW[...] = 0
            self.db[...] = 0
        def train(self, mode=True):
            raise RuntimeError("do not call train")
        eval = train
        def reset(self):
            self.W[...] = 0
        step = update = reset
    return L()


def _is_thread(k):
    f, b, s = _state(k)
    class T(threading.Thread):
        def forward(self, x):
            return f(x)
        def backward(self, d):
            return b(d)
    return T()


def _is_weird_type_name(k):
    T = type("L|a\n\x1b[31m<b>", (dense(k),), {})
    T.__qualname__ = "\udcff" + "q" * 5000
    T.__module__ = "\u202emod"
    return T()


what("namespace", "SimpleNamespace with closures", _is_namespace)
what("module", "a module with functions forward, backward and globals W, dW", _is_module, params=(("W", "dW"),))
what("class", "a class itself with class methods", _is_class, params=(("W", "dW"),), may_refuse=True)
what("namedtuple", "a named tuple with functions", _is_namedtuple)
what("frozen_dataclass", "frozen dataclass, cache in a dict, dW a property", _is_frozen, params=((lambda l: l.W, lambda l, a: object.__setattr__(l, "W", a), lambda l: l.dW),))
what("frozen_slots", "frozen dataclass with slots", _is_frozen_slots)
what("enum_member", "an enum member", _is_enum)
what("dict", "a dict subclass", _is_sub(dict))
what("list", "a list subclass", _is_sub(list, [1.0, 2.0]))
what("tuple", "a tuple subclass", _is_sub(tuple, (1.0, 2.0)))
what("int", "an int subclass", _is_sub(int, 0))
what("str", "a str subclass", _is_sub(str, "a|b"))
what("float", "a float subclass, NaN", _is_sub(float, "nan"))
what("exception", "an exception instance", _is_sub(RuntimeError, "I am a layer"))
what("type_metaclass", "metaclass whose attributes, isinstance, repr, dir raise", _is_meta, odd="metaclasses", may_refuse=True)
what("ndarray", "an ndarray subclass", _is_ndarray)
what("io", "a StringIO subclass", _is_sub(io.StringIO))
what("thread", "a Thread subclass that is never started", _is_thread)
what("weak_proxy", "a weakref.proxy to a layer", _is_proxy)
what("singleton", "__new__ always gives the same object", _is_singleton, params=WB)
what("needs_argument", "__new__ needs a secret argument (naive copying fails)", _is_needs_init, params=WB)
what("abc", "abstract base class", _is_abc, params=WB, odd="inheritance")
what("generic", "typing.Generic instance (has __orig_class__)", _is_generic, params=WB, odd="inheritance")
what("deep_mro", "150 levels of inheritance, each calling the next", _is_deep_mro, odd="inheritance")
what("static_methods", "forward and backward are static methods", _is_static)
what("partials", "forward and backward are functools.partial attributes", _is_partials, odd="functools.partial")
what("partialmethod", "functools.partialmethod", _is_partialmethod, params=WB, odd="functools.partial")
what("method_property", "forward and backward are properties giving closures", _is_method_property, params=WB, odd="descriptors")
what("getattr_only", "everything through __getattr__ of a wrapper", _is_getattr_only)
what("mock_wraps", "MagicMock(wraps=layer)", _is_mock, may_refuse=True)
what("callable_objects", "forward is an object whose attributes and repr raise", _is_callable_objects, odd="callable objects")
what("varargs", "forward(*args, **kwargs)", _is_varargs, params=WB)
what("defaults", "forward with further defaulted arguments", _is_many_defaults, params=WB)
what("torchlike", "parameters(), zero_grad, train (raises), reset and step that destroy the weights", _is_torchlike, params=WB)
what("type_name", "type name with pipe, newline, ANSI, HTML, surrogate; 5,000 long", _is_weird_type_name, params=WB, odd="names")


@pair("two_inputs", "layer", "two inputs; backward returns a tuple", "several inputs")
def _(k):
    class L:
        def forward(self, a, b):
            self.a, self.b = a, b
            return np.sin(a) * b
        def backward(self, d):
            return d * np.cos(self.a) * self.b, k * d * np.sin(self.a)
    return L(), sgn(3), sgn(3, seed=2)


@pair("two_inputs_list", "layer", "two inputs; backward returns a list", "several inputs", may_refuse=True)
def _(k):
    class L:
        def forward(self, a, b):
            self.a, self.b = a, b
            return np.sin(a) * b
        def backward(self, d):
            return [d * np.cos(self.a) * self.b, k * d * np.sin(self.a)]
    return L(), sgn(3), sgn(3, seed=2)


@pair("embedding", "layer", "an integer input that has no gradient; backward returns None for it", "several inputs", may_refuse=True, nocheck="integer input")
def _(k):
    class Emb:
        def __init__(self):
            self.W = sgn(5, 2)
        def forward(self, i):
            self.i = i
            return self.W[i]
        def backward(self, d):
            self.dW = np.zeros_like(self.W)
            np.add.at(self.dW, self.i, d * k)
            return None
    return Emb(), np.array([0, 3, 3, 1])


for _n, _b in [("no_backward", lambda: types.SimpleNamespace(forward=lambda x: x)), ("no_forward", lambda: types.SimpleNamespace(backward=lambda d: d)),
               ("none", lambda: None), ("int", lambda: 5), ("string", lambda: "layer"), ("array", lambda: np.ones(3)), ("class_not_instance", lambda: dense()),
               ("function", lambda: np.tanh), ("norepr", NoRepr), ("closed", lambda: Closed(1)), ("mock", unittest.mock.MagicMock),
               ("forward_not_callable", lambda: types.SimpleNamespace(forward=5, backward=6)),
               ("forward_property_raises", lambda: type("L", (), dict(forward=property(_rb("forward")), backward=property(_rb("backward"))))()),
               ("needs_keyword", lambda: type("L", (), dict(forward=lambda s, x, *, t: x, backward=lambda s, d: d))()),
               ("too_few_args", lambda: type("L", (), dict(forward=lambda s: 1.0, backward=lambda s, d: d))()),
               ("backward_no_args", lambda: type("L", (), dict(forward=lambda s, x: x * 2, backward=lambda s: None))()),
               ("dead_proxy", lambda: weakref.proxy(_Box())), ("abstract_class", lambda: abc.ABC),
               ("async", lambda: _async_layer())]:
    add("bad_layer_" + _n, "layer", "unusable", "no usable layer: " + _n, "unusable layers")(lambda _b=_b: (_b(), lx()))


def _async_layer():
    class L:
        async def forward(self, x):
            return x
        async def backward(self, d):
            return d
    return L()


@add("bad_layer_no_inputs", "layer", "unusable", "check_layer without inputs, forward needs one", "unusable layers")
def _():
    return (dense()(),)


@add("bad_layer_wrong_shape", "layer", "unusable", "input shape does not fit the weights", "unusable layers")
def _():
    return dense()(), sgn(4, 7)


# ============================================================================ 8. odd callables
def callable_pair(name, why, wrap, odd="odd callables", kind="gradient", **kw):
    """wrap(fn) is applied to both functions."""
    def make(k):
        if kind == "gradient":
            f, g = sg(k)
            return wrap(f), wrap(g), sgn(4)
        f, b = tv(k)
        return wrap(f), wrap(b), tp()
    pair("fn_" + name, kind, why, odd, **kw)(make)


class CallOnly:
    """Callable; each other attribute raises."""
    __slots__ = ("fn",)
    def __init__(self, fn):
        object.__setattr__(self, "fn", fn)
    def __call__(self, *a):
        return object.__getattribute__(self, "fn")(*a)
    def __getattribute__(self, n):
        raise RuntimeError("attribute " + n)
    def __repr__(self):
        raise RuntimeError("repr")
    def __eq__(self, o):
        raise RuntimeError("eq")
    __hash__ = None
    def __bool__(self):
        raise RuntimeError("bool")


class CallBase(CallOnly):
    __slots__ = ()
    def __getattribute__(self, n):
        raise DerivedBase("attribute " + n)


class Jit:
    """Looks like a compiled function: specialises on the first dtype and shape."""
    def __init__(self, fn):
        self.__wrapped__ = fn
        self.sig = None
    def __call__(self, *a):
        s = tuple((getattr(v, "dtype", None), getattr(v, "shape", None)) for v in a)
        if self.sig is None:
            time.sleep(0.02)
            self.sig = s
        elif s != self.sig:
            raise TypeError(f"compiled for {self.sig}, called with {s}")
        return self.__wrapped__(*a)


class JitSlots:
    __slots__ = ("fn",)
    def __init__(self, fn):
        self.fn = fn
    def __call__(self, *a, **k):
        return self.fn(*a, **k)


def _named(n, **attrs):
    def wrap(fn):
        def w(*a, **k):
            return fn(*a, **k)
        w.__name__ = n
        w.__qualname__ = n
        for key, v in attrs.items():
            setattr(w, key, v)
        return w
    return wrap


class NameRaises(JitSlots):
    __slots__ = ()
    @property
    def __name__(self):
        raise RuntimeError("name")
    @property
    def __doc__(self):
        raise RuntimeError("doc")
    @property
    def __signature__(self):
        raise DerivedBase("signature")
    @property
    def __wrapped__(self):
        raise RuntimeError("wrapped")
    @property
    def __code__(self):
        raise RuntimeError("code")
    @property
    def __module__(self):
        raise RuntimeError("module")


class NameNotStr(JitSlots):
    __slots__ = ()
    __name__ = 17
    __qualname_ = None


def _wrapself(fn):
    w = _named("w")(fn)
    w.__wrapped__ = w
    return w


def _cext(fn):
    """through a ctypes callback taking a py_object"""
    P = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)
    c = P(fn)
    return lambda x: c(x)


def _execd(fn):
    ns = {"fn": fn}
    exec(compile("def a(*v):\n  return fn(*v)", "/nonexistent/\n|<x>.py", "exec"), ns)
    return ns["a"]


def _deco50(fn):
    for _ in range(50):
        fn = functools.wraps(fn)(lambda *a, _f=fn: _f(*a))
    return fn


def _badsig(fn):
    w = _named("badsig")(fn)
    w.__signature__ = "not a signature"
    return w


def _bound(fn):
    class O:
        def m(self, *a):
            return fn(*a)
        def __repr__(self):
            raise RuntimeError("repr of the bound object")
    return O().m


callable_pair("call_only", "callable object whose every attribute raises", CallOnly, "callable objects")
callable_pair("call_only_vjp", "callable object whose every attribute raises", CallOnly, "callable objects", "vjp")
callable_pair("call_base", "every attribute raises a BaseException", CallBase, "callable objects")
callable_pair("jit", "compiled-like: fixed to the dtype and shape of the first call", Jit, "jitted-like wrappers")
callable_pair("jit_vjp", "compiled-like: fixed to dtype and shape", lambda f: Jit(f), "jitted-like wrappers", "vjp")
callable_pair("no_name", "callable without __name__", JitSlots, "names")
callable_pair("name_raises", "__name__, __doc__, __signature__, __wrapped__, __module__ raise", NameRaises, "names", "vjp")
callable_pair("name_not_str", "__name__ is an int", NameNotStr, "names")
callable_pair("name_newline_pipe", "__name__ with newline and pipe", _named("a|b\n# heading\n|---|"), "names", "vjp")
callable_pair("name_ansi_html", "__name__ with ANSI escapes and HTML", _named("\x1b[2J\x1b[31m<script>alert(1)</script>"), "names")
callable_pair("name_surrogate", "__name__ with a lone surrogate: cannot be encoded", _named("caf\udce9"), "names", "vjp")
callable_pair("name_rtl", "__name__ in right-to-left text with override", _named("\u202e\u05d0\u05d1\u05d2 abc\u2066"), "names")
callable_pair("name_long", "__name__ of 1,000,000 characters", _named("n" * 1_000_000), "names")
callable_pair("name_empty_nul", "__name__ is NUL", _named("\0"), "names", "vjp")
callable_pair("name_format", "__name__ with format and percent directives", _named("{0.__class__} %s %n {x!r}"), "names")
callable_pair("doc_lies", "__doc__ and __annotations__ are objects", _named("f", __doc__=NoRepr(), __annotations__={"x": NoRepr()}, __module__=None), "names")
callable_pair("wrapped_self", "__wrapped__ is itself: unwrapping does not end", _wrapself, "odd callables", "vjp")
callable_pair("bad_signature", "__signature__ is a string", _badsig, "odd callables", "vjp")
callable_pair("partial", "functools.partial", lambda f: functools.partial(f), "functools.partial", "vjp")
callable_pair("partial_keyword", "partial with a keyword swallowed by a lambda", lambda f: functools.partial(lambda *a, q, f=f: f(*a), q=3), "functools.partial")
callable_pair("bound_method", "bound method of an object without repr", _bound, "bound methods", "vjp")
callable_pair("builtin_call", "method-wrapper: f.__call__", lambda f: f.__call__, "C functions", "vjp")
callable_pair("ctypes_callback", "through a ctypes callback", _cext, "ctypes")
callable_pair("exec", "exec'd code without source", _execd, "odd callables", "vjp")
callable_pair("decorated_50", "50 nested functools.wraps decorators", _deco50, "odd callables", "vjp")
callable_pair("singledispatch", "functools.singledispatch", functools.singledispatch, "odd callables")
callable_pair("cached_unhashable", "lru_cache keyed on a tuple of the values", lambda f: (lambda x, c=functools.lru_cache(None)(lambda t: f(np.array(t))): c(tuple(x))), "caches")
callable_pair("class_as_f", "f is a class; calling it builds the result through __new__", lambda f: type("F", (), {"__new__": lambda cls, x: f(x)}), "odd callables")
callable_pair("mock_side_effect", "MagicMock with side_effect (records every call and argument)", lambda f: unittest.mock.MagicMock(side_effect=f), "odd callables", "vjp")
callable_pair("np_vectorised_frompyfunc", "np.errstate as decorator", np.errstate(all="raise"), "odd callables", "vjp")
callable_pair("warning_catcher", "each call enters catch_warnings and resets the filters", lambda f: (lambda *a: _catch(f, *a)), "changes process state")
callable_pair("redirect", "each call redirects stdout inside", lambda f: (lambda *a: _redir(f, *a)), "changes process state", "vjp")


def _catch(f, *a):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        return f(*a)


def _redir(f, *a):
    with contextlib.redirect_stdout(io.StringIO()):
        print("hidden")
        return f(*a)


for _n, _f, _g, _x in [("np_sum", np.sum, np.ones_like, lambda: sgn(4)), ("builtin_sum", sum, np.ones_like, lambda: sgn(4)),
                       ("fsum", math.fsum, np.ones_like, lambda: sgn(4)), ("add_reduce", np.add.reduce, np.ones_like, lambda: sgn(4)),
                       ("norm", np.linalg.norm, lambda x: x / np.linalg.norm(x), lambda: sgn(4)),
                       ("methodcaller", operator.methodcaller("sum"), operator.methodcaller("__pow__", 0), lambda: sgn(4)),
                       ("math_sin", math.sin, np.cos, lambda: np.array(0.7)), ("np_sin_0d", np.sin, np.cos, lambda: np.array(0.7)),
                       ("math_prod", math.prod, lambda x: np.prod(x) / x, lambda: sgn(4)),
                       ("logdet", lambda x: np.linalg.slogdet(x)[1], lambda x: np.linalg.inv(x).T, lambda: sgn(3, 3) + 3 * np.eye(3))]:
    add("c_" + _n + "_right", "gradient", "right", "C or builtin function: " + _n, "C functions")(lambda _f=_f, _g=_g, _x=_x: (_f, _g, _x()))
    add("c_" + _n + "_wrong", "gradient", "wrong", "C or builtin function: " + _n, "C functions")(lambda _f=_f, _g=_g, _x=_x: (_f, (lambda x: BAD * _g(x)), _x()))


@pair("ctypes_libm", "vjp", "forward calls libm's tanh through ctypes element by element", "ctypes")
def _(k):
    lib = ctypes.CDLL(ctypes.util.find_library("m") or "libm.so.6")
    lib.tanh.restype, lib.tanh.argtypes = ctypes.c_double, [ctypes.c_double]
    def forward(x):
        y = np.array([lib.tanh(float(v)) for v in x.ravel()]).reshape(x.shape)
        return y, y
    return forward, lambda y, g: (k * g * (1 - y * y),), (sgn(2, 3),)


@pair("ctypes_pointer", "gradient", "f reads x through its raw pointer (needs contiguous float64)", "ctypes")
def _(k):
    def f(x):
        p = x.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
        return math.fsum((i + 1) * math.sin(p[i]) for i in range(x.size))
    return f, sg(k)[1], sgn(4)


# ---------------------------------------------------------------- settings
def with_settings(name, why, settings, truth_pair=True, **kw):
    def make(k):
        def forward(x, **kwargs):
            return np.sin(x), x
        return forward, lambda x, g: (k * g * np.cos(x),), (sgn(3),), settings()
    pair("settings_" + name, "vjp", why, "settings", **kw)(make)


with_settings("odd_names", "keyword names with newline, pipe, ANSI, surrogate, 10,000 long", lambda: {"a|b\n": 1, "\x1b[31m": 2, "\udcff": 3, "n" * 10_000: 4, "": 5})
with_settings("hostile_values", "setting values whose repr, ==, bool, copy raise", lambda: {"a": Closed(1), "b": NoRepr(), "c": np.ones(2).view(EqArr)})
with_settings("uncopyable", "a lock, generator, module and file among the settings", lambda: {"l": threading.Lock(), "g": (i for i in ()), "m": math, "f": sys.stdout})
with_settings("array_values", "float arrays among the settings (not to be differentiated)", lambda: {"w": np.ones(3), "t": 0.5})
with_settings("mappingproxy", "settings is a mappingproxy", lambda: types.MappingProxyType({"a": 1}), may_refuse=True)
with_settings("self_reference", "settings holds itself", lambda: (lambda d: d.update(d=d) or d)({}))
with_settings("names_of_tool", "keyword names a tool may use itself", lambda: {"primals": 1, "settings": 2, "g": 3, "residuals": 4, "rtol": 5, "seed": 6, "eps": 7, "self": 8, "forward": 9, "backward": 10})


@pair("settings_list_grows", "vjp", "forward appends to a list among the settings", "settings")
def _(k):
    def forward(x, log):
        log.append(float(x[0]))
        return np.sin(x), x
    return forward, lambda x, g: (k * g * np.cos(x),), (sgn(3),), {"log": []}


@pair("settings_pops", "vjp", "forward pops its setting from a dict inside (second call would fail without a copy)", "settings", may_refuse=True)
def _(k):
    def forward(x, opts):
        s = opts.pop("scale")
        return s * np.sin(x), (x, s)
    return forward, lambda r, g: (k * r[1] * g * np.cos(r[0]),), (sgn(3),), {"opts": {"scale": 2.0}}


for _n, _s in [("int_keys", lambda: {1: 2}), ("not_mapping", lambda: 5), ("unknown", lambda: {"nope": 1}), ("string", lambda: "ab"), ("hostile", NoRepr)]:
    add("settings_bad_" + _n, "vjp", "unusable", "settings cannot be passed on: " + _n, "settings")(
        lambda _s=_s: (lambda x: (np.sin(x), x), lambda x, g: (g * np.cos(x),), (sgn(3),), _s()))

for _n, _p in [("none", lambda: None), ("int", lambda: 5), ("array_not_tuple", lambda: sgn(2)), ("string", lambda: "ab"),
               ("dict", lambda: {"x": sgn(3)}), ("hostile", lambda: (NoRepr(),)), ("none_inside", lambda: (None,)), ("many", lambda: range(100_000))]:
    add("primals_bad_" + _n, "vjp", "unusable", "primals are no tuple of arrays: " + _n, "unusable inputs")(
        lambda _p=_p: (lambda x: (np.sin(x), x), lambda x, g: (g * np.cos(x),), _p()))

for _n, _p in [("list", lambda: [sgn(3)]), ("generator", lambda: (a for a in (sgn(3),))), ("set", lambda: {1.0}), ("deque", lambda: collections.deque([sgn(3)])),
               ("stacked", lambda: sgn(1, 3))]:
    pair("primals_" + _n, "vjp", "primals are a " + _n + " rather than a tuple", "kinds of primals", may_refuse=True)(
        lambda k, _p=_p: (lambda x: (np.sin(x), x), lambda x, g: (k * g * np.cos(x),), _p()))

_names = [c.name for c in CASES]
assert len(set(_names)) == len(_names), [n for n in _names if _names.count(n) > 1]
