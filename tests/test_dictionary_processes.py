"""Several processes that share each batch: the weights and clocks of one process alone."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dictionary_toys import mixtures, stream
from isthmus.bottlenecks import (
    L1,
    AnyK,
    BatchTopK,
    Contrastive,
    Gated,
    JumpReLU,
    KLSparse,
    Matryoshka,
    TopK,
)
from isthmus.errors import ConfigError
from isthmus.models.dictionary import SparseDictionary
from isthmus.training.dictionary import (
    DictionaryTraining,
    Together,
    fit_dictionaries,
    joined_processes,
)
from isthmus.training.dictionary.member import Member

# the controller's charge is large from the start, the clock short: all that has a state has work
MEMBERS = {
    "topk": TopK(40, 3),
    "any-k": AnyK(40, 4),
    "batch": BatchTopK(40, 3),
    "matryoshka": Matryoshka(40, 3),
    "l1": L1(40, l0=3),
    "jump": JumpReLU(40, l0=3, threshold=0.1, bandwidth=0.1),
    "gated": Gated(40, l0=3),
    "kl": KLSparse(40, weight=0.1, memory=0.5),
    # its contrast is among the rows of one process
    "contrastive": Contrastive(40, 3, weight=0.0),
    "unit": TopK(40, 3),
}
CONFIG = DictionaryTraining(
    epochs=2, lr=0.003, threads=1, dead_after=0.5, noise=0.3, max_rate=0.2, patience=5
)
# batches of 64 rows and a last one of a single row: one process has none of it
ROWS = mixtures(257, 12)
HELD = mixtures(50, 12, seed=1)


def trained(folder, together):
    """Train all members; leave weights, clocks and histories in files of this process."""
    models = {
        name: SparseDictionary(12, b, normalise="unit" if name == "unit" else "none")
        for name, b in MEMBERS.items()
    }
    clocks, whole = {}, Member.finish

    def finish(self):
        name = next(n for n, model in models.items() if model is self.model)
        clocks[f"{name}.fired"] = self.last_fired
        clocks[f"{name}.dead"] = self.dead
        clocks[f"{name}.seen"] = np.array(self.seen)
        clocks[f"{name}.rate"] = self.rate
        whole(self)

    Member.finish = finish
    source = stream(ROWS, 64, held_out=0, rank=together.rank, world=together.world)
    left = fit_dictionaries(
        models, source, CONFIG, held_out=HELD, together=together, checkpoints=folder / "point"
    )
    Member.finish = whole
    weights = {
        f"{name}.{key}": value.numpy()
        for name, model in models.items()
        for key, value in model.state_dict().items()
    }
    np.savez(folder / f"weights{together.rank}.npz", **weights)
    np.savez(folder / f"clocks{together.rank}.npz", **clocks)
    rows = {name: one.history.rows for name, one in left.items()}
    (folder / f"history{together.rank}.json").write_text(json.dumps(rows))


RANK = """
import sys
from pathlib import Path
from isthmus.training.dictionary import joined_processes
from test_dictionary_processes import trained
with joined_processes() as together:
    trained(Path(sys.argv[1]), together)
"""


def started(folder, world=2):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).parent),
    }
    return [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(folder)],
            env=os.environ | shared | {"RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What one process alone and two together leave behind."""
    folder = tmp_path_factory.mktemp("processes")
    for name in ("one", "two"):
        (folder / name).mkdir()
    ranks = started(folder / "two")
    trained(folder / "one", Together())
    said = [rank.communicate(timeout=120)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(said)
    return folder


def held(results, kind, name, where):
    path = results / where[:3] / f"{kind}{where[3:] or 0}.npz"
    with np.load(path) as file:
        return {
            key.removeprefix(f"{name}."): file[key] for key in file if key.startswith(f"{name}.")
        }


@pytest.mark.parametrize("name", MEMBERS)
def test_two_processes_give_the_weights_of_one(results, name):
    one, two = (held(results, "weights", name, where) for where in ("one", "two0"))
    assert one.keys() == two.keys()
    for key, wanted in one.items():
        far = np.linalg.norm(two[key] - wanted) / max(np.linalg.norm(wanted), 1e-9)
        assert far < 1e-4, key


@pytest.mark.parametrize("name", MEMBERS)
def test_both_processes_hold_the_same_bytes(results, name):
    """Thresholds, controllers and running means, too: all follow the whole batch."""
    for kind in ("weights", "clocks"):
        a, b = (held(results, kind, name, where) for where in ("two0", "two1"))
        for key, value in a.items():
            assert value.tobytes() == b[key].tobytes(), key


@pytest.mark.parametrize("name", MEMBERS)
def test_the_clocks_of_dead_latents_are_those_of_one_process(results, name):
    one, two = (held(results, "clocks", name, where) for where in ("one", "two0"))
    assert int(one["seen"]) == 2 * 257
    assert np.array_equal(one["dead"], two["dead"])
    assert np.array_equal(one["fired"], two["fired"])
    assert np.allclose(one["rate"], two["rate"], atol=1e-9)


def test_some_latents_died_and_were_revived(results):
    """Or the tests above would not see whether revival is shared."""
    rows = json.loads((results / "one" / "history0.json").read_text())
    revived = [name for name, own in rows.items() if any("train_revival" in r for r in own)]
    assert {"topk", "batch", "contrastive"} <= set(revived)


@pytest.mark.parametrize("name", MEMBERS)
def test_histories_tell_of_the_whole_batch(results, name):
    one, two, other = (
        json.loads((results / where[:3] / f"history{where[3:]}.json").read_text())[name]
        for where in ("one0", "two0", "two1")
    )
    for a, b, c in zip(one, two, other, strict=True):
        for key in set(a) - {"seconds", "samples_per_second"}:
            assert b[key] == pytest.approx(a[key], rel=2e-3, abs=1e-6), key
            assert b[key] == c[key], key


def test_one_process_writes_the_checkpoint(results):
    assert [p.name for p in (results / "two" / "point").iterdir()] == ["last.safetensors"]


# --- what needs no second process -----------------------------------------------------------------


def test_without_torchrun_a_process_is_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined_processes() as together:
        assert together == Together(0, 1)
    monkeypatch.setenv("WORLD_SIZE", "1")
    with joined_processes() as together:
        assert together == Together(0, 1)
        sums = np.arange(3.0)
        assert together.add_up(sums) is sums
        assert together.share(7) == (0, 7)
        assert together.least(0.5) == 0.5
        tensor = torch.ones(2)
        assert together.add_up_tensor(tensor) is tensor
        together.add_up_into(sums)
        together.wait()
    assert not torch.distributed.is_initialized()


def test_a_batch_must_divide_among_the_processes():
    with pytest.raises(ConfigError, match="multiple of the number of processes"):
        stream(ROWS, 63, rank=0, world=2)


def test_the_rows_of_the_auxiliary_loss_are_the_same_whoever_holds_them():
    from isthmus.training.dictionary.engines import Orders

    order = Orders(0.1, None, np.empty(0, np.int64), 0.1, 8, 50, 13, 1.0, 0)
    whole = np.arange(50)[order.revived_rows]
    parts = []
    for first, last in ((0, 17), (17, 18), (18, 18), (18, 50)):
        mine = dataclasses.replace(order, first=first)
        parts.append(np.arange(first, last)[mine.revived_rows])
    assert np.array_equal(np.concatenate(parts), whole)
    assert (whole % 8 == 13 % 8).all()
