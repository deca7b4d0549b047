"""The figures of a request, the file that keeps them, and what is wrong with new ones."""
import collections
import ctypes
import ctypes.util
import pathlib
import platform
import re
import subprocess

EXPECTED = pathlib.Path(__file__).resolve().parent / "expected.txt"

MARGIN = 0.05
# What happens once in a while, or at a marker, spread over all requests, is not worth a word.
SPREAD = 0.05

ALLOCATOR = re.compile(r"(m|c|re|v|pv)alloc|free|memalign|aligned_alloc|posix_memalign")
LOCK = re.compile(r"_*(pthread_mutex_(try|timed|clock)?lock|pthread_rwlock_\w*(rd|wr)lock|flockfile"
                  r"|pthread_spin_(try)?lock|pthread_(cond|barrier)_\w*wait|sem_\w*wait)")
# The reader of tokens; what it has read may be looked at.
JSON_READER = re.compile(r"(jtree_)?read_\w*")
JSON_SOURCE = re.compile(r"(.*/)?(jtree|json\w*)\.c")


def reads_json(at):
    return JSON_SOURCE.fullmatch(at.file) and JSON_READER.match(at.function)


# On the path of a cached token nothing else executes a single instruction. Stubs are of no object.
CACHED_OBJECTS = {"bearerd", "libmicrohttpd", "libc", "unknown"}
CLOCKS = {"clock_gettime", "time", "gettimeofday"}

HEAD = """\
# What one request costs the worker: instructions, calls and system calls. `make instructions`
# judges by this file, `make instructions-update` writes it. tests/instructions/run tells how each
# line is judged.
"""


# --- what was measured ---------------------------------------------------------------------------

def figures_of(measured, count):
    """By the name of the line, for one of count requests. Only what is judged."""
    profile = measured.profile
    allocator, lock = profile.calls_to_libc(ALLOCATOR), profile.calls_to_libc(LOCK)

    def behind(found, wanted):
        return sum(calls for (culprit, *_), calls in found.items() if culprit == wanted)

    totals = {
        "instructions of bearerd": profile.instructions_of(lambda at: at.object == "bearerd"),
        "instructions of libmicrohttpd":
            profile.instructions_of(lambda at: at.object == "libmicrohttpd"),
        "calls from bearerd to libc": profile.calls_between("bearerd", "libc"),
        "calls from bearerd to libmicrohttpd": profile.calls_between("bearerd", "libmicrohttpd"),
        "calls from libmicrohttpd to bearerd": profile.calls_between("libmicrohttpd", "bearerd"),
        "malloc, free etc. by bearerd": behind(allocator, "bearerd"),
        "malloc, free etc. by libmicrohttpd": behind(allocator, "libmicrohttpd"),
        "locks taken by bearerd": behind(lock, "bearerd"),
        "locks taken by libmicrohttpd": behind(lock, "libmicrohttpd"),
    }
    figures = {line: round_figure(total / count) for line, total in totals.items()}
    for name, calls in sorted(measured.system_calls.items()):
        if figure := round_figure(calls / count):
            figures[f"system call {name}"] = figure
    return figures


def round_figure(value):
    """So that the file changes only where something did: instructions to tens, calls to whole ones
    but for what really happens at some requests and not at others."""
    if value >= 1000:
        return int(round(value, -1))
    return round(value) if abs(value - round(value)) < SPREAD else round(value, 2)


def objects_of(measured, count):
    """Instructions by object, for information."""
    objects = collections.Counter()
    for place, instructions in measured.profile.instructions.items():
        objects[place.object] += instructions
    return {name: round(total / count) for name, total in objects.items()}


# --- the file ------------------------------------------------------------------------------------

def libmicrohttpd_version():
    """Of the library that is loaded, which may be newer than its header."""
    library = ctypes.util.find_library("microhttpd")
    if not library:
        return "unknown"
    version = ctypes.CDLL(library).MHD_get_version
    version.restype = ctypes.c_char_p
    return version().decode()


def tools():
    def said(*command):
        return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode().strip()
    return (f"# Taken with gcc {said('gcc', '-dumpfullversion')}, libmicrohttpd "
            f"{libmicrohttpd_version()}, {said('valgrind', '--version')}, {platform.machine()}.")


def table(paths):
    """Lines of figures, in the order in which they first come up; a column for each path."""
    lines = list(dict.fromkeys(line for figures in paths.values() for line in figures))
    lines.sort(key=lambda line: line.startswith("system call"))
    widths = {path: max(len(path), 7) + 2 for path in paths}
    first = max(map(len, lines)) + 1
    rows = [" " * first + "".join(path.rjust(widths[path]) for path in paths)]
    rows += [line.ljust(first) + "".join(str(paths[path].get(line, 0)).rjust(widths[path])
                                         for path in paths) for line in lines]
    return "\n".join(rows) + "\n"


def write(paths):
    EXPECTED.write_text(f"{HEAD}{tools()}\n\n{table(paths)}")


Expected = collections.namedtuple("Expected", "paths tools machine")


def read():
    """None where there is no such file yet."""
    if not EXPECTED.exists():
        return None
    text = EXPECTED.read_text()
    rows = [line for line in text.splitlines() if line and not line.startswith("#")]
    names = rows[0].split()
    paths = {name: {} for name in names}
    for row in rows[1:]:
        line, *values = re.split(r"  +", row.strip())
        for name, value in zip(names, values, strict=True):
            paths[name][line] = float(value)
    taken = next(line for line in text.splitlines() if line.startswith("# Taken with "))
    return Expected(paths, taken, taken.rstrip(".").split()[-1])


# --- the judgement -------------------------------------------------------------------------------

def number(value):
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def compare_line(line, value, expected):
    """What is wrong; None: nothing."""
    if not line.startswith(("instructions of", "calls from bearerd to libc")):
        if abs(value - expected) <= SPREAD:
            return None
        return f"{line}: {number(value)} instead of {number(expected)}" + (
            "" if value > expected else "; better: run make instructions-update")
    if abs(value - expected) <= MARGIN * expected:
        return None
    change = f"{abs(value - expected) / expected:.1%}" if expected else "anything"
    return f"{line}: {number(value)}, {change} " + (
        f"more than {number(expected)}" if value > expected
        else f"less than {number(expected)}; better: run make instructions-update")


def compare(paths, expected):
    for path, figures in paths.items():
        known = expected.get(path, {})
        for line in list(dict.fromkeys([*figures, *known])):
            wrong = compare_line(line, figures.get(line, 0), known.get(line, 0))
            if wrong:
                yield f"{path}: {wrong}"


def culprits(found, count, innocent=()):
    return [f"{caller} in {name} calls {function}, {number(calls / count)} a request"
            for (name, caller, function), calls in sorted(found.items()) if name not in innocent]


def check_cached(measured, count):
    """What must not happen where the token is known, and no update makes good."""
    profile = measured.profile
    for name, instructions in objects_of(measured, count).items():
        if name not in CACHED_OBJECTS:
            callers = {call.caller for call in profile.calls
                       if call.object == name and call.caller_object == "bearerd"}
            yield f"{name} runs, {instructions} instructions a request, called by " \
                  f"{', '.join(sorted(callers)) or 'another library'}"
    json = profile.instructions_of(reads_json)
    if json:
        yield f"JSON is read, {number(json / count)} instructions a request"
    yield from culprits(profile.calls_to_libc(ALLOCATOR), count, {"libmicrohttpd"})
    yield from culprits(profile.calls_to_libc(LOCK), count, {"libmicrohttpd"})


def check_system_calls(measured, count, most):
    for name, calls in sorted(measured.system_calls.items()):
        limit = most.get(name, 0)
        if name not in CLOCKS and calls / count > limit + SPREAD:
            yield f"system call {name}: {number(calls / count)} a request, {limit} at most"


def check_seen(measured, _):
    """Where every token is verified, all of that must show, or this check has become blind."""
    profile = measured.profile
    seen = {"libcrypto": profile.calls_between("bearerd", "libcrypto"),
            "the reader of JSON": profile.instructions_of(reads_json),
            "the allocator": sum(profile.calls_to_libc(ALLOCATOR).values()),
            "locks": sum(profile.calls_to_libc(LOCK).values()),
            "system calls": sum(measured.system_calls.values())}
    return [f"nothing is seen of {name}: this check needs care" for name in seen if not seen[name]]
