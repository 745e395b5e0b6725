"""Runs a command and prints its cost as JSON: wall seconds, CPU seconds of all its processes, and the peak resident
set of the largest in bytes; and the last line that it printed, if that is a JSON object. Node cannot read RUSAGE_CHILDREN, and a shell's `time` does not report memory.

A process that is smaller than this interpreter counts as large as this interpreter, about 10 MiB: Linux carries the
peak of the forking image over into the program.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time

with tempfile.TemporaryFile() as out:
    started = time.monotonic()
    done = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=out)
    seconds = time.monotonic() - started
    out.seek(0)
    # Only vdistream prints anything, and little.
    last = (out.read(1 << 20).decode("utf-8", "replace").strip().splitlines() or [""])[-1]
used = resource.getrusage(resource.RUSAGE_CHILDREN)
json.dump(
    {
        "status": done.returncode,
        "seconds": seconds,
        "cpu": used.ru_utime + used.ru_stime,
        "rss": used.ru_maxrss * 1024,
        **({"result": json.loads(last)} if last.startswith("{") and last.endswith("}") else {}),
    },
    sys.stdout,
)
