"""Steps of the sparse objectives against automatic differentiation, and what inference keeps."""

import numpy as np
import pytest
import torch

from dictionary_toys import filled, fvu, member, mixtures, plain
from isthmus.bottlenecks import AnyK, BatchTopK, Contrastive, Matryoshka, TopK
from isthmus.errors import ConfigError
from isthmus.kernels.code import SparseCode
from isthmus.kernels.rules import Above, RowTopK
from isthmus.models.dictionary import SparseDictionary

NAMES = ("encoder", "bias", "decoder", "pre_bias")
SPARSE = [
    TopK(20, 3),
    BatchTopK(20, 3),
    Matryoshka(20, 3, prefixes=(5, 11, 20), balance=0.5),
    AnyK(20, 3, levels=(1, 2, 3)),
    AnyK(20, 4, levels=(2, 4)),
]


# --- one step by the kernels = the published recipe by autograd in float64 ------------------------


def chosen(pre, bottleneck):
    """Which pre-activations are kept."""
    k = bottleneck.k
    if isinstance(bottleneck, TopK | AnyK):
        kept = pre.argsort(1, descending=True)[:, :k]
        return torch.zeros_like(pre).scatter(1, kept, 1.0)
    edge = pre.flatten().sort(descending=True).values[k * len(pre) - 1]
    return ((pre >= edge) & (pre > 0)).double()


def parts_of(codes, bottleneck):
    """Codes of each partial reconstruction with how much it counts, by the published formulas."""
    if isinstance(bottleneck, Matryoshka):
        raw = [bottleneck.balance ** (len(bottleneck.prefixes) - i) for i in range(3)]
        for end, weight in zip(bottleneck.prefixes, raw, strict=True):
            yield codes * (torch.arange(codes.shape[1]) < end), weight / sum(raw)
    elif isinstance(bottleneck, AnyK):  # each level stands for the j's up to it
        rank = codes.detach().argsort(1, descending=True).argsort(1)
        before = 0
        for level in bottleneck.levels:
            yield codes * (rank < level), (level - before) / bottleneck.k
            before = level
    else:
        yield codes, 1.0


def oracle_loss(x, weights, bottleneck, revival):
    pre = (x - weights["pre_bias"]) @ weights["encoder"].T + weights["bias"]
    codes = pre.relu() * chosen(pre.detach(), bottleneck)
    loss = 0.0
    for part, weight in parts_of(codes, bottleneck):
        output = part @ weights["decoder"] + weights["pre_bias"]
        loss = loss + weight * (output - x).square().sum(1).mean()
    if revival is not None:
        dead, rows, k, alpha = revival
        dead = dead[(codes.detach()[:, dead] > 0).sum(0) == 0]  # what fires is not dead
        whole = codes @ weights["decoder"] + weights["pre_bias"]
        error = (x - whole).detach()[rows]
        few = pre[rows][:, dead]
        kept = few.detach().argsort(1, descending=True)[:, :k]
        aux = few.relu() * torch.zeros_like(few).scatter(1, kept, 1.0)
        guess = aux @ weights["decoder"][dead]  # no bias
        loss = (
            loss + alpha * (error - guess).square().sum() / (error - error.mean(0)).square().sum()
        )
    return loss


def oracle(x, model, bottleneck, steps, rate, revival=lambda step: None):
    """Adam on the plain loss, decoder rows on the unit sphere; float64."""
    weights = {n: getattr(model, n).detach().double().clone() for n in NAMES}
    moments = {n: (torch.zeros_like(w), torch.zeros_like(w)) for n, w in weights.items()}
    for step in range(1, steps + 1):
        leaves = {n: w.clone().requires_grad_() for n, w in weights.items()}
        oracle_loss(x, leaves, bottleneck, revival(step)).backward()
        for name, leaf in leaves.items():
            g, w = leaf.grad, weights[name]
            if name == "decoder":
                g = g - (g * w).sum(1, keepdim=True) * w
            mean, square = moments[name]
            mean.mul_(0.9).add_(0.1 * g)
            square.mul_(0.999).add_(0.001 * g * g)
            top, low = mean / (1 - 0.9**step), square / (1 - 0.999**step)
            w -= rate * top / (low.sqrt() + 6.25e-10)
            if name == "decoder":
                w /= w.norm(dim=1, keepdim=True)
    return weights


def far(model, wanted):
    """Largest difference of any weight."""
    return max(
        float((getattr(model, name).detach().double() - wanted[name]).abs().max()) for name in NAMES
    )


def ready(bottleneck, dim=9, rows=40, **settings):
    x = mixtures(rows, dim, seed=5)
    model = SparseDictionary(dim, bottleneck, seed=3)
    one = member(model, x, lr=0.01, decay=0.0, **settings)
    with torch.no_grad():  # away from the start, where encoder and decoder are the same
        draws = torch.Generator().manual_seed(0)
        model.encoder.add_(0.1 * torch.randn(model.encoder.shape, generator=draws))
        model.bias.normal_(0, 0.05, generator=draws)
    return x, model, one


@pytest.mark.parametrize("bottleneck", SPARSE, ids=repr)
def test_three_steps_are_those_of_the_formulas(bottleneck):
    x, model, one = ready(bottleneck)
    wanted = oracle(torch.tensor(x).double() / one.scale, model, bottleneck, 3, 0.01)
    before = model.encoder.detach().clone()
    for number in range(1, 4):
        one.step(x, number, 3)
    assert float((model.encoder.detach() - before).abs().max()) > 0.01
    assert far(model, wanted) < 2e-4


@pytest.mark.parametrize("bottleneck", SPARSE, ids=repr)
def test_steps_with_revival_at_work_are_those_of_the_formulas(bottleneck):
    """Source: Gao et al., arXiv:2406.04093, A.2; on every fourth row, which moves with the step.

    Of the latents that were silent for long, those that this very batch wakes are not revived.
    """
    x, model, one = ready(bottleneck, revival=0.5, revival_rows=0.25)
    dead = np.array([2, 7, 11, 12, 19])
    with torch.no_grad():
        model.encoder[dead[:3]] *= 0.1
        model.bias[dead[:3]] = 0.02
    one.seen = 10**6
    one.last_fired[:] = one.seen
    one.last_fired[dead] = 0
    assert one.dead.tolist() == dead.tolist()

    scaled = torch.tensor(x).double() / one.scale
    leaves = {n: getattr(model, n).detach().double() for n in NAMES}
    pre = (scaled - leaves["pre_bias"]) @ leaves["encoder"].T + leaves["bias"]
    woken = ((pre * chosen(pre, bottleneck)) > 0).any(0).numpy()
    silent = dead[~woken[dead]]
    assert 0 < len(silent) < len(dead)

    def revival(step):
        return (
            torch.tensor(silent),
            slice(step % 4, None, 4),
            4,
            0.5,
        )  # the power of 2 next to 9 / 2

    wanted = oracle(scaled, model, bottleneck, 1, 0.01, revival)
    without = oracle(scaled, model, bottleneck, 1, 0.01)
    one.step(x, 1, 1)
    assert far(model, wanted) < 2e-4
    assert far(model, without) > 1e-3


@pytest.mark.parametrize("bottleneck", SPARSE, ids=repr)
def test_decoder_rows_keep_unit_norm(bottleneck):
    x, model, one = ready(bottleneck)
    for number in range(1, 6):
        one.step(x, number, 5)
        norms = model.decoder.detach().norm(dim=1)
        assert torch.allclose(norms, torch.ones_like(norms), atol=1e-6)


def test_levels_of_every_j_are_the_mean_over_all_partial_sums():
    """HierarchicalTopK's loss: (1 / k) sum over j <= k; read from the history of one step."""
    x, model, one = ready(AnyK(20, 3, levels=(1, 2, 3)))
    scaled = torch.tensor(x).double() / one.scale
    losses = []
    for k in (1, 2, 3):
        leaves = {n: getattr(model, n).detach().double() for n in NAMES}
        losses.append(float(oracle_loss(scaled, leaves, TopK(20, k), None)))
    one.step(x, 1, 1)
    sums = one.at.sums
    assert sums["distortion"] / sums["count"] == pytest.approx(sum(losses) / 3, rel=1e-5)
    assert sums["fvu"] / sums["count"] == pytest.approx(losses[2], rel=1e-5)


def test_the_sum_of_matryoshkas_weights_does_not_move_the_learning_rate():
    """One prefix of all latents is BatchTopK itself: the same bytes after three steps."""
    x, one_model, one = ready(Matryoshka(20, 3, prefixes=(20,)))
    _, two_model, two = ready(BatchTopK(20, 3))
    for number in range(1, 4):
        one.step(x, number, 3)
        two.step(x, number, 3)
    for name in NAMES:
        a, b = (getattr(m, name).detach() for m in (one_model, two_model))
        assert torch.allclose(a, b, atol=1e-6), name


# --- the threshold of BatchTopK -------------------------------------------------------------------


def code_of(*values):
    values = np.array(values, np.float32)
    return SparseCode(np.array([0, len(values)]), np.arange(len(values), dtype=np.int32), values, 8)


def test_the_threshold_is_the_mean_of_the_smallest_activations_kept():
    objective = SparseDictionary(4, BatchTopK(8, 2, memory=0.9)).objective
    for smallest in (0.5, 0.3, 0.1):
        objective.observed(code_of(0.9, smallest, 0.0))
    assert float(objective.threshold) == pytest.approx((0.5 + 0.3 + 0.1) / 3)
    assert int(objective.batches) == 3
    for _ in range(300):  # later a running mean, which forgets
        objective.observed(code_of(0.7, 0.2))
    assert float(objective.threshold) == pytest.approx(0.2, abs=1e-4)


def test_a_batch_without_any_activation_says_nothing_about_the_threshold():
    objective = SparseDictionary(4, BatchTopK(8, 2)).objective
    objective.observed(code_of(0.5))
    objective.observed(code_of())
    objective.observed(code_of(0.0, 0.0))
    assert float(objective.threshold) == 0.5
    assert int(objective.batches) == 1


@pytest.mark.parametrize("kind", [BatchTopK, Matryoshka])
def test_inference_keeps_what_is_above_the_stored_threshold(kind, tmp_path):
    model = plain(4, kind(4, 1), objective__threshold=torch.tensor(0.5))
    rows = np.array([[0.5, 0.51, 3.0, 0.2], [0.1, 0.2, 0.3, -9.0]], np.float32)
    wanted = [[0, rows[0, 1], 3, 0], [0, 0, 0, 0]]
    assert model.encode(rows, dense=True).tolist() == wanted
    # a row's code does not depend on its neighbours, as the training's selection does
    assert model.encode(rows[1:], dense=True).tolist() == wanted[1:]
    model.save_pretrained(tmp_path)
    loaded = SparseDictionary.from_pretrained(tmp_path)
    assert "objective.threshold" in dict(loaded.state_dict())
    assert loaded.encode(rows, dense=True).tolist() == wanted
    # a chosen k takes each row's largest instead
    assert model.encode(rows, k=2, dense=True).tolist() == [
        [0, rows[0, 1], 3, 0],
        [0, rows[1, 1], rows[1, 2], 0],
    ]


@pytest.mark.parametrize("kind", [BatchTopK, Matryoshka])
def test_a_negative_threshold_lets_no_negative_activation_through(kind):
    model = plain(2, kind(2, 1), objective__threshold=torch.tensor(-1.0))
    rows = np.array([[-0.5, 0.25]], np.float32)
    assert model.encode(rows, dense=True).tolist() == [[0, 0.25]]
    assert model.objective.codes(torch.tensor(rows)).tolist() == [[0, 0.25]]


@pytest.mark.parametrize("bottleneck", [BatchTopK(20, 3), Matryoshka(20, 3, prefixes=(5, 20))])
def test_the_threshold_found_in_training_gives_about_k_latents(bottleneck):
    from dictionary_toys import fitted

    rows = mixtures(1500)
    model, left = fitted(bottleneck, rows, epochs=6, batch_size=128)
    found = model.encode(rows)
    assert found.nnz / len(rows) == pytest.approx(3, rel=0.15)
    assert float(model.objective.threshold) > 0
    assert left.history["validation_l0"][-1] == pytest.approx(3, rel=0.2)


# --- any k ----------------------------------------------------------------------------------------


def test_any_k_encodes_with_every_k_and_more_reconstruct_better():
    from dictionary_toys import fitted

    rows = mixtures(1200)
    model, _ = fitted(AnyK(32, 8), rows, epochs=8)
    errors = []
    for k in (1, 2, 4, 8):
        codes = model.encode(rows, k=k)
        assert np.diff(codes.indptr).max() <= k
        errors.append(fvu(rows, model.reconstruct(rows, k=k)))
    assert errors == sorted(errors, reverse=True)
    # of the same dictionary the k largest of k' > k: codes are nested
    few, many = model.encode(rows, k=2), model.encode(rows, k=8)
    assert np.array_equal(few.toarray(), many.toarray() * (few.toarray() > 0))
    # a dictionary made for one k falls behind at the others
    single, _ = fitted(TopK(32, 8), rows, epochs=8)
    assert errors[0] < fvu(rows, single.reconstruct(rows, k=1))


def test_annealing_never_takes_more_latents_than_the_last_level_holds():
    objective = SparseDictionary(4, AnyK(20, 4)).objective
    assert objective.rule(16) == RowTopK(4)
    assert objective.inference(16) == RowTopK(16)


# --- the rules ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [TopK, BatchTopK, Matryoshka, AnyK, Contrastive])
@pytest.mark.parametrize("k", [0, -1, 9])
def test_a_k_that_does_not_fit_is_refused(kind, k):
    model = SparseDictionary(3, kind(8, k=2))
    with pytest.raises(ConfigError, match=f"k must lie between 1 and the 8 latents, not {k}"):
        model.encode(np.zeros((2, 3), np.float32), k=k)


@pytest.mark.parametrize("kind", [TopK, AnyK, Contrastive])
def test_rows_keep_their_k_largest_rectified(kind):
    model = plain(4, kind(4, k=2))
    rows = np.array([[3, -1, 2, 1], [-1, -2, 0.5, -3]], np.float32)
    assert model.encode(rows, dense=True).tolist() == [[3, 0, 2, 0], [0, 0, 0.5, 0]]
    assert model.objective.codes(torch.tensor(rows)).tolist() == [[3, 0, 2, 0], [0, 0, 0.5, 0]]


def test_thresholds_follow_the_unit_of_the_data():
    model = filled(SparseDictionary(4, BatchTopK(8, 2)), objective__threshold=torch.tensor(0.5))
    model.objective.rescale(4.0)
    rule = model.objective.inference()
    assert isinstance(rule, Above)
    assert rule.threshold_N.tolist() == [2.0] * 8


@pytest.mark.parametrize("bottleneck", SPARSE, ids=repr)
def test_what_is_kept_is_said(bottleneck):
    said = " ".join(SparseDictionary(4, bottleneck).describe())
    assert "20" in said
    assert str(bottleneck.k) in said
