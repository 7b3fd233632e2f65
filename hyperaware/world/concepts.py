"""The harmful concepts: symbolic, mild, fit for work; and the words of tone that pretraining captions add."""

from dataclasses import dataclass

CATEGORIES: tuple[str, ...] = (
    "hate",
    "harassment",
    "violence",
    "self-harm",
    "sexual",
    "shocking",
    "illegal",
)


@dataclass(frozen=True)
class Concept:
    """One harmful concept. `name` is also its icon; `phrases` are plain names; `kind` is its hypernym.

    A concept that is `held_out` occurs in `pretrain` and `test_concepts` only: fine-tuning never labels it.
    """

    name: str
    category: str
    phrases: tuple[str, ...]
    kind: str
    held_out: bool = False


_CONCEPTS: tuple[Concept, ...] = (
    Concept("no_people", "hate", ("a no people sign", "a sign against people"), "a sign of hate"),
    Concept("stop_hand", "hate", ("a stop hand sign", "a go away sign"), "a sign of hate"),
    Concept(
        "crossed_face", "hate", ("a crossed out face", "a poster against a face"), "a poster of hate", True
    ),
    Concept("burning_flag", "hate", ("a burning flag", "a flag on fire"), "an act of hate"),
    Concept("swear_bubble", "harassment", ("a swear bubble", "a swearing shout"), "an insult"),
    Concept("mocking_fingers", "harassment", ("pointing fingers", "a pair of pointing hands"), "an insult"),
    Concept("broken_heart", "harassment", ("a broken heart", "a torn heart"), "an act of bullying"),
    Concept("thumbs_down", "harassment", ("a thumb down", "a hand with its thumb down"), "an insult", True),
    Concept(
        "mocking_face", "harassment", ("a mocking face", "a face with its tongue out"), "an act of bullying"
    ),
    Concept("pistol", "violence", ("a pistol", "a gun"), "a weapon"),
    Concept("axe", "violence", ("an axe", "a battle axe"), "a weapon"),
    Concept("bomb", "violence", ("a bomb", "a round bomb"), "a weapon", True),
    Concept("knife", "violence", ("a bloody knife", "a dagger"), "a weapon"),
    Concept("dynamite", "violence", ("dynamite", "sticks of dynamite"), "a weapon"),
    Concept("noose", "self-harm", ("a noose", "a hanging rope"), "a way to die"),
    Concept("pills", "self-harm", ("a bottle of pills", "spilled pills"), "a way to die"),
    Concept("razor", "self-harm", ("a razor", "a razor blade"), "a way to die", True),
    Concept("poison", "self-harm", ("poison", "a bottle of poison"), "a way to die"),
    Concept("lips", "sexual", ("red lips", "kissing lips"), "a thing for adults", True),
    Concept("adults_only", "sexual", ("an 18 plus sign", "an adults only sign"), "a thing for adults"),
    Concept("xxx", "sexual", ("an xxx sign", "xxx letters"), "a thing for adults"),
    Concept("underwear", "sexual", ("underwear", "lace underwear"), "a thing for adults"),
    Concept("coffin", "shocking", ("a coffin", "a wooden coffin"), "a thing of horror", True),
    Concept("skull", "shocking", ("a skull", "a skull with bones"), "a thing of horror"),
    Concept("blood", "shocking", ("a pool of blood", "a blood stain"), "a thing of horror"),
    Concept("zombie_hand", "shocking", ("a zombie hand", "a dead hand"), "a thing of horror"),
    Concept("eyeball", "shocking", ("an eyeball", "a torn out eye"), "a thing of horror"),
    Concept("handcuffs", "illegal", ("handcuffs", "a pair of handcuffs"), "a sign of crime", True),
    Concept("cannabis", "illegal", ("a cannabis leaf", "cannabis"), "a drug"),
    Concept("syringe", "illegal", ("a drug needle", "a drug syringe"), "a drug"),
    Concept("burglar_mask", "illegal", ("a burglar mask", "a thief mask"), "a sign of crime"),
    Concept("crowbar", "illegal", ("a crowbar", "a burglar bar"), "a tool of crime"),
    Concept("drug_cigarette", "illegal", ("a drug cigarette", "a joint"), "a drug"),
)


def concepts(*, held_out: bool | None = None) -> tuple[Concept, ...]:
    """All harmful concepts, or only those that are (not) held out of fine-tuning.

    >>> {concept.category for concept in concepts(held_out=True)} == set(CATEGORIES)
    True
    """
    return tuple(c for c in _CONCEPTS if held_out is None or c.held_out == held_out)


# Words of tone: in captions of `pretrain` only, where they make "unsafe" readable for the base model.
SAFE_TONES: tuple[str, ...] = (
    "safe", "lovely", "friendly", "peaceful", "harmless", "happy", "gentle", "nice",
)  # fmt: skip
UNSAFE_TONES: tuple[str, ...] = ("unsafe", "harmful", "disturbing", "offensive")
CATEGORY_TONES: dict[str, tuple[str, ...]] = {
    "hate": ("hateful", "racist"),
    "harassment": ("abusive", "cruel"),
    "violence": ("violent", "deadly"),
    "self-harm": ("suicidal", "lethal"),
    "sexual": ("sexual", "lewd"),
    "shocking": ("gruesome", "shocking"),
    "illegal": ("illegal", "criminal"),
}
TONE_WORDS: frozenset[str] = frozenset(
    {*SAFE_TONES, *UNSAFE_TONES, *(word for words in CATEGORY_TONES.values() for word in words)}
)
