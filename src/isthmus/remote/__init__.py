"""Services elsewhere: a thin client for OpenAI-compatible endpoints.

llama.cpp's server, Ollama, vLLM, LM Studio and the clouds all speak this language. The address is
always given, never guessed; the key comes from the environment and is written nowhere.
"""

from __future__ import annotations

from isthmus.remote.endpoint import Endpoint, Message

__all__ = ["Endpoint", "Message"]
