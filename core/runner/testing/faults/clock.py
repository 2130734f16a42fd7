"""A wrong wall clock for a process and its children: CLOCK_REALTIME off by hours, or jumping to and fro.

With a C compiler a small library stands between the program and the system (LD_PRELOAD), so that SQLite
and `date` are deceived as well; without one a `sitecustomize` module deceives Python programs alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LIBRARY = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static int (*real)(clockid_t, struct timespec *);

static long offset(void) {
    const char *seconds = getenv("SKEW_SECONDS"), *flip = getenv("SKEW_FLIP");
    long off = seconds ? atol(seconds) : 0;
    if (flip && atol(flip) > 0) {
        struct timespec now;
        real(CLOCK_MONOTONIC, &now);
        if ((now.tv_sec / atol(flip)) % 2) off = -off;
    }
    return off;
}

int clock_gettime(clockid_t id, struct timespec *at) {
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int answer = real(id, at);
    if (answer == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) at->tv_sec += offset();
    return answer;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"""

_MODULE = """
import datetime, os, time

_clock, _time = time.clock_gettime, time.time

def _offset():
    seconds, flip = int(os.environ.get("SKEW_SECONDS", "0")), int(os.environ.get("SKEW_FLIP", "0"))
    return -seconds if flip and int(time.monotonic()) // flip % 2 else seconds

class _Datetime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls):
        return cls.fromtimestamp(time.time(), datetime.timezone.utc).replace(tzinfo=None)

time.time = lambda: _time() + _offset()
time.time_ns = lambda: int(time.time() * 1e9)
time.clock_gettime = lambda id: _clock(id) + (_offset() if id == time.CLOCK_REALTIME else 0)
time.clock_gettime_ns = lambda id: int(time.clock_gettime(id) * 1e9)
datetime.datetime = _Datetime
"""


def skewed(folder: Path, seconds: int, flip: int = 0, compiler: str | None = "cc") -> dict[str, str]:
    """Environment variables for a process whose clock is `seconds` off.

    `flip`: the sign changes every so many seconds. `folder` takes the library (made once). `compiler`
    None uses the Python way.
    """
    clock = {"SKEW_SECONDS": str(seconds), "SKEW_FLIP": str(flip)}
    if compiler and sys.platform == "linux" and shutil.which(compiler):
        return {**clock, "LD_PRELOAD": str(_compiled(folder, compiler))}
    module = folder / "skewed" / "sitecustomize.py"
    module.parent.mkdir(parents=True, exist_ok=True)
    module.write_text(_MODULE)
    path = [str(module.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**clock, "PYTHONPATH": os.pathsep.join(path)}


def _compiled(folder: Path, compiler: str) -> Path:
    library = folder / "skewed.so"
    if not library.exists():
        source = folder / "skewed.c"
        source.write_text(_LIBRARY)
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library
