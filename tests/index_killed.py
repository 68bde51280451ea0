"""Builds an index again and again, and is killed each time at another moment: run by the tests.

Usage: python index_killed.py HOME PLANS. PLANS is JSON, by name: how many documents the corpus
has, whether to retrain, whether concepts are described, and when to kill: at every so-manieth
change to the folder and at each of the last ten ("stride"), or after so many seconds ("seconds", a
list). ``HOME/NAME/before`` is the index that each attempt of a plan starts from (none: there is no
index yet); attempt N works on ``HOME/NAME/N``, and the last is left in peace. Prints how many
attempts were killed, by name.
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

WRITING = os.O_WRONLY | os.O_RDWR
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link"}


def main() -> None:
    os.fsync = lambda handle: None  # what a process wrote outlives it
    plans = json.loads(sys.argv[2])
    print(json.dumps({name: done(Path(sys.argv[1]) / name, plans[name]) for name in plans}))


def done(home: Path, plan: dict) -> int:
    """Do all attempts of a plan; return how many there were."""
    whole = begun(home, "whole")
    total = built(whole, plan)  # in this process: those that follow find everything loaded
    if "seconds" in plan:
        moments = [None] * len(plan["seconds"])
    else:
        moments = sorted({*range(0, total, plan["stride"]), *range(max(0, total - 10), total)})
    for number, moment in enumerate(moments):
        place = begun(home, number)
        child = os.fork()
        if child == 0:
            built(place, plan, moment)
            os._exit(0)
        if moment is None:
            time.sleep(plan["seconds"][number])
            os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code != -signal.SIGKILL and (moment is not None or code != 0):
            sys.exit(f"attempt {number} ended with {code}")
    whole.rename(home / str(len(moments)))
    return len(moments)


def begun(home: Path, name: object) -> Path:
    """Copy the index to start from, where there is one."""
    place = home / str(name)
    if (home / "before").exists():
        shutil.copytree(home / "before", place)
    return place


def built(place: Path, plan: dict, moment: int | None = None) -> int:
    """Build, and die before change ``moment`` to the folder; return how many there were."""
    changes, watching = 0, True

    def watch(event, args):
        nonlocal changes
        if not watching or (event != "open" and event not in CHANGES):
            return
        if event == "open" and not (isinstance(args[2], int) and args[2] & WRITING):
            return
        if str(place) in str(args[0]):
            changes += 1
            if moment is not None and changes > moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    texts = Texts(documents(plan["documents"])[plan.get("first", 0) :])
    config = with_(SMALL, concepts=plan.get("concepts", False))
    build_index(texts, place, WordVectors(), config, retrain=plan.get("retrain", False))
    watching = False
    return changes


if __name__ == "__main__":
    main()
