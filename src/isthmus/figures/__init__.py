"""Pictures from numbers; each comes with the table behind it.

Every function takes plain arrays and mappings and returns a :class:`Picture`: a Matplotlib
figure, the :class:`Table` of what was drawn, and a sentence that says what it shows.
Matplotlib is imported only once something is drawn.
"""

from isthmus.figures.activity import Activity, activity, firing, full_scale
from isthmus.figures.codes import code_heatmap, code_histogram, firing_rates, sparsity_panel
from isthmus.figures.compare_codes import compare_codes
from isthmus.figures.comparison import Measure, comparison
from isthmus.figures.curves import history_overlay, loss_curves
from isthmus.figures.dictionary import decoder_cosines, firing_profile
from isthmus.figures.dictionary_fronts import fvu_against_l0, fvu_against_max_rate
from isthmus.figures.dictionary_history import dead_latents
from isthmus.figures.latent_map import latent_map, latent_maps
from isthmus.figures.picture import Picture
from isthmus.figures.pixels import to_bytes
from isthmus.figures.projection import Projection, project
from isthmus.figures.reconstructions import reconstructions
from isthmus.figures.report import ReportPicture, ReportTable, Section, html_report
from isthmus.figures.table import Table
from isthmus.figures.tiles import dictionary_columns, interpolations, prior_samples, traversals
from isthmus.figures.tradeoff import pareto_front, tradeoff
from isthmus.figures.variational import kl_per_latent, rate_distortion

__all__ = [
    "Activity",
    "Measure",
    "Picture",
    "Projection",
    "ReportPicture",
    "ReportTable",
    "Section",
    "Table",
    "activity",
    "code_heatmap",
    "code_histogram",
    "compare_codes",
    "comparison",
    "dead_latents",
    "decoder_cosines",
    "dictionary_columns",
    "firing",
    "firing_profile",
    "firing_rates",
    "full_scale",
    "fvu_against_l0",
    "fvu_against_max_rate",
    "history_overlay",
    "html_report",
    "interpolations",
    "kl_per_latent",
    "latent_map",
    "latent_maps",
    "loss_curves",
    "pareto_front",
    "prior_samples",
    "project",
    "rate_distortion",
    "reconstructions",
    "sparsity_panel",
    "to_bytes",
    "tradeoff",
    "traversals",
]
