"""One optimiser step of HySAC against a plainly written loop: seconds, losses, memory.

    OMP_NUM_THREADS=2 python -m benchmarks.train_step          # on 2 quiet cores, about 3 minutes

A random CLIP of the size of ViT-B/32, adapters of rank 16 on the published layers, 8 quadruplets of the
embedded world: pictures at 224 pixels, captions of the lengths that its tokenizer gives.

    plain   a loop in the published manner: a tower with peft's adapters for each modality, four forward
            passes, texts padded to 77 tokens, float32, anomaly detection on. Its batches are made before the
            clock runs.
    fp32    `training.loop.fit` as it is, batches made while the clock runs
    bf16    the same with `precision = "bf16"`, where the processor has instructions for it: elsewhere the
            products are emulated

All start from the same weights and see the same rows, without dropout and without clipping, so the losses of
all steps must agree. The loss itself is the product's in both: what is compared is the step. Each way has a
process of its own, which also gives its peak of memory; figures are medians of the steps after the first.

Where CUDA is at hand, `--gpu` measures instead `fit` on ViT-L/14 with 256 quadruplets in bfloat16.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPConfig, CLIPModel, CLIPTextModelWithProjection, CLIPVisionModelWithProjection

from benchmarks.measure import in_new_process, peak_memory, write_result
from hyperaware.data.quadruplet import Quadruplet, Row
from hyperaware.evaluation.examples import Batch, Examples
from hyperaware.geometry.space import Lorentz
from hyperaware.methods.hysac import HySAC
from hyperaware.models.adapters import PUBLISHED_TARGETS
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.preprocess import Preprocess
from hyperaware.models.pretrained import load
from hyperaware.terminal import table
from hyperaware.training.loop import fit
from hyperaware.training.settings import Settings
from hyperaware.world import export

QUADRUPLETS, STEPS, ROWS = 8, 6, 32
ON_GPU = 256
FASTER = {"fp32": 1.8, "bf16": 3.5}
"""What is asked for."""
SAME = 1e-5
"""Greatest relative difference of the losses in float32."""
LARGE = {
    "text_config": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_attention_heads": 12,
        "projection_dim": 768,
    },
    "vision_config": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "patch_size": 14,
        "projection_dim": 768,
    },
    "projection_dim": 768,
}
"""ViT-L/14; the configuration's defaults are those of ViT-B/32."""


class Enough(Exception):
    """All steps were measured: what follows them in a run (evaluation, files) is not."""


@dataclass(frozen=True)
class Started(HySAC):
    """HySAC whose adapters start from numbers that the plain loop draws too, instead of peft's."""

    lora_dropout: float = 0.0

    def prepare(self, model: DualEncoder, *, features: Quadruplet) -> None:
        super().prepare(model, features=features)
        draw_adapters(model)


def random_model(config: dict[str, Any]) -> DualEncoder:
    """CLIP with random weights, and the embedded world's tokenizer: real captions without a download."""
    tokenizer = load("world").tokenizer
    configuration = CLIPConfig(**config)
    text: Any = configuration.text_config
    text.eos_token_id, text.pad_token_id = tokenizer.eos_id, tokenizer.pad_id
    tokenizer.context_length = text.max_position_embeddings
    torch.manual_seed(0)
    return DualEncoder(CLIPModel(configuration), tokenizer=tokenizer, preprocess=Preprocess(size=224))


def draw_adapters(model: nn.Module) -> None:
    """Overwrite every adapter by normal numbers that depend on its layer alone."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                seed = sum(map(ord, name.partition("base_model.model.")[2]))
                numbers = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed))
                parameter.copy_(0.02 * numbers)


def forget_peak() -> None:
    """From here on the peak of memory is counted anew: what building a model takes is not the step's."""
    Path("/proc/self/clear_refs").write_text("5")


def settings(**changes: Any) -> Settings:
    """A line of the log for each step, no clipping, no measurement in between."""
    common = {"steps": 10_000, "evaluate_every": 10_000, "log_every": 1, "max_grad_norm": None}
    return Settings(**{**common, "batch_size": QUADRUPLETS, **changes})


# -- the product -----------------------------------------------------------------------------------------


def fitted(rows: list[Row], *, config: dict[str, Any], chosen: Settings, folder: Path) -> dict[str, Any]:
    """Seconds and losses of the steps of `fit`, from one line of its log to the next."""
    model = random_model(config)
    examples = Examples(rows, model=model)
    ticks: list[float] = []
    losses: list[float] = []
    counter = FlopCounterMode(display=False)

    def watch(line: dict[str, Any]) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if len(ticks) == 0:
            forget_peak()
        ticks.append(time.perf_counter())
        losses.append(line["loss"])
        if len(ticks) == STEPS + 2:
            counter.__enter__()  # one step more, to count
        if len(ticks) == STEPS + 3:
            counter.__exit__(None, None, None)
            raise Enough

    try:
        fit(
            model,
            Started(),
            train=examples,
            validation=examples,
            settings=chosen,
            folder=folder,
            report=watch,
        )
    except Enough:
        seconds = [after - before for before, after in pairwise(ticks[:-1])]
    return measured(seconds, losses[: STEPS + 1], counter.get_total_flops())


# -- the plain loop --------------------------------------------------------------------------------------


class Plain(nn.Module):
    """Two towers of transformers, each in peft's adapters, and HySAC's four scalars."""

    def __init__(self) -> None:
        from peft import LoraConfig, get_peft_model

        super().__init__()
        clip = random_model({}).clip
        weights = clip.state_dict()
        self.config: Any = clip.config
        for name, kind in (("text", CLIPTextModelWithProjection), ("vision", CLIPVisionModelWithProjection)):
            tower = kind(getattr(self.config, f"{name}_config"))
            tower.load_state_dict({key: weights[key] for key in tower.state_dict()})
            adapters = LoraConfig(
                r=16, lora_alpha=1, lora_dropout=0.0, target_modules=list(PUBLISHED_TARGETS), bias="none"
            )
            setattr(self, name, get_peft_model(tower, adapters))
        draw_adapters(self)
        dim = self.config.projection_dim
        self.log_curv = nn.Parameter(torch.tensor(0.0))
        self.log_alpha_text = nn.Parameter(torch.tensor(dim**-0.5).log())
        self.log_alpha_image = nn.Parameter(torch.tensor(dim**-0.5).log())
        self.log_logit_scale = nn.Parameter(torch.tensor(1 / 0.07).log())

    def points(self, batch: Batch, space: Lorentz) -> Quadruplet:
        """Four forward passes."""
        ids = nn.functional.pad(
            batch.ids, (0, 77 - batch.ids.shape[1]), value=self.config.text_config.pad_token_id
        )
        alpha_text, alpha_image = self.log_alpha_text.exp(), self.log_alpha_image.exp()

        def text(part: Tensor) -> Tensor:
            return space.lift(alpha_text * self.text(input_ids=part).text_embeds)

        def image(part: Tensor) -> Tensor:
            return space.lift(alpha_image * self.vision(pixel_values=part).image_embeds)

        safe_ids, unsafe_ids = ids.chunk(2)
        safe_pixels, unsafe_pixels = batch.pixels.chunk(2)
        return Quadruplet(
            safe_text=text(safe_ids),
            safe_image=image(safe_pixels),
            unsafe_text=text(unsafe_ids),
            unsafe_image=image(unsafe_pixels),
        )


def plain(rows: list[Row]) -> dict[str, Any]:
    """Seconds and losses of the plain loop's steps."""
    examples = Examples(rows, model=random_model({}))
    model, method = Plain(), HySAC()
    scalars = [model.log_curv, model.log_alpha_text, model.log_alpha_image, model.log_logit_scale]
    adapters = [parameter for name, parameter in model.named_parameters() if "lora_" in name]
    groups = [{"params": adapters, "weight_decay": 0.2}, {"params": scalars, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=method.learning_rate, betas=(0.9, 0.98))
    model.train()

    def step(batch: Batch) -> float:
        with torch.autograd.set_detect_anomaly(True):
            space = Lorentz(model.log_curv.exp())
            points = model.points(batch, space)
            terms = method.terms(points, space=space, logit_scale=model.log_logit_scale.exp())
            loss = torch.stack(list(terms.values())).sum()
            optimizer.zero_grad()
            loss.backward()
        optimizer.step()
        with torch.no_grad():
            model.log_curv.clamp_(torch.tensor(0.1).log(), torch.tensor(10.0).log())
            model.log_alpha_text.clamp_(max=0.0)
            model.log_alpha_image.clamp_(max=0.0)
            model.log_logit_scale.clamp_(torch.tensor(1 / 0.07).log(), torch.tensor(100.0).log())
        return loss.item()

    seconds, losses = [], []
    forget_peak()
    for index in range(STEPS + 1):
        batch = examples.batch(examples.indices_at_step(index, batch_size=QUADRUPLETS, seed=0))
        start = time.perf_counter()
        losses.append(step(batch))
        seconds.append(time.perf_counter() - start)
    with FlopCounterMode(display=False) as counter:
        step(batch)
    return measured(seconds, losses, counter.get_total_flops())


# -- results ---------------------------------------------------------------------------------------------


def measured(seconds: list[float], losses: list[float], flops: int) -> dict[str, Any]:
    """The first step is left out: it allocates."""
    return {
        "seconds": statistics.median(seconds[1:]),
        "each": seconds,
        "losses": losses,
        "peak_bytes": peak_memory(),
        "flops": flops,
    }


def bf16_instructions() -> list[str]:
    """Which instructions for bfloat16 the processor has; none: the products are emulated."""
    flags = Path("/proc/cpuinfo").read_text().split() if Path("/proc/cpuinfo").exists() else []
    return sorted({"avx512_bf16", "amx_bf16"} & set(flags))


def lengths(rows: list[Row]) -> list[int]:
    """Tokens of the captions."""
    _, mask = load("world").tokenizer([text for row in rows for text in (row.safe_text, row.unsafe_text)])
    return sorted(mask.sum(dim=1).tolist())


def one_way(name: str, folder: Path) -> dict[str, Any]:
    rows = export(folder / "rows", count=ROWS, split="train")
    if name == "plain":
        return plain(rows)
    precision = "bf16" if name == "bf16" else "no"
    return fitted(rows, config={}, chosen=settings(precision=precision), folder=folder / name)


def compared(ways: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """How much faster, how far apart in the losses, and what of the asked-for was met."""
    slow = ways["plain"]
    result: dict[str, Any] = {}
    for name, asked in FASTER.items():
        if name not in ways:
            reason = "this processor has no instructions for bfloat16 (avx512_bf16, amx_bf16)"
            result[name] = {"asked": asked, "passed": None, "not_measured": reason}
            continue
        pairs = zip(ways[name]["losses"], slow["losses"], strict=True)
        result[name] = {
            "times_faster": slow["seconds"] / ways[name]["seconds"],
            "asked": asked,
            "loss_apart": max(abs(ours - theirs) / abs(theirs) for ours, theirs in pairs),
        }
        is_same = name != "fp32" or result[name]["loss_apart"] <= SAME
        result[name]["passed"] = result[name]["times_faster"] >= asked and is_same
    return result


def on_cpu() -> bool:
    """Measure all ways, print and write; returns whether nothing that can be judged has failed."""
    with tempfile.TemporaryDirectory() as folder:
        words = ("--folder", folder, "--way")
        names = ("plain", "fp32", "bf16") if bf16_instructions() else ("plain", "fp32")
        ways = {}
        for name in names:
            ways[name] = in_new_process("benchmarks.train_step", *words, name)
            print(f"{name}: {ways[name]['seconds']:.2f} s", flush=True)
        tokens = lengths(export(Path(folder) / "rows", count=ROWS, split="train"))
    verdict = compared(ways)
    rows = [
        [
            name,
            f"{way['seconds']:.2f}",
            f"{way['flops'] / 1e9:.0f}",
            f"{way['peak_bytes'] / 2**30:.2f}",
            "" if name == "plain" else f"{verdict[name]['times_faster']:.2f}",
            "" if name == "plain" else f"{verdict[name]['loss_apart']:.1e}",
        ]
        for name, way in ways.items()
    ]
    columns = ["way", "seconds", "GFLOP", "peak GiB", "times faster", "loss apart"]
    table(columns, rows, title=f"One step of HySAC, ViT-B/32, {QUADRUPLETS} quadruplets")
    for name, each in verdict.items():
        met = {True: "met", False: "NOT MET", None: f"not measured: {each.get('not_measured')}"}
        print(f"{name}: {each['asked']} times faster was asked: {met[each['passed']]}")
    document = {
        "model": "random CLIP of the size of ViT-B/32, adapters of rank 16",
        "quadruplets": QUADRUPLETS,
        "caption_tokens": {"least": tokens[0], "median": statistics.median(tokens), "most": tokens[-1]},
        "bf16_instructions": bf16_instructions(),
        "ways": ways,
        "verdict": verdict,
    }
    print(f"Written: {write_result('train_step', document)}")
    return all(each["passed"] is not False for each in verdict.values())


def on_gpu() -> None:
    """Measure, print and write the figures of ViT-L/14 on a GPU."""
    with tempfile.TemporaryDirectory() as folder:
        rows = export(Path(folder) / "rows", count=2 * ON_GPU, split="train")
        chosen = settings(batch_size=ON_GPU, precision="bf16")
        way = fitted(rows, config=LARGE, chosen=chosen, folder=Path(folder) / "run")
    seconds, pictures = way["seconds"], 2 * ON_GPU
    tokens = pictures * (statistics.mean(lengths(rows)) + (224 // 14) ** 2 + 1)
    peak = product_rate()
    document = {
        "device": torch.cuda.get_device_name(),
        "model": "random CLIP of the size of ViT-L/14, adapters of rank 16, bfloat16",
        "quadruplets": ON_GPU,
        "step": way,
        "images_per_second": pictures / seconds,
        "tokens_per_second": tokens / seconds,
        "flops_per_second": way["flops"] / seconds,
        "product_flops_per_second": peak,
        "share_of_product": way["flops"] / seconds / peak,
        "device_peak_bytes": torch.cuda.max_memory_allocated(),
    }
    for key in ("images_per_second", "tokens_per_second", "share_of_product"):
        print(f"{key}: {document[key]:.3g}")
    print(f"Written: {write_result('train_step_gpu', document)}")


def product_rate() -> float:
    """Operations per second of a large bfloat16 product: what the device can reach in practice."""
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    for repeats in (3, 20):  # the first round warms up
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(repeats):
            a @ a
        torch.cuda.synchronize()
    return repeats * 2 * 8192**3 / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--gpu", action="store_true", help="ViT-L/14 with 256 quadruplets on a GPU")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(one_way(arguments.way, arguments.folder)))
    elif not arguments.gpu:
        sys.exit(not on_cpu())
    elif torch.cuda.is_available():
        on_gpu()
    else:
        sys.exit("No GPU is at hand; nothing was measured.")


if __name__ == "__main__":
    main()
