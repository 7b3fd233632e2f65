"""What any method must satisfy; run over every row of `METHODS`."""

import ast
import dataclasses
import inspect
import textwrap
from typing import Any

import pytest
import torch
from model_samples import CLASSES, random_points, tiny_model
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.errors import ConfigError
from hyperaware.methods import METHODS, method_class
from hyperaware.models.dual_encoder import DualEncoder

VARIANTS: dict[str, dict[str, Any]] = {name: {} for name in METHODS} | {
    "hysac": {"lora_rank": None},
    "hysac, ordered": {"lora_rank": None, "radial_order": 0.7},
}


@pytest.fixture(params=METHODS)
def cls(request: pytest.FixtureRequest) -> Any:
    return method_class(request.param)


@pytest.fixture(params=VARIANTS)
def method(request: pytest.FixtureRequest) -> Any:
    return method_class(request.param.partition(",")[0])(**VARIANTS[request.param])


def prepared(method: Any) -> DualEncoder:
    model = tiny_model()
    method.prepare(model, features=random_points(6, model.dim))
    return model


def labelled(points: Quadruplet) -> Quadruplet:
    """The points with every mixture of labels, in turn."""
    text, image = torch.tensor([[True, True], [True, False], [False, True], [False, False]]).T
    turn = torch.arange(len(points)) % 4
    return dataclasses.replace(points, unsafe_text_is_unsafe=text[turn], unsafe_image_is_unsafe=image[turn])


def inputs_of(method: Any) -> list[str]:
    """What the method asks for beside the points of the batch: see `training.inputs`."""
    asks = {
        "reference": getattr(method, "needs_reference", False),
        "targets": hasattr(method, "plan"),
        "boxes": getattr(method, "needs_boxes", False),
    }
    return [name for name, asked in asks.items() if asked]


def terms_of(
    method: Any, model: DualEncoder, points: Quadruplet, *, order: Tensor | None = None
) -> dict[str, Tensor]:
    """The terms on points of the model's own space, with random inputs beside them; rows in `order`."""
    lifted = points.map(model.space.lift)
    inputs = {
        name: random_points(len(points), model.dim, seed=seed).map(lambda x: model.space.lift(x.detach()))
        for seed, name in enumerate(inputs_of(method), start=1)
    }
    if order is not None:
        lifted, inputs = lifted.take(order), {name: rows.take(order) for name, rows in inputs.items()}
    return method.terms(lifted, space=model.space, logit_scale=model.logit_scale, **inputs)


# -- the settings ----------------------------------------------------------------------------------------


def test_settings_are_a_frozen_dataclass_whose_defaults_are_enough(cls: Any) -> None:
    assert dataclasses.is_dataclass(cls)
    method = cls()
    assert isinstance(method.learning_rate, float)
    with pytest.raises(dataclasses.FrozenInstanceError):
        method.learning_rate = 1.0


def test_each_setting_has_a_docstring(cls: Any) -> None:
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(tree, ast.ClassDef)
    documented = {
        node.target.id
        for node, following in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(following, ast.Expr)
        and isinstance(following.value, ast.Constant)
        and isinstance(following.value.value, str)
    }
    assert documented == {field.name for field in dataclasses.fields(cls)}


def test_the_name_is_the_row_of_the_table() -> None:
    assert {name: method_class(name).name for name in METHODS} == {name: name for name in METHODS}


def test_the_source_is_named(cls: Any) -> None:
    documentation = inspect.getdoc(inspect.getmodule(cls)) or ""
    assert "arXiv" in documentation
    assert cls.__doc__


def test_the_selection_is_of_retrievals_across_modalities(cls: Any) -> None:
    assert len(set(cls.selection)) == len(cls.selection) > 0
    for query, item in cls.selection:
        assert {query, item} <= set(CLASSES)
        assert query.endswith("text") != item.endswith("text")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("prepare", ["self", "model", "features"]),
        ("terms", ["self", "points", "space", "logit_scale"]),
        ("weight", ["self", "name"]),
    ],
)
def test_the_signatures_are_those_that_the_loop_calls(cls: Any, name: str, expected: list[str]) -> None:
    parameters = inspect.signature(getattr(cls, name)).parameters
    inputs = inputs_of(cls()) if name == "terms" else []
    assert list(parameters) == expected + inputs
    keywords = [p.name for p in parameters.values() if p.kind is p.KEYWORD_ONLY]
    assert keywords == expected[2:] + inputs
    assert all(parameters[name].default is None for name in inputs)


# -- the terms -------------------------------------------------------------------------------------------


def test_terms_are_named_finite_scalars_and_each_has_a_weight(method: Any) -> None:
    model = prepared(method)
    terms = terms_of(method, model, labelled(random_points(6, model.dim)))
    assert terms
    for name, term in terms.items():
        assert term.shape == ()
        assert bool(term.isfinite())
        assert term.dtype == torch.float32
        assert isinstance(method.weight(name), float)
        assert method.weight(name) > 0


def test_gradients_reach_all_four_parts_and_every_scalar(method: Any) -> None:
    model = prepared(method)
    points = random_points(6, model.dim)
    terms = terms_of(method, model, labelled(points))
    torch.stack([method.weight(name) * term for name, term in terms.items()]).sum().backward()
    leaves = {part: getattr(points, part) for part in CLASSES} | dict(model.scalars())
    for name, leaf in leaves.items():
        if name.startswith("log_alpha") or not leaf.requires_grad:
            continue  # these act in the model's lift, or are fixed
        assert leaf.grad is not None, name
        assert bool(leaf.grad.isfinite().all()), name
        assert float(leaf.grad.abs().sum()) > 0, name


@pytest.mark.parametrize("scale", [1e-6, 1e-2, 5.0])
def test_terms_and_gradients_are_finite_at_any_scale(method: Any, scale: float) -> None:
    model = prepared(method)
    points = random_points(4, model.dim, scale=scale)
    terms = terms_of(method, model, labelled(points))
    torch.stack(list(terms.values())).sum().backward()
    assert all(bool(term.isfinite()) for term in terms.values())
    assert all(bool(getattr(points, part).grad.isfinite().all()) for part in CLASSES)


def test_terms_are_blind_to_the_order_of_the_rows(method: Any) -> None:
    model = prepared(method)
    points, order = labelled(random_points(6, model.dim)), torch.tensor([3, 0, 5, 1, 4, 2])
    ours, theirs = terms_of(method, model, points), terms_of(method, model, points, order=order)
    assert ours.keys() == theirs.keys()
    for name, term in ours.items():
        torch.testing.assert_close(term, theirs[name])


def test_labels_and_categories_may_be_absent(method: Any) -> None:
    model = prepared(method)
    points = random_points(3, model.dim)
    assert points.unsafe_text_is_unsafe is None
    assert points.categories == ()
    assert terms_of(method, model, points)


# -- the weights -----------------------------------------------------------------------------------------


def test_terms_and_weights_meet_by_name(method: Any) -> None:
    model = prepared(method)
    names = list(terms_of(method, model, random_points(4, model.dim)))
    assert len(set(names)) == len(names)
    with pytest.raises((KeyError, ValueError, ConfigError)):
        method.weight("no such term")


def test_a_weight_changes_the_share_of_its_own_terms_only(method: Any) -> None:
    model = prepared(method)
    points = labelled(random_points(12, model.dim))

    def shares(settings: Any) -> dict[str, float]:
        terms = terms_of(settings, model, points)
        return {name: float((settings.weight(name) * term).detach()) for name, term in terms.items()}

    before = shares(method)
    weights = [f.name for f in dataclasses.fields(method) if f.name.endswith("_weight")]
    touched: list[str] = []
    for field in weights:
        default = getattr(method, field)  # none: it follows another weight, which is 1
        tripled = shares(dataclasses.replace(method, **{field: 3.0 if default is None else 3 * default}))
        assert tripled.keys() == before.keys()
        own = [name for name in before if tripled[name] != before[name]]
        assert 0 < len(own) < len(before)
        for name in own:
            assert tripled[name] == pytest.approx(3 * before[name], rel=1e-5)
        touched += own
    if weights:
        assert set(touched) | {"radial_order"} >= set(before)  # no term without a weight to set
