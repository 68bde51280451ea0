"""Sound: WAV in and out, resampling, log-mel pictures and the way back to a sound."""

from isthmus.data.audio.clip import Audio
from isthmus.data.audio.front_end import LogMel
from isthmus.data.audio.limits import AudioLimits
from isthmus.data.audio.reading import read_audio
from isthmus.data.audio.wav_writing import write_wav

__all__ = ["Audio", "AudioLimits", "LogMel", "read_audio", "write_wav"]
