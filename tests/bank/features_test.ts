import assert from "node:assert/strict";
import { zipSync } from "fflate";
import { importFeatures, openFeatures } from "../../bank/features.ts";
import { BankFile } from "../../bank/file.ts";
import { normalizeSnippets } from "../../bank/normalize.ts";
import { writeNpy } from "../../bank/npy.ts";
import { writeSafetensors } from "../../kernels/core/safetensors_writer.ts";
import { randomValues } from "../_check_op.ts";
import { inDirectory } from "./_images.ts";

const SIZE = 5000, DIM = 3;
const FEATURES = Float32Array.from(randomValues([SIZE, DIM], 2), (value) => 9 * value);
const SNIPPETS = normalizeSnippets(FEATURES, { dim: DIM });

Deno.test("importFeatures() normalises vectors of every format", async () => {
  await inDirectory(async (directory) => {
    const at = (name: string) => `${directory}/${name}`;
    await writeNpy(at("a.npy"), { shape: [SIZE, DIM], pieces: [FEATURES] });
    const npy = Deno.readFileSync(at("a.npy"));
    Deno.writeFileSync(at("a.npz"), zipSync({ "other.npy": npy.slice(), "clip.npy": npy }));
    writeSafetensors(at("a.safetensors"), [
      ["clip", { dtype: "F32", shape: [SIZE, DIM], data: FEATURES }],
    ]);
    const fingerprints = new Set<string>();
    for (const [name, key] of [["a.npy"], ["a.npz", "clip"], ["a.safetensors"]] as const) {
      const done: number[] = [];
      await importFeatures(at(name), {
        out: at("out"),
        key,
        onProgress: (count) => done.push(count),
      });
      assert.deepEqual(done, [4096, 5000]);
      using file = BankFile.open(at("out"));
      assert.deepEqual(file.rows(0, SIZE), SNIPPETS);
      assert.deepEqual([file.encoder?.kind, file.encoder?.dim], ["features", DIM]);
      fingerprints.add(file.encoder!.fingerprint);
    }
    assert.equal(fingerprints.size, 1);
    // Other vectors are of another encoder, though they differ in the last piece alone.
    const changed = FEATURES.slice();
    changed[SIZE * DIM - 1]! += 1;
    await writeNpy(at("b.npy"), { shape: [SIZE, DIM], pieces: [changed] });
    await importFeatures(at("b.npy"), { out: at("out") });
    using other = BankFile.open(at("out"));
    assert.ok(!fingerprints.has(other.encoder!.fingerprint));
  });
});

Deno.test("openFeatures() says what is wrong with a file", async () => {
  await inDirectory(async (directory) => {
    const at = (name: string) => `${directory}/${name}`;
    await writeNpy(at("flat.npy"), { shape: [6], pieces: [FEATURES.slice(0, 6)] });
    await writeNpy(at("deep.npy"), { shape: [2, 1, 3], pieces: [FEATURES.slice(0, 6)] });
    await writeNpy(at("none.npy"), { shape: [0, 3], pieces: [] });
    await writeNpy(at("a.npy"), { shape: [2, 3], pieces: [new Float32Array(6)] });
    const npy = Deno.readFileSync(at("a.npy"));
    Deno.writeFileSync(at("two.npz"), zipSync({ "a.npy": npy, "b.npy": npy }));
    Deno.writeFileSync(at("bad.npz"), new Uint8Array(100));
    // An entry begins at byte 35, behind its header; one of its numbers has byte 170.
    Deno.writeFileSync(at("kind.npz"), zipSync({ "a.npy": npy }).with(35, 0xff));
    Deno.writeFileSync(at("bit.npz"), zipSync({ "a.npy": npy }, { level: 0 }).with(170, 1));
    // The directory says by what method an entry is packed, and how many bytes it has unpacked.
    const packed = zipSync({ "a.npy": npy });
    const entry = new TextDecoder("latin1").decode(packed).lastIndexOf("PK\x01\x02");
    Deno.writeFileSync(at("method.npz"), packed.with(entry + 10, 12));
    Deno.writeFileSync(at("long.npz"), packed.with(entry + 24, 1));
    const bad = [
      ["flat.npy", undefined, /its array has shape \[6\], expected \[N, d\]$/],
      ["deep.npy", undefined, /its array has shape \[2, 1, 3\], expected \[N, d\]$/],
      ["none.npy", undefined, /its array has shape \[0, 3\], expected \[N, d\]$/],
      ["two.npz", undefined, /it has the arrays a, b, expected one, or the key of one$/],
      ["two.npz", "c", /it has the arrays a, b, expected one named c$/],
      ["bad.npz", undefined, /it has no zip directory at its end, expected a whole zip file/],
      ["kind.npz", undefined, /its entry "a.npy" cannot be unpacked, /],
      ["method.npz", undefined, /its entry "a.npy" is compressed by method 12, expected deflate$/],
      ["long.npz", undefined, /its entry "a.npy" cannot be unpacked, .* larger than 1 bytes$/],
      ["bit.npz", undefined, /its entry "a.npy" is damaged: its checksum is \d+, expected \d+$/],
      ["none.npz", undefined, /there is no such file/],
      ["a.csv", undefined, /expected .npy, .npz or .safetensors$/],
    ] as const;
    for (const [name, key, message] of bad) {
      assert.throws(() => openFeatures(at(name), { key }), { name: "CheckpointError", message });
    }
    await assert.rejects(importFeatures(at("a.npy"), { out: at("out") }), {
      name: "RangeError",
      message: /^Cannot normalise snippet 0 of ".*a\.npy": its norm is 0/,
    });
    assert.ok(![...Deno.readDirSync(directory)].some(({ name }) => name.startsWith("out")));
  });
});
