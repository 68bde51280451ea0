"""Builds an index again and again, and is killed each time at another moment: run by the tests.

Usage: python index_killed.py HOME PLAN. ``HOME/before`` is the index that each attempt starts from
(none: there is no index yet); attempt N works on ``HOME/N``, and the last of them is left in peace.
PLAN is JSON: how many documents the corpus has, whether to retrain, whether concepts are
described, and when to kill: at every so-manieth change to the folder and at each of the last ten
("stride"), or after so many seconds ("seconds", a list). Prints how many attempts were killed.
"""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from index_toys import SMALL, Texts, WordVectors, documents, with_
from isthmus.search.index.building import build_index

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link"}


def main() -> None:
    home, plan = Path(sys.argv[1]), json.loads(sys.argv[2])
    os.fsync = lambda handle: None  # what a process wrote outlives it
    if "seconds" in plan:
        for number, seconds in enumerate(plan["seconds"]):
            started(home, number, plan, None, seconds)
        print(len(plan["seconds"]))
        return
    started(home, "whole", plan, None)
    total = int((home / "whole.changes").read_text())
    moments = sorted({*range(0, total, plan["stride"]), *range(max(0, total - 10), total)})
    for number, moment in enumerate(moments):
        started(home, number, plan, moment)
    (home / "whole").rename(home / str(len(moments)))
    print(len(moments))


def started(home: Path, name: object, plan: dict, moment: int | None, seconds: float = -1) -> None:
    """Start an attempt in a process of its own, and wait for its end."""
    place = home / str(name)
    if (home / "before").exists():
        shutil.copytree(home / "before", place)
    child = os.fork()
    if child == 0:
        attempt(place, plan, moment)
    if seconds >= 0:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code not in ((0,) if moment is None and seconds < 0 else (0, -signal.SIGKILL)):
        sys.exit(f"attempt {name} ended with {code}")


def attempt(place: Path, plan: dict, moment: int | None) -> None:
    """Build, and die before change ``moment`` to the folder."""
    changes = 0

    def watch(event, args):
        nonlocal changes
        written = (
            event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        )
        if (written or event in CHANGES) and str(place) in str(args[0]):
            changes += 1
            if moment is not None and changes > moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    texts = Texts(documents(plan["documents"])[plan.get("first", 0) :])
    config = with_(SMALL, concepts=plan.get("concepts", False))
    code = 1
    try:
        build_index(texts, place, WordVectors(), config, retrain=plan.get("retrain", False))
        code = 0
        place.with_suffix(".changes").write_text(str(changes))
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
