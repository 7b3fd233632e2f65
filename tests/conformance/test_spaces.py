"""What every `Space` must satisfy; run over every one that exists."""

import json
import math

import pytest
import torch
from torch import Tensor

from hyperaware.errors import ConfigError
from hyperaware.geometry import Euclid, Lorentz, Space, Sphere, space_from_config
from hyperaware.geometry.space import SPACES

EXAMPLES: list[Space] = [
    Sphere(),
    Euclid(),
    Lorentz(0.1),
    Lorentz(1.0),
    Lorentz(10),
    Lorentz(torch.tensor(2.0)),
]


@pytest.fixture(params=EXAMPLES, ids=lambda space: f"{space.name}-{space.config().get('curv', '')}")
def space(request: pytest.FixtureRequest) -> Space:
    return request.param


@pytest.fixture
def features() -> Tensor:
    return torch.randn(7, 5, generator=torch.Generator().manual_seed(1))


def test_every_registered_space_is_tried_here() -> None:
    assert {example.name for example in EXAMPLES} == set(SPACES)


def test_satisfies_the_protocol(space: Space) -> None:
    assert isinstance(space, Space)
    assert not isinstance(torch.zeros(1), Space)


def test_config_is_json_and_makes_the_same_space(space: Space, features: Tensor) -> None:
    again = space_from_config(json.loads(json.dumps(space.config())))
    assert type(again) is type(space)
    assert again.config() == space.config()
    x = space.lift(features)
    torch.testing.assert_close(again.similarity(x, x), space.similarity(x, x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_lift_keeps_shape_and_dtype(space: Space, features: Tensor, dtype: torch.dtype) -> None:
    for batch in (features, features[0], features[:0], features.reshape(1, 7, 5)):
        points = space.lift(batch.to(dtype))
        assert points.shape == batch.shape
        assert points.dtype == dtype
        assert points.isfinite().all()


def test_lift_of_nothing_is_finite_with_finite_gradients(space: Space) -> None:
    zero = torch.zeros(2, 5, requires_grad=True)
    points = space.lift(zero)
    (gradient,) = torch.autograd.grad(points.sum(), zero)
    assert points.eq(0).all()
    assert gradient.isfinite().all()


def test_a_point_is_most_similar_to_itself(space: Space, features: Tensor) -> None:
    x = space.lift(features)
    assert space.similarity(x, x).argmax(dim=1).tolist() == list(range(7))


def test_similarity_falls_with_distance(space: Space, features: Tensor) -> None:
    x, y = space.lift(features[:3]).double(), space.lift(features[3:]).double()
    distances = space.distance(x[:, None], y)
    assert distances.shape == (3, 4)
    assert torch.equal(distances.argsort(dim=1), space.similarity(x, y).argsort(dim=1, descending=True))


def test_order_of_products_is_the_order_of_similarity(space: Space, features: Tensor) -> None:
    x, y = space.lift(features[:3]), space.lift(features[3:])
    queries, items = space.product_queries(x), space.product_items(y)
    assert queries.shape[1] == items.shape[1]
    assert torch.equal((queries @ items.T).argsort(dim=1), space.similarity(x, y).argsort(dim=1))


def test_ball_has_the_nearest_item_first(space: Space, features: Tensor) -> None:
    x = space.lift(features)
    query = space.lift(features[2:3] * 1.02)
    ball = space.ball(x)
    assert ball.shape == x.shape
    assert space.curv == 0 or (ball.norm(dim=-1) <= 1 + 1e-6).all()  # flat space needs no ball
    assert torch.cdist(space.ball(query), ball).argmin().item() == 2


def test_gradients_reach_the_features(space: Space, features: Tensor) -> None:
    features.requires_grad_()
    x = space.lift(features)
    (gradient,) = torch.autograd.grad(space.similarity(x[:3], x[3:]).sum(), features)
    assert gradient.isfinite().all()
    assert gradient.norm() > 0


def test_root_distance_and_move_to_exist_exactly_where_there_is_a_root(
    space: Space, features: Tensor
) -> None:
    x = space.lift(features)
    if space.has_root:
        moved = space.move_to(x, 0.25)
        torch.testing.assert_close(space.root_distance(moved), torch.full((7,), 0.25))
        assert float(space.curv) >= 0
        return
    assert space.curv < 0
    for ask in (lambda: space.root_distance(x), lambda: space.move_to(x, 0.25)):
        with pytest.raises(ConfigError, match="no root"):
            ask()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "a name and settings"),
        ({"name": 3}, "a name and settings"),
        ({"name": "lorenz"}, "Did you mean 'lorentz'"),
        ({"name": "lorentz", "curvature": 1.0}, "curvature"),
        ({"name": "sphere", "curv": 1.0}, "cannot be made"),
        ({"name": "lorentz", "curv": -1.0}, "positive"),
        ({"name": "lorentz", "curv": 0}, "positive"),
        ({"name": "lorentz", "curv": math.nan}, "positive"),
        ({"name": "lorentz", "curv": math.inf}, "positive"),
    ],
)
def test_a_wrong_config_is_refused(config: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        space_from_config(config)
