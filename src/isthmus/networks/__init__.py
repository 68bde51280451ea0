"""Encoder and decoder halves: linear, fully connected, convolutional."""

from isthmus.configs import by_name
from isthmus.networks.base import Halves, Network
from isthmus.networks.conv import Conv
from isthmus.networks.mlp import MLP, Linear

NETWORKS: dict[str, type[Network]] = by_name(Linear, MLP, Conv)

__all__ = ["MLP", "NETWORKS", "Conv", "Halves", "Linear", "Network"]
