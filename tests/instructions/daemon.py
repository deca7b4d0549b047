"""bearerd under callgrind, asked step by step, so that it always does the same for one request.

What belongs to the requests is told from all the rest by markers. Callgrind writes down and resets
its counts before each accept4(), and valgrind tells each system call: so a connection that nobody
uses, opened before and another one behind the requests, cuts out what the worker did for them. It
takes no right to trace other processes. The first one stays open meanwhile, as there are others in
real life: libmicrohttpd spares the only connection of a daemon some turns of the loop.
"""
import collections
import pathlib
import re
import signal
import socket
import subprocess
import time

from callgrind import Profile

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE = 60

Measured = collections.namedtuple("Measured", "profile system_calls")

SystemCall = collections.namedtuple("SystemCall", "name succeeded")

# A call that may block is told by two lines: the name, and once more with what came of it.
LINE = re.compile(r"SYSCALL\[\d+,(\d+)\]\( *\d+\) (?:sys_(\w+))?.*?(?:--> (Success|Failure).*)?$")


class Failure(Exception):
    """The check cannot go on; its text says why."""


def wait_until(condition, what):
    until = time.monotonic() + PATIENCE
    while not (value := condition()):
        if time.monotonic() > until:
            raise Failure(f"{what}: not within {PATIENCE} s")
        time.sleep(0.0002)
    return value


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return unused.getsockname()[1]


def read_trace(path):
    """The worker, which is the thread that accepts connections, and its system calls in order."""
    threads = collections.defaultdict(list)
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in filter(None, map(LINE.match, lines)):
            thread, name, outcome = line.groups()
            if name:
                threads[int(thread)].append(SystemCall(name, outcome == "Success"))
            elif outcome and threads[int(thread)]:
                threads[int(thread)][-1] = threads[int(thread)][-1]._replace(
                    succeeded=outcome == "Success")
    workers = [thread for thread in threads
               if any(call.name == "accept4" for call in threads[thread])]
    if len(workers) != 1:
        raise Failure(f"{len(workers)} threads called accept4(), by what valgrind tells; 1 should")
    return workers[0], threads[workers[0]]


class Daemon:
    """A context manager. folder is made for it; values are filled into the configuration."""

    def __init__(self, program, configuration, folder, values):
        self.program, self.configuration, self.folder = program, configuration, folder
        self.port = free_port()
        self.values = {**values, "PORT": self.port}
        self.connections = []
        self.process = None

    def __enter__(self):
        self.folder.mkdir()
        text = (HERE / self.configuration).read_text()
        path = self.folder / "bearerd.yaml"
        path.write_text(re.sub(r"@([A-Z_]+)@", lambda found: str(self.values[found[1]]), text))
        command = ["setpriv", "--pdeathsig", "KILL", "valgrind", "--tool=callgrind", "--vgdb=no",
                   "--separate-threads=yes", "--dump-before=accept4", "--trace-syscalls=yes",
                   f"--callgrind-out-file={self.folder}/counts", f"--log-file={self.folder}/trace",
                   self.program, "-c", path]
        try:
            with open(self.folder / "output", "w") as output:
                self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output,
                                                stderr=output)
        except OSError as error:
            raise Failure(f"{command[0]}: {error.strerror}") from error
        return self

    def __exit__(self, *_):
        for connection in self.connections:
            connection.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def failure(self, what):
        said = (self.folder / "output").read_text(errors="replace")[-2000:].strip()
        return Failure(f"{self.configuration}: bearerd {what}"
                       + (f". It said:\n{said}" if said else ""))

    # --- while it runs -----------------------------------------------------------------------

    def connect(self):
        """A connection that the daemon has accepted. It stays open until the end."""
        def attempt():
            if self.process.poll() is not None:
                raise self.failure(f"ended with exit code {self.process.returncode}")
            try:
                return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
            except ConnectionRefusedError:
                return None
        connection = wait_until(attempt, "bearerd listens")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections.append(connection)
        self.rest()
        return connection

    def sleeps(self):
        """Does every thread wait for something?"""
        if self.process.poll() is not None:
            raise self.failure(f"ended with exit code {self.process.returncode}")
        try:
            states = [stat.read_text().rpartition(")")[2].split()[0]
                      for stat in pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/stat")]
        except (FileNotFoundError, ProcessLookupError):
            return False  # a thread has ended meanwhile
        return set(states) == {"S"}

    def rest(self):
        """Until the daemon has done all there was to do: whether the next bytes reach it in the
        same turn of its loop or in one of their own must not be a matter of luck."""
        wait_until(lambda: self.sleeps() and self.sleeps(), "bearerd rests")

    def measure(self, step, count):
        """What belongs to count steps, by a number for result(). The first ones fill caches."""
        for _ in range(count // 20):
            step()
        self.connect()
        marker = len(self.connections)
        for _ in range(count):
            step()
        self.connect()
        return marker

    def stop(self):
        """In order, so that callgrind writes all it knows."""
        self.process.send_signal(signal.SIGTERM)
        wait_until(lambda: self.process.poll() is not None, "bearerd stops")
        if self.process.returncode:
            raise self.failure(f"ended with exit code {self.process.returncode}")

    # --- afterwards --------------------------------------------------------------------------

    def result(self, marker):
        """What was measured from that marker to the next. Callgrind has numbered its files by the
        calls of accept4()."""
        worker, calls = read_trace(self.folder / "trace")
        accepts = [at for at, call in enumerate(calls) if call.name == "accept4"]
        accepted = [number for number, at in enumerate(accepts) if calls[at].succeeded]
        if len(accepted) != len(self.connections):
            raise self.failure(f"accepted {len(accepted)} connections of {len(self.connections)}")
        last = accepted[marker]
        between = calls[accepts[last - 1] + 1:accepts[last]]
        counts = self.folder / f"counts.{last + 1}-{worker:02}"
        if not counts.exists():
            raise Failure(f"callgrind has not written {counts.name}")
        return Measured(Profile(counts), collections.Counter(call.name for call in between))
