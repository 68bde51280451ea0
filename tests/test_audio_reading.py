"""WAV in and out: every width, every lie, every kind of bad clip."""

import io
import struct
import tarfile
import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.data.audio.archive import ArchiveLimits, read_wav_archive
from isthmus.data.audio.clip import Audio, clipped_share
from isthmus.data.audio.limits import AudioLimits
from isthmus.data.audio.reading import read_audio, read_wav_bytes
from isthmus.data.audio.resampling import resampled
from isthmus.data.audio.wav_writing import wav_bytes, write_wav
from isthmus.errors import ConfigError, DataError, MissingDataError, RunError
from sound_tools import noise16, sine, wav

VALUES = np.array([0.5, -0.25, 0.0, -1.0])


def encoded(bits, *, is_float=False):
    if is_float:
        return VALUES.astype(f"<f{bits // 8}").tobytes()
    if bits == 8:
        return (VALUES * 128 + 128).astype(np.uint8).tobytes()
    whole = (VALUES * 2 ** (bits - 1)).astype("<i8")
    return b"".join(int(v).to_bytes(bits // 8, "little", signed=True) for v in whole)


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_pcm_of_every_width_is_read_by_hand_worked_values(bits):
    clip = read_wav_bytes(wav(encoded(bits), bits=bits), "a.wav")
    np.testing.assert_array_equal(clip.samples, VALUES.astype(np.float32))
    assert clip.samples.dtype == np.float32
    assert (clip.rate, clip.notes) == (8000, ())


@pytest.mark.parametrize("bits", [32, 64])
def test_floats_are_read(bits):
    clip = read_wav_bytes(wav(encoded(bits, is_float=True), code=3, bits=bits), "a.wav")
    np.testing.assert_array_equal(clip.samples, VALUES.astype(np.float32))


def test_the_extensible_format_is_read_by_what_it_stands_for():
    guid = struct.pack("<H", 1) + bytes.fromhex("000000001000800000aa00389b71")
    extra = struct.pack("<HHI", 22, 16, 4) + guid
    clip = read_wav_bytes(wav(encoded(16), code=0xFFFE, extra=extra), "a.wav")
    np.testing.assert_array_equal(clip.samples, VALUES.astype(np.float32))
    with pytest.raises(DataError, match="encoding is not known"):
        read_wav_bytes(wav(encoded(16), code=0xFFFE, extra=extra[:-1] + b"!"), "a.wav")


def test_the_standard_library_agrees_on_what_is_written(tmp_path):
    clip = sine(seconds=0.1)
    assert write_wav(clip, tmp_path / "a.wav") is False
    with wave.open(str(tmp_path / "a.wav")) as file:
        shape = file.getnchannels(), file.getsampwidth(), file.getframerate(), file.getnframes()
        content = file.readframes(800)
    assert shape == (1, 2, 8000, 800)
    np.testing.assert_array_equal(
        np.frombuffer(content, "<i2"), np.round(clip.samples.astype(float) * 32767)
    )
    back = read_audio(tmp_path / "a.wav")
    assert np.abs(back.samples - clip.samples).max() < 1 / 16000


def test_what_exceeds_full_scale_is_scaled_down_as_a_whole(tmp_path):
    loud = Audio(np.array([0.0, 2.0, -1.0], np.float32), 8000)
    assert write_wav(loud, tmp_path / "a.wav") is True
    back = read_audio(tmp_path / "a.wav").samples
    np.testing.assert_allclose(back, [0, 1, -0.5], atol=1e-4)


@pytest.mark.parametrize("samples", [[], [np.nan, 0.0], [np.inf]])
def test_a_sound_that_is_none_is_not_written(tmp_path, samples):
    with pytest.raises(DataError, match="empty or holds NaN"):
        write_wav(Audio(np.array(samples, np.float32), 8000), tmp_path / "a.wav")
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"before")
    with pytest.raises(DataError):
        write_wav(Audio(np.array([np.nan], np.float32), 8000), tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == b"before"
    with pytest.raises(RunError):
        write_wav(sine(), tmp_path / "missing" / "a.wav")


def test_stereo_is_mixed_down_by_the_mean_and_says_so():
    frames = np.array([[1000, 3000], [-2000, 0]], "<i2")
    clip = read_wav_bytes(wav(frames.tobytes(), channels=2), "a.wav")
    np.testing.assert_allclose(clip.samples, np.array([2000, -1000]) / 32768)
    assert "mixed down" in clip.notes[0]


def test_a_part_of_odd_length_before_the_samples_is_passed_over():
    content = wav(noise16())
    extra = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    body = content[12:36] + extra + content[36:]
    content = b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body
    assert len(read_wav_bytes(content, "a.wav").samples) == 800


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (wav(noise16(), data=1 << 31), "lies about its length"),
        (wav(noise16(), riff=1 << 31), "lies about its length"),
        (wav(noise16(), riff=0), "pipe"),
        (wav(noise16(), riff=0xFFFFFFFF, data=0xFFFFFFFF), "pipe"),
        (wav(noise16())[:-100], "lies about its length"),
        (wav(noise16()) + b"more", "lies about its length"),
        (wav(b""), "empty"),
        (b"", "empty"),
        (wav(bytes(1600)), "silent"),
        (wav(np.full(800, 77, "<i2").tobytes()), "silent"),
        (wav(noise16(), code=6, bits=8), "A-law"),
        (wav(noise16(), code=7, bits=8), "mu-law"),
        (wav(noise16(), code=0x11, bits=4), "IMA ADPCM"),
        (wav(noise16(), code=0x55), "MP3"),
        (wav(noise16(), code=0x1234), "0x1234"),
        (wav(noise16(), bits=12), "PCM of 12 bits"),
        (wav(noise16(), code=3, bits=16), "floats of 16 bits"),
        (wav(noise16(801)[:-1]), "contradicts itself"),
        (wav(noise16(), block=3), "contradicts itself"),
        (wav(noise16(), channels=0, block=2), "contradicts itself"),
        (wav(noise16(), channels=3), "3 channels"),
        (wav(noise16(), rate=4000), "4,000 Hz"),
        (wav(noise16(), rate=96000), "96,000 Hz"),
        (wav(np.array([0.1, np.nan], "<f4").tobytes(), code=3, bits=32), "NaN"),
        (wav(np.array([1e300, 0], "<f8").tobytes(), code=3, bits=64), "NaN or infinite"),
        (b"RIFX" + wav(noise16())[4:], "big-endian"),
        (b"RF64" + wav(noise16())[4:], "RF64"),
        (b"<html>not found</html>", "not a WAV file"),
        (b"RIFF\x04\0\0\0WAVE", "no samples"),
        (b"RIFF\x0c\0\0\0WAVEdata\0\0\0\0", "no format"),
        (b"RIFF\x10\0\0\0WAVEfmt \x04\0\0\0abcd", "cut short"),
    ],
)
def test_a_bad_file_gets_a_message_that_says_what_is_wrong(tmp_path, content, words):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        read_audio(tmp_path / "a.wav")
    assert "a.wav" in str(caught.value)


def test_a_lying_length_costs_no_memory():
    class Watched(io.BytesIO):
        most = 0

        def read(self, size=-1):
            Watched.most = max(Watched.most, size)
            return super().read(size)

    from isthmus.data.audio.wav_header import read_header

    content = wav(noise16(), data=0x7FFFFFF0)
    with pytest.raises(DataError, match="lies"):
        read_header(Watched(content), len(content), "a.wav")
    assert Watched.most <= 64


def test_an_hour_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "hour.wav"
    head = wav(b"", rate=8000, riff=36 + 57_600_000, data=57_600_000)
    with path.open("wb") as handle:
        handle.write(head)
        handle.truncate(len(head) + 57_600_000)
    with pytest.raises(DataError, match=r"lasts 1\.0 h; the limit is 60\.0 s"):
        read_audio(path)


def test_the_limit_on_seconds_can_be_set(tmp_path):
    write_wav(sine(seconds=2), tmp_path / "a.wav")
    with pytest.raises(DataError, match=r"lasts 2\.0 s; the limit is 1\.0 s"):
        read_audio(tmp_path / "a.wav", AudioLimits(seconds=1))
    assert read_audio(tmp_path / "a.wav", AudioLimits(seconds=2)).seconds == 2
    with pytest.raises(ConfigError, match="above 0"):
        AudioLimits(seconds=0)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(MissingDataError, match="no such sound file"):
        read_audio(tmp_path / "a.wav")


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 60), st.integers(1, 3))
def test_no_bytes_bring_the_reader_down(junk, place, times):
    content = bytearray(wav(noise16(40)))
    content[place : place + len(junk)] = junk * times
    try:
        clip = read_wav_bytes(bytes(content), "a.wav")
    except DataError:
        return
    assert np.isfinite(clip.samples).all()


# ---------------------------------------------------------------- clipping


def test_a_clipped_clip_is_read_with_a_warning(tmp_path):
    clean = sine(amplitude=0.95)
    cut = Audio(np.clip(clean.samples * 2, -0.95, 0.95), 8000)
    assert clipped_share(clean.samples) == 0
    assert clipped_share(cut.samples) > 0.3
    write_wav(cut, tmp_path / "a.wav")
    (note,) = read_audio(tmp_path / "a.wav").notes
    assert "clipped" in note


def test_the_clipped_share_by_hand():
    samples = np.array([0, 1, 1, 1, 0, 1, 1, 0, -1, -1, -1, -1], np.float32)
    assert clipped_share(samples) == pytest.approx(7 / 12)
    assert clipped_share(samples * 0.1) == 0  # far from full scale: nothing was cut off


# ---------------------------------------------------------------- other kinds, other rates


def test_flac_is_read_through_soundfile(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    clip = sine(rate=16000)
    soundfile.write(tmp_path / "a.flac", clip.samples, 16000)
    back = read_audio(tmp_path / "a.flac")
    assert back.rate == 16000
    assert np.abs(back.samples - clip.samples).max() < 1e-4
    with pytest.raises(DataError, match="the limit"):
        read_audio(tmp_path / "a.flac", AudioLimits(seconds=0.1))


def test_what_no_reader_knows_is_refused(tmp_path):
    pytest.importorskip("soundfile")
    (tmp_path / "a.xyz").write_bytes(b"nothing that sounds")
    with pytest.raises(DataError, match="can't be read"):
        read_audio(tmp_path / "a.xyz")


def test_without_soundfile_the_message_says_what_to_do(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "soundfile", None)
    (tmp_path / "a.flac").write_bytes(b"fLaC")
    with pytest.raises(DataError, match="pip install soundfile"):
        read_audio(tmp_path / "a.flac")


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
def test_resampling_keeps_a_tone_where_it_is(rate):
    clip = resampled(sine(1000, 0.5, rate), 8000)
    assert clip.rate == 8000
    assert abs(len(clip.samples) - 4000) <= 1
    spectrum = np.abs(np.fft.rfft(clip.samples))
    assert np.fft.rfftfreq(len(clip.samples), 1 / 8000)[spectrum.argmax()] == pytest.approx(
        1000, abs=3
    )
    middle = clip.samples[500:-500]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


def test_frequencies_above_half_the_new_rate_are_gone():
    assert resampled(sine(6000, 0.5, 16000), 8000).rms < 0.01


def test_the_same_rate_gives_the_same_clip():
    clip = sine()
    assert resampled(clip, 8000) is clip


# ---------------------------------------------------------------- archives


def archive(path, *members):
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if len(content) > 1:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = content, "/etc/passwd"
                tar.addfile(info)
    return path


def test_a_tar_is_read_without_touching_the_disk(tmp_path):
    path = archive(
        tmp_path / "a.tar",
        ("r/0_a_1.wav", wav(noise16(100))),
        ("r/readme.txt", b"words"),
        ("r/._0_a_1.wav", b"what a Mac leaves"),
        ("r/0_a_0.wav", wav(noise16(50))),
    )
    found = [(name, len(clip.samples)) for name, clip in read_wav_archive(path)]
    assert found == [("r/0_a_1.wav", 100), ("r/0_a_0.wav", 50)]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (("../a.wav", wav(noise16())), "leads out"),
        (("/a.wav", wav(noise16())), "leads out"),
        (("r/../../a.wav", wav(noise16())), "leads out"),
        (("..\\a.wav", wav(noise16())), "leads out"),
        (("a.wav", tarfile.SYMTYPE), "link or a device"),
        (("a.wav", tarfile.LNKTYPE), "link or a device"),
        (("a.wav", tarfile.CHRTYPE), "link or a device"),
        (("a.wav", tarfile.FIFOTYPE), "link or a device"),
        (("big.wav", bytes(2000)), "too large"),
        (("a.wav", wav(noise16(), data=1 << 30)), "lies about its length"),
        (("a.txt", b"no sound"), "holds no WAV file"),
    ],
)
def test_a_hostile_tar_is_refused(tmp_path, member, words):
    path = archive(tmp_path / "a.tar", member)
    limits = ArchiveLimits(file_bytes=1999)
    with pytest.raises(DataError, match=words):
        list(read_wav_archive(path, archive=limits))
    assert list(tmp_path.iterdir()) == [path]


def test_a_tar_of_too_much_is_refused(tmp_path):
    path = archive(tmp_path / "a.tar", *((f"{i}.wav", wav(noise16(50, i))) for i in range(4)))
    assert len(list(read_wav_archive(path, archive=ArchiveLimits(members=4)))) == 4
    with pytest.raises(DataError, match="more than 3 entries"):
        list(read_wav_archive(path, archive=ArchiveLimits(members=3)))
    with pytest.raises(DataError, match="too large"):
        list(read_wav_archive(path, archive=ArchiveLimits(total_bytes=300)))


def test_a_tar_that_is_cut_short_or_none_is_refused(tmp_path):
    path = archive(tmp_path / "a.tar", ("a.wav", wav(noise16())), ("a.wav", wav(noise16())))
    with pytest.raises(DataError, match="a name twice"):
        list(read_wav_archive(path))
    path.write_bytes(path.read_bytes()[:1200])
    with pytest.raises(DataError, match="damaged"):
        list(read_wav_archive(path))
    path.write_bytes(b"no tar at all")
    with pytest.raises(DataError, match="damaged"):
        list(read_wav_archive(path))
    with pytest.raises(MissingDataError, match="no such archive"):
        list(read_wav_archive(tmp_path / "b.tar"))


def test_wav_bytes_are_what_is_written(tmp_path):
    write_wav(sine(), tmp_path / "a.wav")
    assert wav_bytes(sine()) == (tmp_path / "a.wav").read_bytes()
