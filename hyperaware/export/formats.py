"""The formats that a model is written in, and what opens them."""

__all__ = ["FORMATS", "LIBRARIES"]

FORMATS = {
    "clip": "hyperaware.export.clip:write",
    "open_clip": "hyperaware.export.open_clip:write",
    "onnx": "hyperaware.export.onnx:write",
    "safetensors": "hyperaware.export.own:write_file",
    "hyperaware": "hyperaware.export.own:write_folder",
}
"""Functions of a plain model (no adapters, float32, on the CPU) and an empty folder, that write into it, open
what they wrote, and give the largest difference from the model by modality."""
LIBRARIES = {"clip": "transformers", "open_clip": "open_clip", "onnx": "onnx"}
"""What opens a format, as the Hub calls it, where it is not hyperaware."""
