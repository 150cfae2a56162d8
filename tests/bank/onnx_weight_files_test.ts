import assert from "node:assert/strict";
import { weightFilesOf } from "../../bank/onnx_weight_files.ts";
import { floatBytes, onnxFile, type OnnxGraph, type OnnxWeight } from "../_onnx.ts";

const OUTSIDE = (name: string, file: string): OnnxWeight => ({
  name,
  shape: [1],
  file: { name: file, offset: 0, length: 4 },
});

const INSIDE: OnnxWeight = { name: "inside", shape: [1], bytes: floatBytes([1]) };

/** A network whose branches have weights of their own. */
function network(branch: readonly OnnxWeight[], weights: readonly OnnxWeight[]): Uint8Array {
  const inner: OnnxGraph = { nodes: [], inputs: [], outputs: [], weights: branch };
  const attributes = { then_branch: inner, else_branch: { ...inner, weights: [] } };
  return onnxFile({
    nodes: [{ op: "If", inputs: ["x"], outputs: ["y"], attributes }],
    inputs: [{ name: "x", shape: [1] }],
    outputs: [{ name: "y", shape: [1] }],
    weights,
  });
}

Deno.test("weightFilesOf() names each file of weights once, those of branches as well", () => {
  assert.deepEqual(weightFilesOf(network([INSIDE], [INSIDE])), []);
  const outside = [OUTSIDE("a", "w.onnx.data"), OUTSIDE("b", "more.bin"), OUTSIDE("c", "more.bin")];
  assert.deepEqual(weightFilesOf(network([], outside)), ["more.bin", "w.onnx.data"]);
  assert.deepEqual(weightFilesOf(network([OUTSIDE("a", "branch.bin")], [INSIDE])), ["branch.bin"]);
});

Deno.test("weightFilesOf() ends with any bytes, and reads up to where they are cut off", () => {
  const bytes = network([], [OUTSIDE("a", "w.bin"), INSIDE]);
  for (let length = 0; length <= bytes.length; length++) {
    // Of a graph that is cut off nothing is read; what follows the graph is not needed.
    const found = weightFilesOf(bytes.subarray(0, length));
    assert.ok(found.length === 0 || length > bytes.length - 8, `${length}`);
  }
  assert.deepEqual(weightFilesOf(new TextEncoder().encode("no network")), []);
  assert.deepEqual(weightFilesOf(new Uint8Array(64).fill(255)), []);
});
