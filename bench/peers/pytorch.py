"""The workload on PyTorch on the CPU: pytorch.py FOLDER STEPS ROUNDS prints what the others print.

FOLDER holds workload.json with the sizes and the names, shapes and places of all numbers, and
numbers.bin with the numbers themselves, as `pytorch.ts` writes them. Any PyTorch from 1.13 on will do.
"""

import json
import os
import sys
import time

import torch
import torch.nn.functional as F

folder, steps, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(os.cpu_count() or 1)

with open(os.path.join(folder, "workload.json"), encoding="utf-8") as file:
    sizes = json.load(file)
with open(os.path.join(folder, "numbers.bin"), "rb") as file:
    numbers = torch.frombuffer(bytearray(file.read()), dtype=torch.float32)
tensors = {
    name: numbers[entry["start"] : entry["end"]].reshape(entry["shape"]).clone()
    for name, entry in sizes["tensors"].items()
}
parameters = {name: tensors[name].requires_grad_() for name in sizes["parameters"]}
tokens_of, width, heads = sizes["tokens"], sizes["width"], sizes["heads"]
optimizer = torch.optim.Adam(parameters.values(), lr=sizes["learningRate"], eps=1e-8)


def affine(x, name):
    return F.linear(x, parameters[f"{name}.weight"], parameters[f"{name}.bias"])


def modulated(x, shift, scale):
    return F.layer_norm(x, (width,), eps=1e-6) * (1 + scale[:, None]) + shift[:, None]


def attended(qkv):
    batch = qkv.shape[0]
    q, k, v = qkv.reshape(batch, tokens_of, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    if hasattr(F, "scaled_dot_product_attention"):
        out = F.scaled_dot_product_attention(q, k, v)
    else:
        out = torch.softmax(q @ k.transpose(-2, -1) * (width // heads) ** -0.5, dim=-1) @ v
    return out.transpose(1, 2).reshape(batch, tokens_of, width)


def forward():
    hidden = F.silu(affine(tensors["waves"], "t_embedder.mlp.0"))
    time_part = affine(hidden, "t_embedder.mlp.2")
    activated = F.silu(time_part + affine(tensors["snippets"], "condition_projection.linear"))
    x = affine(tensors["tokens"], "x_embedder.proj") + tensors["positions"]
    for i in range(sizes["depth"]):
        block = f"blocks.{i}"
        shift1, scale1, gate1, shift2, scale2, gate2 = affine(
            activated, f"{block}.adaLN_modulation.1"
        ).chunk(6, dim=-1)
        heard = attended(affine(modulated(x, shift1, scale1), f"{block}.attn.qkv"))
        x = x + gate1[:, None] * affine(heard, f"{block}.attn.proj")
        raised = affine(modulated(x, shift2, scale2), f"{block}.mlp.fc1")
        mapped = affine(F.gelu(raised, approximate="tanh"), f"{block}.mlp.fc2")
        x = x + gate2[:, None] * mapped
    shift, scale = affine(activated, "final_layer.adaLN_modulation.1").chunk(2, dim=-1)
    return affine(modulated(x, shift, scale), "final_layer.linear")


def step():
    optimizer.zero_grad(set_to_none=True)
    loss = F.mse_loss(forward(), tensors["target"])
    loss.backward()
    optimizer.step()
    return loss.item()


def milliseconds(work):
    start = time.perf_counter()
    result = work()
    return result, 1000 * (time.perf_counter() - start)


matmuls = []
for size in sizes["matmulSizes"] if rounds > 0 else []:
    matrix = torch.full((size, size), 0.1)
    matrix @ matrix
    matmuls.append([milliseconds(lambda: (matrix @ matrix)[0, 0].item())[1] for _ in range(rounds)])
timed = [milliseconds(step) for _ in range(steps + 1)]
print(
    json.dumps(
        {
            "losses": [loss for loss, _ in timed],
            "firstStep": timed[0][1],
            "steps": [duration for _, duration in timed[1:]],
            "matmuls": matmuls,
        }
    )
)
