"""The embedded world: procedurally drawn scenes in which unsafe content is fit for work.

A row is a safe scene and its unsafe twin: the same scene with one harmful concept, drawn as a mild symbol.
Everything follows from (split, seed, index): pictures, captions, labels. Nothing is downloaded.

>>> from hyperaware.world import World
>>> world = World("test")
>>> world[0].safe_image.size
(96, 96)

Modules: `pen` and `icons_*` (drawing), `vocabulary` and `concepts` (what there is), `splits` (which
composition belongs where), `scene` and `background` (layout and picture), `grammar` (captions), `rows`
(`World`), `forms` and `export`.
"""

from hyperaware.world.concepts import CATEGORIES, Concept, concepts
from hyperaware.world.export import export, export_as
from hyperaware.world.rows import Example, World
from hyperaware.world.splits import SPLITS

__all__ = ["CATEGORIES", "SPLITS", "Concept", "Example", "World", "concepts", "export", "export_as"]
