"""The policies that come with the package redirect to where safe pictures are."""

import pytest

from hyperaware.models.pretrained import load, shipped_folder
from hyperaware.moderation import bounds as bounds_module
from hyperaware.moderation.policy import Policy
from hyperaware.moderation.redirect import redirect
from hyperaware.server.settings import DEMO_POLICY
from hyperaware.world import export

POLICIES = {"default": Policy.default(), "demo": Policy.read(DEMO_POLICY)}


@pytest.mark.parametrize("name", ["world-hysac", "world-hysac-ordered"])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_redirected_query_lands_within_the_limit_of_pictures(policy: str, name: str, tmp_path) -> None:
    """A weaker redirect would leave an unsafe query outside: with half the strength it lands between the two
    shells."""
    model = load(name)
    bounds = bounds_module.load(shipped_folder(name), model_fingerprint=model.fingerprint)
    rows = export(tmp_path, count=8, split="test")
    roles = {role: rule for role, rule in POLICIES[policy].roles.items() if rule.action == "redirect"}
    assert "viewer" in roles
    queries = {
        "text": model.encode_text([row.unsafe_text for row in rows]),
        "image": model.encode_image([row.unsafe_image for row in rows]),
    }
    for rule in roles.values():
        for modality, points in queries.items():
            moved = redirect(
                points,
                space=model.space,
                bounds=bounds,
                query_modality=modality,
                target_modality="image",
                strength=rule.strength,
            )
            assert moved.triggered.all()
            assert (moved.root_distance_after <= bounds.limit["image"]).all()
