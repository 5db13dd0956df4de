#!/usr/bin/env python3
"""Converts the weights of a PyTorch pickle to model.safetensors, once. Needs Python and nothing else.

    python3 examples/convert/pickle_to_safetensors.py pytorch_model.bin model.safetensors

Reads both layouts of torch.save, the zip file and the older stream. Only the calls that rebuild tensors
are allowed: a pickle that asks for anything else is refused, so nothing in it is ever run.
Format: https://github.com/huggingface/safetensors (README, "Format").
"""
import collections
import json
import pickle
import struct
import sys
import zipfile

SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
STORAGES = {
    "DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16",
    "LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8",
    "ByteStorage": "U8", "BoolStorage": "BOOL",
}


class Tensor:
    def __init__(self, storage, offset, shape, strides, *_):
        self.storage, self.offset, self.shape, self.strides = storage, offset, tuple(shape), tuple(strides)

    def data(self, storages):
        """The elements in row-major order."""
        dtype, key = self.storage
        size, raw = SIZES[dtype], storages[key]
        expected, n = [], 1
        for length in reversed(self.shape):
            expected.insert(0, n)
            n *= length
        if all(a == b or length == 1 for a, b, length in zip(self.strides, expected, self.shape)):
            return raw[self.offset * size:(self.offset + n) * size]
        starts = [self.offset]
        for length, stride in zip(self.shape, self.strides):
            starts = [at + i * stride for at in starts for i in range(length)]
        return b"".join(raw[at * size:(at + 1) * size] for at in starts)


class Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
            return Tensor
        if module == "torch._utils" and name == "_rebuild_parameter":
            return lambda tensor, *_: tensor
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        raise ValueError(f"the pickle asks for {module}.{name}, which is no part of a tensor; refused")

    def persistent_load(self, saved):
        kind, dtype, key = saved[0], saved[1], saved[2]
        if kind != "storage":
            raise ValueError(f"the pickle refers to {kind!r}; expected a storage")
        return dtype, key


def read(path):
    """{name: Tensor}, {storage key: bytes}"""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            inner = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            tensors = Unpickler(archive.open(inner)).load()
            folder = inner[: -len("data.pkl")] + "data/"
            names = [name for name in archive.namelist() if name.startswith(folder)]
            return tensors, {name[len(folder):]: archive.read(name) for name in names}
    with open(path, "rb") as file:
        if Unpickler(file).load() != 0x1950A86A20F9469CFC6C:
            raise ValueError(f"{path}: no file of torch.save")
        Unpickler(file).load(), Unpickler(file).load()  # protocol, system
        dtypes = {}

        class Legacy(Unpickler):
            def persistent_load(self, saved):
                storage = super().persistent_load(saved)
                dtypes[storage[1]] = storage[0]
                return storage

        tensors = Legacy(file).load()
        storages = {}
        for key in Unpickler(file).load():
            (n,) = struct.unpack("<q", file.read(8))
            storages[key] = file.read(n * SIZES[dtypes[key]])
        return tensors, storages


def main(source, target):
    tensors, storages = read(source)
    tensors = tensors.get("state_dict", tensors)
    header, parts, at = {"__metadata__": {"format": "pt"}}, [], 0
    for name, tensor in tensors.items():
        if isinstance(tensor, Tensor):
            # Files of old say gamma and beta.
            name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
            data = tensor.data(storages)
            shape = list(tensor.shape)
            header[name] = {"dtype": tensor.storage[0], "shape": shape, "data_offsets": [at, at + len(data)]}
            parts.append(data)
            at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(target, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for data in parts:
            file.write(data)
    print(f"{target}: {len(parts)} tensors, {at} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
