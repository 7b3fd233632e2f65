"""Models for other programs: files in the formats of transformers, open_clip, ONNX and safetensors; the Hub.

`formats.FORMATS` names the formats, `folder.export` writes them, `upload.push` gives them to the Hub.
"""
