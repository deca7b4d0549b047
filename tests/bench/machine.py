"""What the figures were measured on, and with."""
import datetime
import os
import pathlib
import platform
import subprocess

from server import find_program

VERSIONS = {"bearerd": "--version", "haproxy": "-v", "apache": "-v", "nginx": "-v", "wrk": "--version",
            "mod_oauth2": None}


def first_line(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    return (done.stdout.strip().splitlines() or [""])[0]


def version(name, programs):
    if name == "mod_oauth2":
        return first_line(["dpkg-query", "-W", "-f", "${Version}", "libapache2-mod-oauth2"])
    return first_line([find_program(programs.get(name, name)), VERSIONS[name]])


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def system():
    for line in pathlib.Path("/etc/os-release").read_text().splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return platform.system()


def describe(programs, servers, load_before):
    names = [name for name in VERSIONS if name in servers or name == "wrk"
             or name == "mod_oauth2" and "apache" in servers]
    return {"date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
            "processor": processor(), "cores": len(os.sched_getaffinity(0)),
            "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1048576,
            "system": system(), "kernel": platform.release(),
            "load_average_before": load_before,
            "versions": {name: version(name, programs) for name in names}}
