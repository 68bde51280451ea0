"""The plain kernels: values worked by hand, finite differences, torch's own optimiser."""

import numpy as np
import pytest
import torch

import kernel_tools as tools
from isthmus.kernels.gpu_tensors import TensorCode, TensorMoments, TensorWeights
from isthmus.kernels.optimiser import Knobs
from isthmus.kernels.reference import ReferenceKernels, adam_step, kept, loss_terms
from isthmus.kernels.rules import Above, BatchTopK, Levels, Revival, RowTopK

F64 = torch.float64


def two_by_two():
    """Two samples, two latents; the second latent reads and writes the second coordinate.

    Pre-activations: [[3, 1], [1, -1]].
    """
    weights = TensorWeights(
        torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=F64),
        torch.tensor([1.0, -1.0], dtype=F64),
        torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=F64),
        torch.tensor([5.0, -5.0], dtype=F64),
    )
    return torch.tensor([[2.0, 1.0], [0.0, 0.0]], dtype=F64), weights


# ---------------------------------------------------------------- selection


def test_selection_by_hand():
    pre = torch.tensor([[1.0, 3.0, 3.0, -2.0], [-1.0, -1.0, -3.0, -1.0]])
    assert kept(pre, RowTopK(1)).tolist() == [[False, True, False, False], [True] + [False] * 3]
    assert kept(pre, RowTopK(3))[1].tolist() == [True, True, False, True]
    assert kept(pre, BatchTopK(1)).tolist() == [[False, True, True, False], [False] * 4]
    assert kept(pre, BatchTopK(2)).sum() == 3, "negative ones are left out"
    above = Above(np.array([1.0, 3.0, 2.0, -9.0], dtype=np.float32))
    assert kept(pre, above).tolist() == [[False, False, True, False], [False] * 4]


def test_an_unknown_rule_is_refused():
    with pytest.raises(TypeError, match="not a rule"):
        kept(torch.zeros(1, 1), "topk")


def test_codes_by_hand():
    inputs, weights = two_by_two()
    kernels = ReferenceKernels()
    assert kernels.select(inputs, weights, RowTopK(2)).dense().tolist() == [[3, 1], [1, 0]]
    code = kernels.select(inputs, weights, BatchTopK(1))
    assert (code.indptr.tolist(), code.indices.tolist()) == ([0, 2, 2], [0, 1])
    decoded = kernels.decode(code, weights.decoder_ND, weights.pre_bias_D)
    torch.testing.assert_close(decoded, torch.tensor([[8.6, -4.2], [5.0, -5.0]], dtype=F64))


# ---------------------------------------------------------------- the loss


def test_the_loss_and_its_gradients_by_hand():
    """k = 1 keeps 3 and 1 of latent 0: residuals (3, 0) - (2, 1) = (1, -1) and (1, 0) - (0, 0).

    With scale 2 the loss is 2 * ((1 + 1) + 1) / 2 = 3 and each residual counts 2 * 2 / 2 = 2.
    Latent 0 gets slopes 2 * 1 and 2 * 1; its decoder 2 * (3 * (1, -1) + 1 * (1, 0)) = (8, -6),
    its encoder 2 * (2, 1), its bias 4; the pre-bias 2 * (2, -1) from the output and -4 * (1, 0)
    through the encoder.
    """
    inputs, weights = two_by_two()
    losses, found = ReferenceKernels().gradients_of(inputs, RowTopK(1), weights, scale=2.0)
    assert losses == {"distortion": 3.0}
    assert found.decoder_ND.tolist() == [[8, -6], [0, 0]]
    assert found.encoder_ND.tolist() == [[4, 2], [0, 0]]
    assert found.bias_N.tolist() == [4, 0]
    assert found.pre_bias_D.tolist() == [0, -2]


def test_levels_by_hand():
    """Sample 0 with codes 3 and 1: the first level leaves (1, -1), both leave (1.6, -0.2)."""
    inputs, weights = two_by_two()
    both = Levels((1, 2), (0.25, 0.5), by_rank=False)
    losses, _ = ReferenceKernels().gradients_of(inputs[:1], RowTopK(2), weights, 1.0, both)
    assert losses["whole"] == pytest.approx(2.6)
    assert losses["distortion"] == pytest.approx(0.25 * 2 + 0.5 * 2.6)
    turned = TensorWeights(
        weights.encoder_ND.flip(0),
        weights.bias_N.flip(0),
        weights.decoder_ND.flip(0),
        weights.pre_bias_D,
    )
    by_rank = Levels((1, 2), (0.25, 0.5), by_rank=True)
    same, _ = ReferenceKernels().gradients_of(inputs[:1], RowTopK(2), turned, 1.0, by_rank)
    assert same == pytest.approx(losses), "the largest first, whatever its number"
    first, _ = ReferenceKernels().gradients_of(inputs[:1], RowTopK(2), turned, 1.0, both)
    assert first["distortion"] == pytest.approx(0.25 * (1.4**2 + 0.2**2) + 0.5 * 2.6)


def flat(weights):
    return torch.cat([w.reshape(-1) for w in weights])


def unflat(vector, like):
    sizes = [w.numel() for w in like]
    split = vector.split(sizes)
    return TensorWeights(*(v.reshape(w.shape) for v, w in zip(split, like, strict=True)))


@pytest.mark.parametrize(
    "levels",
    [None, Levels((2, 5, 12), (0.2, 0.3, 0.5), False), Levels((1, 4), (0.5, 0.5), True)],
    ids=["plain", "by latent", "by rank"],
)
def test_gradients_are_finite_differences_of_the_loss(levels):
    """The support stays as it is; the pre-bias moves the inputs and the output."""
    given = tools.problem(7, 5, 12)
    inputs = torch.tensor(given.inputs, dtype=F64)
    weights = TensorWeights.of(given.weights, dtype=F64)
    code = ReferenceKernels().select(inputs, weights, RowTopK(4))
    _, found = ReferenceKernels().gradients_of(inputs, code, weights, 1.7, levels)
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        way = torch.randn(flat(weights).shape, generator=generator, dtype=F64)
        slope = _slope(inputs, code, weights, way, levels)
        assert float(flat(found) @ way) == pytest.approx(slope, rel=1e-7)


def _slope(inputs, code, weights, way, levels, size=1e-5):
    """Central difference of the loss; the data x stand still, so inputs move with the pre-bias."""
    values = []
    for sign in (1, -1):
        moved = unflat(flat(weights) + sign * size * way, weights)
        about = inputs + weights.pre_bias_D - moved.pre_bias_D
        values.append(float(loss_terms(about, code, moved, 1.7, levels)["distortion"]))
    return (values[0] - values[1]) / (2 * size)


# ---------------------------------------------------------------- revival


def dead_latent(sign=1.0):
    """Latent 0 is alive and writes (1, 0); latent 1 is dead, reads and writes (0, sign).

    The pre-bias is far from 0, so that a bias in the auxiliary reconstruction would show.
    """
    weights = TensorWeights(
        torch.tensor([[1.0, 0.0], [0.0, sign]], dtype=F64),
        torch.tensor([0.0, 0.0], dtype=F64),
        torch.tensor([[1.0, 0.0], [0.0, sign]], dtype=F64),
        torch.tensor([7.0, 9.0], dtype=F64),
    )
    return torch.tensor([[1.0, 2.0], [1.0, 4.0]], dtype=F64), weights


REVIVAL = Revival(np.array([1]), 1, 0.5, slice(0, 2))


def test_revival_by_hand():
    """Latent 0 explains (1, 0) of both samples: e = (0, 2), (0, 4), mean (0, 3), spread 2.

    The dead latent reconstructs e exactly from the full input: the term is 0. Halve its decoder
    and half of e is left: 0.5 * (1 + 4) / 2. Then e_hat - e = -(0, 1), -(0, 2), and with
    2 * 0.5 / 2 in front: the decoder gets 0.5 * (2 * -1 + 4 * -2) = -5 in coordinate 1, slopes
    are 0.5 * 0.5 * (-1, -2), so the encoder gets 0.25 * -(2 + 8) = -2.5 and the bias -0.75.
    """
    inputs, weights = dead_latent()
    kernels = ReferenceKernels()
    alone = kernels.select(inputs, weights, RowTopK(1))
    alone = TensorCode(torch.arange(3), torch.zeros(2, dtype=torch.int32), alone.values, 2)
    losses, _ = kernels.gradients_of(inputs, alone, weights, 1.0, revival=REVIVAL)
    assert losses == {"distortion": 10.0, "revival": 0.0}

    weights.decoder_ND[1] *= 0.5
    losses, found = kernels.gradients_of(inputs, alone, weights, 1.0, revival=REVIVAL)
    assert losses["revival"] == pytest.approx(0.5 * 5 / 2)
    assert found.decoder_ND[1].tolist() == pytest.approx([0, -5])
    assert found.encoder_ND[1].tolist() == pytest.approx([-1.5 / 2, -2.5])
    assert float(found.bias_N[1]) == pytest.approx(-0.75)


def test_revival_pulls_towards_what_is_left_and_not_away_from_it():
    """The sign error of latent-sae: its dead latents learned -e."""
    inputs, weights = dead_latent()
    weights.decoder_ND[1] = torch.tensor([1.0, 0.0], dtype=F64)  # knows nothing of e = (0, +)
    code = TensorCode(torch.arange(3), torch.zeros(2, dtype=torch.int32), torch.ones(2), 2)
    _, plain = ReferenceKernels().gradients_of(inputs, code, weights, 1.0)
    _, aided = ReferenceKernels().gradients_of(inputs, code, weights, 1.0, revival=REVIVAL)
    step = -(aided.decoder_ND - plain.decoder_ND)[1]
    assert step[1] > 0, "the row turns towards +e"
    assert plain.decoder_ND[1].abs().sum() == 0


def test_revival_reaches_the_encoder_and_only_the_dead():
    """sparsify's encoder got nothing; overcomplete's "dead" were alive."""
    given = tools.problem(9, 6, 14, seed=3)
    inputs = torch.tensor(given.inputs, dtype=F64)
    weights = TensorWeights.of(given.weights, dtype=F64)
    dead = np.array([2, 3, 7, 11])
    code = ReferenceKernels().select(inputs, weights, Above(np.full(14, 0.5, np.float32)))
    aid = Revival(dead, 2, 0.5, slice(0, 9))
    _, plain = ReferenceKernels().gradients_of(inputs, code, weights, 1.0)
    _, aided = ReferenceKernels().gradients_of(inputs, code, weights, 1.0, revival=aid)
    for name in ("encoder_ND", "bias_N", "decoder_ND"):
        change = (getattr(aided, name) - getattr(plain, name)).reshape(14, -1).abs().sum(1)
        assert set(change.nonzero().flatten().tolist()) == set(dead), name
    through_encoder = -(aided.bias_N - plain.bias_N) @ weights.encoder_ND
    torch.testing.assert_close(aided.pre_bias_D - plain.pre_bias_D, through_encoder)


def test_no_bias_stands_in_the_auxiliary_reconstruction():
    """Moving the pre-bias (with the inputs about it as they were) changes nothing."""
    inputs, weights = dead_latent()
    code = TensorCode(torch.arange(3), torch.zeros(2, dtype=torch.int32), torch.ones(2), 2)
    weights.decoder_ND[1] *= 0.5
    first, _ = ReferenceKernels().gradients_of(inputs, code, weights, 1.0, revival=REVIVAL)
    weights.pre_bias_D.add_(100)
    second, _ = ReferenceKernels().gradients_of(inputs, code, weights, 1.0, revival=REVIVAL)
    assert first == second


def test_revival_is_normalised_by_the_spread_of_what_is_left():
    """Not by the spread of the inputs, which makes the term fade: here that is 100 times more."""
    inputs = torch.tensor([[30.0, 1.0], [-30.0, -1.0]], dtype=F64)
    eye = torch.eye(2, dtype=F64)
    weights = TensorWeights(
        torch.stack([eye[0], -eye[0], eye[1]]),
        torch.zeros(3, dtype=F64),
        torch.stack([eye[0], -eye[0], 0 * eye[1]]),
        torch.zeros(2, dtype=F64),
    )
    code = ReferenceKernels().select(inputs, weights, RowTopK(1))  # e = (0, 1), (0, -1)
    aid = Revival(np.array([2]), 1, 0.25, slice(0, 2))
    losses, _ = ReferenceKernels().gradients_of(inputs, code, weights, 1.0, revival=aid)
    assert losses["revival"] == pytest.approx(0.25), "nothing explained: the weight itself"


def test_revival_of_one_row_or_of_none_dead_is_nothing():
    inputs, weights = dead_latent()
    code = TensorCode(torch.arange(3), torch.zeros(2, dtype=torch.int32), torch.ones(2), 2)
    _, plain = ReferenceKernels().gradients_of(inputs, code, weights, 1.0)
    for aid in (
        Revival(np.array([1]), 1, 0.5, slice(0, 1)),  # no spread about its own mean
        Revival(np.array([], dtype=np.int64), 1, 0.5, slice(0, 2)),
    ):
        losses, found = ReferenceKernels().gradients_of(inputs, code, weights, 1.0, revival=aid)
        assert set(losses) == {"distortion"}
        assert all(torch.equal(a, b) for a, b in zip(found, plain, strict=True))


def test_revival_gradients_are_finite_differences_on_the_dead_rows():
    """What is left is held constant, and does not depend on rows that the code does not use."""
    given = tools.problem(9, 5, 12, seed=1)
    inputs = torch.tensor(given.inputs, dtype=F64)
    weights = TensorWeights.of(given.weights, dtype=F64)
    alive = np.full(12, np.inf, np.float32)
    alive[:6] = 0.1
    code = ReferenceKernels().select(inputs, weights, Above(alive))
    aid = Revival(np.arange(6, 12), 3, 0.5, slice(1, 8))
    _, found = ReferenceKernels().gradients_of(inputs, code, weights, 1.0, revival=aid)
    generator = torch.Generator().manual_seed(1)
    way = torch.randn(flat(weights).shape, generator=generator, dtype=F64)
    directions = unflat(way, weights)
    for part in (directions.encoder_ND, directions.bias_N, directions.decoder_ND):
        part[:6] = 0
    directions.pre_bias_D.zero_()
    values = []
    for sign in (1, -1):
        moved = unflat(flat(weights) + sign * 1e-6 * way, weights)
        values.append(float(loss_terms(inputs, code, moved, 1.0, revival=aid)["revival"]))
    slope = (values[0] - values[1]) / 2e-6
    assert float(flat(found) @ way) == pytest.approx(slope, rel=1e-6)
    assert abs(slope) > 1e-3


# ---------------------------------------------------------------- the optimiser


def test_steps_are_those_of_torch_adam_on_the_sphere():
    """Projected gradient in, unit rows out; three steps, so that both moments matter.

    Weight decay is AdamW's, and the encoder's alone.
    """
    generator = torch.Generator().manual_seed(0)
    given = tools.problem(1, 4, 6)
    weights = TensorWeights.of(given.weights, dtype=F64)
    mirror = [w.clone().requires_grad_() for w in weights]
    optimiser = torch.optim.AdamW(
        [{"params": mirror[:1], "weight_decay": 0.3}, {"params": mirror[1:], "weight_decay": 0.0}],
        lr=0.05,
        betas=(0.8, 0.99),
        eps=1e-7,
    )
    moments = TensorMoments.zeros(weights)
    for step in (1, 2, 3):
        gradients = TensorWeights(
            *(torch.randn(w.shape, generator=generator, dtype=F64) for w in weights)
        )
        for leaf, gradient in zip(mirror, gradients, strict=True):
            leaf.grad = gradient.clone()
        rows = mirror[2].detach()
        mirror[2].grad -= (mirror[2].grad * rows).sum(1, keepdim=True) * rows
        optimiser.step()
        with torch.no_grad():
            mirror[2] /= mirror[2].norm(dim=1, keepdim=True)
        adam_step(gradients, weights, moments, Knobs(0.05, step, 0.8, 0.99, 1e-7, decay=0.3))
        for ours, theirs in zip(weights, mirror, strict=True):
            torch.testing.assert_close(ours, theirs.detach(), rtol=1e-12, atol=1e-12)
    norms = weights.decoder_ND.norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(6, dtype=F64))


def test_a_row_of_zeros_stays_finite():
    weights = TensorWeights(*(torch.zeros(s, dtype=F64) for s in ((2, 3), 2, (2, 3), 3)))
    adam_step(weights.like(), weights, TensorMoments.zeros(weights), Knobs(0.1, 1))
    assert all(bool(w.isfinite().all()) for w in weights)


def test_backward_step_and_apply_agree():
    given = tools.problem(8, 4, 10)
    side = tools.reference()
    asked = tools.Asked(RowTopK(3), revival=Revival(np.array([1, 2]), 1, 0.1, slice(0, 8)))
    knobs = [Knobs(0.01, step) for step in (1, 2)]
    fused, apart = (side.steps(given, asked, knobs, fused=way) for way in (True, False))
    assert all(tools.apart(a, b) == 0 for a, b in zip(fused, apart, strict=True))
    assert ReferenceKernels("no triton").why == "no triton"


def test_inputs_by_hand():
    kernels = ReferenceKernels()
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    inputs = kernels.centred(x, 2.0, torch.tensor([1.0, 0.0]))
    assert inputs.tolist() == [[1, 4], [5, 8], [9, 12]]
    noise = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    kernels.add_noise(inputs, noise, 1, 0, torch.tensor([10.0, 20.0, -1.0]))
    assert inputs.tolist() == [[1, 14], [25, 8], [9, 11]]
    kernels.add_noise(inputs, noise, 0, 1, torch.tensor([1.0, 0.0, 0.0]))
    assert inputs[0].tolist() == [1, 15], "coordinates begin at the shift"
    kernels.close()
