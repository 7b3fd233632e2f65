"""A published HySAC file of full size (ViT-L/14, rank 16): how long reading takes, and how exact merging is.

    python -m benchmarks.published_hysac FOLDER

Writes random weights in both published layouts (1.75 GB, one after the other) and a tokenizer to FOLDER,
reads each in a fresh process, and compares its points with those of the same weights with adapters beside the
layers. Processor time counts all threads; other programs disturb it less than the clock.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPConfig, CLIPModel
from transformers.initialization import no_init_weights

from benchmarks.measure import write_result

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from published_samples import hysac_state, unmerged_hysac, write_letters_tokenizer

VISION = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 224,
    "patch_size": 14,
    "hidden_act": "quick_gelu",
}
TEXT = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "vocab_size": 49408,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 1,
}
ALLOWED_SECONDS, ALLOWED_DIFFERENCE = 30.0, 1e-4
READ = """
import json, resource, sys, time
import torch
from pathlib import Path
import hyperaware.models.pretrained
from hyperaware.models.hysac_checkpoint import read_hysac
folder = Path(sys.argv[1])
start, used = time.perf_counter(), time.process_time()
model = read_hysac(folder / "hysac_model.pth", backbone=folder / "backbone")
seconds, used = time.perf_counter() - start, time.process_time() - used
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
inputs = torch.load(folder / "inputs.pt", weights_only=True)
with torch.no_grad():
    points = model.embed_tokens(inputs["ids"]), model.embed_pixels(inputs["pixels"])
torch.save(points, folder / "points.pt")
times = {"seconds": round(seconds, 1), "processor_seconds": round(used, 1)}
print(json.dumps({**times, "peak_gigabytes": round(peak, 1)}))
"""


def main() -> None:
    """Measure both layouts, print the figures, and fail if one is too slow or not exact."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    write_letters_tokenizer(folder / "backbone", size=49408)
    config = {"model_type": "clip", "projection_dim": 768, "text_config": TEXT, "vision_config": VISION}
    (folder / "backbone" / "config.json").write_text(json.dumps(config))
    figures = {layout: measured(layout, folder) for layout in ("peft-0.4", "peft-0.6")}
    (folder / "hysac_model.pth").unlink()
    write_result("published_hysac", figures)
    print(json.dumps(figures, indent=1))
    for layout, found in figures.items():
        assert found["processor_seconds"] < ALLOWED_SECONDS, layout
        assert found["merged_differs_by"] < ALLOWED_DIFFERENCE < found["adapters_move_points_by"], layout


def measured(layout: str, folder: Path) -> dict[str, Any]:
    """What reading the file in `layout` costs, and how far its points are from the unmerged ones."""
    clip = drawn()
    state = hysac_state(clip, layout=layout, rank=16)
    for name, tensor in state.items():
        if ".lora_" in name:
            tensor.mul_(0.2)
    torch.save(state, folder / "hysac_model.pth")
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(4, 49000, (2, 77), generator=generator)
    ids[:, 20] = 49407
    pixels = torch.randn(2, 3, 224, 224, generator=generator)
    torch.save({"ids": ids, "pixels": pixels}, folder / "inputs.pt")
    unmerged = unmerged_hysac(state, clip, ids, pixels)
    tensors, size = len(state), (folder / "hysac_model.pth").stat().st_size
    for name, tensor in state.items():
        if ".lora_B" in name:
            tensor.zero_()
    plain = unmerged_hysac(state, clip, ids, pixels)
    del state, clip

    done = subprocess.run(
        [sys.executable, "-c", READ, str(folder)], stdout=subprocess.PIPE, text=True, check=True
    )
    merged = torch.load(folder / "points.pt", weights_only=True)
    return {
        "tensors": tensors,
        "gigabytes": round(size / 1e9, 2),
        **json.loads(done.stdout),
        "merged_differs_by": furthest(merged, unmerged),
        "adapters_move_points_by": furthest(plain, unmerged),
    }


def furthest(these: tuple[torch.Tensor, ...], those: tuple[torch.Tensor, ...]) -> float:
    """The largest difference of a coordinate, over texts and images."""
    return max(float((a - b).abs().max()) for a, b in zip(these, those, strict=True))


def drawn() -> CLIPModel:
    """The towers with random weights, scaled so that signals pass through 24 layers."""
    with no_init_weights():
        clip = CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=768)).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in clip.named_parameters():
            if "norm" in name:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)
            else:
                parameter.normal_(std=0.02)
    return clip


if __name__ == "__main__":
    main()
