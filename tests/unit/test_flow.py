"""The flow through weights: the worked example, brute force by outer products, channels without variance."""

import math

import pytest
import torch
from torch import Tensor

from hyperaware.editing.flow import Channels, MeanOfRatios, RatioOfMeans, channels
from hyperaware.errors import DataError

W = torch.tensor([[1.0, -2.0], [3.0, 0.5]])
SAFE = torch.tensor([[1.0, 0.0], [2.0, 1.0], [3.0, 2.0]])
UNSAFE = torch.tensor([[2.0, 0.0], [0.0, 4.0], [1.0, 2.0]])
RATIO = torch.tensor([[0.813452, 1.361166], [0.433057, 0.724643]])


def test_channels_of_the_worked_example() -> None:
    """sqrt(14), sqrt(5) with deviations 1, 1; sqrt(5), sqrt(20) with deviations 1, 2."""
    found = channels(torch.stack([SAFE, UNSAFE]))
    assert torch.allclose(found.norm, torch.tensor([[14.0, 5.0], [5.0, 20.0]]).sqrt())
    assert torch.allclose(found.steadiness, torch.tensor([[14.0, 5.0], [5.0, 5.0]]).sqrt())


def test_ratio_of_the_worked_example() -> None:
    """|W| n is 8.213794, 12.343008 and 11.180340, 8.944272: the flow into the outputs, times d_in = 2."""
    items = channels(torch.stack([SAFE, UNSAFE]))
    flows = items.norm @ W.abs().T
    assert torch.allclose(flows / 2, torch.tensor([[4.106897, 6.171504], [5.590170, 4.472136]]))
    for kind in (MeanOfRatios, RatioOfMeans):  # the same for one pair
        gathered = kind(W)
        gathered.add(items, W.abs())
        assert torch.allclose(gathered.ratio(), RATIO, atol=1e-6)


def flow_through(z: Tensor, weight: Tensor, counted: Tensor) -> Tensor:
    """Phi of one item by the definition, entry by entry: o_i q_j / s_j."""
    z = z[counted.bool()]
    norm, deviation = z.norm(dim=0), z.std(dim=0)
    carried = norm * weight.abs()
    return torch.outer(carried.mean(dim=1), carried.mean(dim=0)) / deviation


@pytest.fixture
def layer(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Six pairs of 9 tokens, of which 2 to 9 count, entering a 7 x 5 layer; and the layer's weight."""
    z = torch.randn(12, 9, 5, generator=generator, dtype=torch.float64) + 0.3
    lengths = torch.tensor([9, 2, 5, 9, 3, 7, 4, 9, 2, 6, 9, 8])
    counted = torch.arange(9) < lengths.unsqueeze(1)
    return z, counted, torch.randn(7, 5, generator=generator, dtype=torch.float64)


def test_the_closed_form_is_the_brute_force(layer: tuple[Tensor, Tensor, Tensor]) -> None:
    z, counted, weight = layer
    flows = [flow_through(item, weight, mask) for item, mask in zip(z, counted, strict=True)]
    safe, unsafe = torch.stack(flows[:6]), torch.stack(flows[6:])
    mean_of_ratios, ratio_of_means = MeanOfRatios(weight), RatioOfMeans(weight)
    for rows in (slice(0, 4), slice(4, 6)):
        pairs = torch.cat([z[:6][rows], z[6:][rows]]), torch.cat([counted[:6][rows], counted[6:][rows]])
        for gathered in (mean_of_ratios, ratio_of_means):
            gathered.add(channels(*pairs), weight.abs())
    assert torch.allclose(mean_of_ratios.ratio(), (unsafe / safe).mean(dim=0), rtol=1e-12)
    assert torch.allclose(ratio_of_means.ratio(), unsafe.mean(dim=0) / safe.mean(dim=0), rtol=1e-12)


def test_float32_scores_of_small_deviations_are_exact_enough(generator: torch.Generator) -> None:
    """Channels with a mean of 30 and a deviation of 0.01: the sum of squares alone would lose all digits."""
    z = 30 + 0.01 * torch.randn(4, 50, 6, generator=generator, dtype=torch.float64)
    exact, found = channels(z).steadiness, channels(z.float()).steadiness
    assert found.dtype == torch.float32
    assert ((found - exact).abs() / exact).max() < 1e-3
    half = channels(z.half())
    assert half.norm.dtype == torch.float32


def test_padding_is_not_counted(layer: tuple[Tensor, Tensor, Tensor]) -> None:
    z, counted, _ = layer
    other = torch.where(counted.unsqueeze(-1), z, 100.0)
    for one, two in zip(channels(z, counted), channels(other, counted), strict=True):
        assert torch.equal(one, two)
    whole = channels(z[:, :4], torch.ones(12, 4, dtype=torch.bool))
    for one, two in zip(whole, channels(z[:, :4]), strict=True):
        assert torch.allclose(one, two, rtol=1e-12)


def test_a_silent_channel_prefers_neither_side() -> None:
    """It gets what noise of any size has: sqrt(T - 1), in both halves, over 3 tokens and over 5."""
    z = torch.randn(2, 5, 3)
    z[:, :, 1] = 0.0
    assert channels(z).steadiness[:, 1].tolist() == [2.0, 2.0]
    counted = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]).bool()
    found = channels(z, counted).steadiness[:, 1]
    assert found.tolist() == pytest.approx([math.sqrt(2), 2.0])
    noise = torch.randn(2, 4001, 1, dtype=torch.float64) * 1e-9
    assert channels(noise).steadiness.flatten().tolist() == pytest.approx([math.sqrt(4000)] * 2, rel=0.01)


def test_a_channel_that_never_varies_is_an_error_unless_deviations_have_a_floor() -> None:
    z = torch.randn(2, 5, 3)
    z[1, :, 2] = 0.1  # the mean of five of them is another number, in float32
    for kind in (MeanOfRatios, RatioOfMeans):
        with pytest.raises(DataError, match="the same at every token"):
            kind(torch.ones(4, 3)).add(channels(z), torch.ones(4, 3))
        gathered = kind(torch.ones(4, 3))
        gathered.add(channels(z, deviation_floor=1e-8), torch.ones(4, 3))
        assert gathered.ratio().isfinite().all()


def test_a_layer_that_nothing_enters_is_an_error() -> None:
    """0/0 at every output."""
    items = Channels(torch.zeros(2, 3), torch.ones(2, 3))
    with pytest.raises(DataError, match="not finite"):
        MeanOfRatios(torch.ones(4, 3)).add(items, torch.ones(4, 3))
