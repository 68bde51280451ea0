"""Training: the loop, schedules, checkpoint and resume."""

from isthmus.training.config import Training
from isthmus.training.history import History
from isthmus.training.loop import Fitted, Stopped, fit
from isthmus.training.plan import Plan, plan
from isthmus.training.progress import Progress, Watch

__all__ = ["Fitted", "History", "Plan", "Progress", "Stopped", "Training", "Watch", "fit", "plan"]
