"""Files are written whole or not at all, and read with a clear word where they are damaged."""

import stat

import pytest

from isthmus.errors import RunError
from isthmus.files import read_json, write_json, write_text, written_whole


def test_what_was_there_stays_when_writing_fails(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail_half_way():
        with written_whole(path) as temporary:
            temporary.write_text("half of the n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_is_told_with_the_place(tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(RunError, match="unchanged") as caught, written_whole(path):
        raise OSError(28, "No space left on device")
    assert caught.value.where == str(path)
    assert "No space left" in caught.value.why
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(RunError, match="could not be written"):
        write_text(tmp_path / "nowhere" / "a.txt", "text")


def test_others_may_read_what_a_secretive_writer_left(tmp_path):
    plain, path = tmp_path / "plain", tmp_path / "a.bin"
    plain.touch()
    with written_whole(path) as temporary:
        temporary.write_bytes(b"weights")
        temporary.chmod(0o600)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_json_goes_round_and_takes_no_nan(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": [1, 2.5, None, "ä"]})
    assert read_json(path) == {"a": [1, 2.5, None, "ä"]}
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert read_json(path) == {"a": [1, 2.5, None, "ä"]}


@pytest.mark.parametrize(
    ("content", "words"),
    [(b'{"a": ', "not JSON"), (b"[1]", "no JSON object"), (b"\xff\xfe{}", "not JSON")],
)
def test_damaged_json_is_refused_by_name(tmp_path, content, words):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(RunError, match=words) as caught:
        read_json(path)
    assert caught.value.where == str(path)


def test_json_beyond_the_limit_is_refused_unread(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}')
    with pytest.raises(RunError, match="too large"):
        read_json(path, limit=7)


def test_what_a_killed_writer_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    path = tmp_path / "a[1].txt"
    abandoned = tmp_path / ".a[1].txt.0123abcd.tmp"
    abandoned.write_text("half")
    other = tmp_path / ".b.txt.0123abcd.tmp"
    other.write_text("not ours")
    with written_whole(path) as living:
        living.write_text("first")
        write_text(path, "second")
        assert living.exists()
        assert not abandoned.exists()
    assert path.read_text() == "first"
    assert sorted(p.name for p in tmp_path.iterdir()) == [other.name, path.name]
