"""From one sampling rate to another."""

from __future__ import annotations

import math

import numpy as np

from isthmus.data.audio.clip import Audio

__all__ = ["resampled"]


def resampled(clip: Audio, rate: int) -> Audio:
    """Return the clip at another rate, by a polyphase filter (scipy's ``resample_poly``).

    Parameters
    ----------
    clip
        At any rate.
    rate
        Samples a second that are wanted; the clip itself is returned if it has them.

    Returns
    -------
    Audio
        ceil(n * rate / clip.rate) samples; frequencies above half the lower rate are gone.
    """
    if clip.rate == rate:
        return clip
    from scipy.signal import resample_poly

    common = math.gcd(clip.rate, rate)
    samples = resample_poly(clip.samples.astype(np.float64), rate // common, clip.rate // common)
    note = f"Resampled from {clip.rate:,} to {rate:,} Hz."
    return Audio(samples.astype(np.float32), rate, (*clip.notes, note))
