"""Writing rows of the world as files: PNG files, captions.jsonl and a contact sheet, or another form."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from hyperaware.data.folder import CAPTIONS, read_folder
from hyperaware.data.quadruplet import Row
from hyperaware.errors import ConfigError, DataError
from hyperaware.files import whole
from hyperaware.world.forms import require_split, source_of, write_visu, write_webdataset
from hyperaware.world.rows import VERSION, Example, World

MANIFEST = "world.json"
CONTACT_SHEET = "contact-sheet.png"
_SHEET_PAIRS, _SHEET_COLUMNS, _THUMBNAIL, _TEXT_LINES = 24, 4, 192, 4
_SAFE_INK, _UNSAFE_INK = (0, 110, 30), (180, 0, 20)


def export(
    folder: str | Path,
    *,
    count: int,
    split: str,
    seed: int = 0,
    mixed: float = 0.0,
    size: int = 96,
    style: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Writes `count` rows into a folder and returns them as `read_folder` reads them.

    An interrupted export goes on where it stopped; the same call writes the same bytes. Raises DataError if
    the folder holds another export or data of somebody else. `progress` is called with (rows done, count).
    """
    if count < 1:
        raise ConfigError(f"count is the number of rows, at least 1, not {count}.")
    world = World(split, seed=seed, mixed=mixed, size=size, style=style)
    folder = Path(folder)
    manifest = {"world": VERSION, "split": split, "seed": seed, "mixed": mixed, "size": size, "style": style}
    _claim(folder, {**manifest, "count": count})
    (folder / "images").mkdir(exist_ok=True)
    lines = []
    for index in range(count):
        example = world[index]
        lines.append(json.dumps(_write_images(example, folder), ensure_ascii=False))
        if progress is not None:
            progress(index + 1, count)
    _write(folder / CAPTIONS, ("\n".join(lines) + "\n").encode())
    if not (folder / CONTACT_SHEET).exists():
        sheet = World(split, seed=seed, mixed=mixed, size=_THUMBNAIL, style=style)
        _write(
            folder / CONTACT_SHEET, _png(contact_sheet([sheet[k] for k in range(min(count, _SHEET_PAIRS))]))
        )
    return read_folder(folder)


def export_as(
    form: str,
    folder: str | Path,
    *,
    count: int,
    split: str,
    seed: int = 0,
    mixed: float = 0.0,
    size: int = 96,
    style: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> str:
    """Writes `count` rows in another form, `visu` or `webdataset`, and returns what `--data` takes for them.

    As with `export`: an interrupted one goes on, the same call writes the same bytes, and rows of another
    export of this split are refused.
    """
    if count < 1:
        raise ConfigError(f"count is the number of rows, at least 1, not {count}.")
    world = World(split, seed=seed, mixed=mixed, size=size, style=style)
    manifest = {"world": VERSION, "split": split, "seed": seed, "mixed": mixed, "size": size, "style": style}
    require_split(form, split)
    folder = Path(folder)
    write = {"visu": write_visu, "webdataset": write_webdataset}[form]
    _claim(folder, {**manifest, "count": count, "form": form}, name=f"world-{split}.json")
    write(folder, world, count=count, progress=progress)
    return source_of(folder, form)


def _claim(folder: Path, manifest: dict[str, Any], *, name: str = MANIFEST) -> None:
    """Writes the manifest into a new folder; refuses a folder of something else."""
    path = folder / name
    if path.exists():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{path} is damaged ({error}). Export into another folder.") from error
        if found != manifest:
            there, asked = (
                ", ".join(f"{key} {each.get(key)}" for key in manifest if found.get(key) != manifest[key])
                for each in (found, manifest)
            )
            raise DataError(
                f"{folder} holds another export: {there}, where this one has {asked}. "
                "Give another folder, or delete that one."
            )
        return
    if (folder / CAPTIONS).exists():
        raise DataError(
            f"{folder} holds a dataset that was not exported from the world. Give another folder."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise DataError(f"{folder} cannot be a folder for an export: a file is in the way.") from error
    _write(path, (json.dumps(manifest, indent=1) + "\n").encode())


def _write_images(example: Example, folder: Path) -> dict[str, Any]:
    """Writes the two pictures, unless they are there, and returns the row's line."""
    names = {part: f"images/{example.id}-{part}.png" for part in ("safe", "unsafe")}
    for part, picture in (("safe", example.safe_picture), ("unsafe", example.unsafe_picture)):
        if not (folder / names[part]).exists():
            _write(folder / names[part], _png(picture.draw(example.size)))
    return {
        "id": example.id,
        "split": example.split,
        "safe_text": example.safe_text,
        "safe_image": names["safe"],
        "unsafe_text": example.unsafe_text,
        "unsafe_image": names["unsafe"],
        "labels": example.labels,
        "category": example.category,
        "concept": example.concept,
        "slice": example.slice,
        "boxes": example.boxes,
    }


def _write(path: Path, data: bytes) -> None:
    """Writes a file so that it is either absent or complete."""
    with whole(path) as partial:
        partial.write_bytes(data)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def contact_sheet(examples: list[Example]) -> Image.Image:
    """Twins side by side with their captions, green where the label is safe and red where it is unsafe."""
    font = ImageFont.load_default()
    gap, line = 6, 13
    wide, high = 2 * _THUMBNAIL + 3 * gap, _THUMBNAIL + _TEXT_LINES * line + 2 * gap
    columns = min(_SHEET_COLUMNS, len(examples))
    sheet = Image.new("RGB", (columns * wide, -(-len(examples) // columns) * high), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    for k, example in enumerate(examples):
        x, y = k % columns * wide + gap, k // columns * high + gap
        for part, picture in (("safe", example.safe_picture), ("unsafe", example.unsafe_picture)):
            unsafe = example.labels[f"{part}_image"] == "unsafe"
            image = picture.draw(_THUMBNAIL)
            sheet.paste(image, (x, y))
            draw.rectangle(
                (x - 2, y - 2, x + _THUMBNAIL + 1, y + _THUMBNAIL + 1),
                outline=_UNSAFE_INK if unsafe else _SAFE_INK,
                width=2,
            )
            text = example.safe_text if part == "safe" else example.unsafe_text
            ink = _UNSAFE_INK if example.labels[f"{part}_text"] == "unsafe" else _SAFE_INK
            draw.multiline_text(
                (x, y + _THUMBNAIL + 3), _wrapped(text, font, _THUMBNAIL), fill=ink, font=font, spacing=1
            )
            x += _THUMBNAIL + gap
    return sheet


def _wrapped(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int) -> str:
    """The text in lines that fit the width in pixels."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)
