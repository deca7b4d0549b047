"""A server as a child process on a core of its own: started, asked, watched, and always ended."""
import ctypes
import http.client
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
START_SECONDS = 20
STOP_SECONDS = 5

# Debian keeps daemons where the PATH of an ordinary user does not lead.
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"

COMMANDS = {
    "bearerd.yaml": lambda program, path: [program, "-c", path],
    "nginx.conf": lambda program, path: [program, "-e", "stderr", "-p", path.parent, "-c", path],
    "haproxy.cfg": lambda program, path: [program, "-db", "-f", path],
    "apache.conf": lambda program, path: [program, "-X", "-f", path],
}

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    """The benchmark cannot go on; its text says why."""


def find_program(name):
    path = shutil.which(name, path=PATH)
    if not path:
        raise Failure(f"{name} is not installed")
    return path


def free_port():
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


def bound_to(core, started=None):
    """What a child does before it becomes its program: it goes to one core, and dies with this
    process, however that ends. started: a descriptor that is told the time, as the last thing."""
    def prepare():
        os.sched_setaffinity(0, {core})
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if started is not None:
            os.write(started, str(time.monotonic_ns()).encode())
    return prepare


def fill_in(template, values):
    """The text of the template with values for the names in it; @CHECKS@ is a template itself, the
    one of the same name in checks/."""
    def value(found):
        if found.group(1) == "CHECKS":
            return fill_in(f"checks/{pathlib.Path(template).name}", values)
        if found.group(1) not in values:
            raise Failure(f"{template}: nothing is known of {found.group()}")
        return str(values[found.group(1)])
    return re.sub(r"@([A-Z_]+)@", value, (HERE / template).read_text())


def cpu_seconds(pid):
    """Processor time that the process used so far, its threads included. By the process's own clock:
    /proc counts in hundredths of a second, too coarse for a short round that others disturb."""
    clock = ctypes.c_int()
    error = LIBC.clock_getcpuclockid(pid, ctypes.byref(clock))
    if error:
        raise Failure(f"no processor time of process {pid}: {os.strerror(error)}")
    return time.clock_gettime(clock.value)


class Server:
    """One server, of the configuration that a template becomes with values. A context manager; what
    the server says lands in folder, which must not be there yet."""

    def __init__(self, name, program, template, core, folder, values):
        self.name, self.program, self.template = name, program, pathlib.Path(template)
        self.port, self.core, self.folder = free_port(), core, folder
        self.values = {**values, "PORT": self.port, "FOLDER": folder}
        self.process = None

    def __enter__(self):
        self.folder.mkdir()
        path = self.folder / self.template.name
        path.write_text(fill_in(self.template, self.values))
        command = COMMANDS[self.template.name](find_program(self.program), path)
        self.output = open(self.folder / "output", "wb")
        reader, writer = os.pipe()
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL,
                                        stdout=self.output, stderr=subprocess.STDOUT,
                                        preexec_fn=bound_to(self.core, writer))
        os.close(writer)
        with os.fdopen(reader, "rb") as started:
            self.started_ns = int(started.read())
        try:
            self.wait_until_it_listens()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.output.close()

    def failure(self, what):
        said = (self.folder / "output").read_text(errors="replace")[-2000:].strip()
        return Failure(f"{self.template}: {self.name} {what}" + (f". It said:\n{said}" if said else ""))

    def wait_until_it_listens(self):
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise self.failure(f"ended with exit code {self.process.returncode}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.0002)
        raise self.failure("does not listen")

    def get(self, path, headers):
        """Status and body that a GET of the path with these headers gets."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise self.failure(f"gave no answer ({error})") from error
        finally:
            connection.close()

    def cpu_seconds(self):
        return cpu_seconds(self.process.pid)

    def resident_bytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s*(\d+) kB$", status, re.M).group(1)) * 1024

    def open_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))
