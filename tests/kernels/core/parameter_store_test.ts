import assert from "node:assert/strict";
import { Device } from "../../../kernels/core/device.ts";
import { fill } from "../../../kernels/core/in_place.ts";
import { type Initializer, ParameterStore } from "../../../kernels/core/parameter_store.ts";
import { gpuTest, NO_ADAPTER, openDevice } from "../../_gpu.ts";

function filled(value: number): Initializer {
  return (values) => values.fill(value);
}

gpuTest(
  "ParameterStore names parameters by their scopes, in the order of declaration",
  (device) => {
    using store = new ParameterStore(device);
    const block = store.at("blocks.3");
    const weight = block.at("attn.qkv").parameter("weight", [3, 2], filled(1));
    const table = store.frozen("pos_embed", [4], filled(2));
    block.at("attn.qkv").parameter("bias", [3], filled(3));
    const names = ["blocks.3.attn.qkv.weight", "pos_embed", "blocks.3.attn.qkv.bias"];
    assert.deepEqual([...store.entries()].map(([name]) => name), names);
    for (const [name, parameter] of store.entries()) assert.equal(parameter.name, name);
    assert.equal(store.get(names[0]!), weight);
    assert.deepEqual([weight.frozen, table.frozen], [false, true]);
    assert.deepEqual([store.has("pos_embed"), store.has("pos")], [true, false]);
    assert.equal(store.trainedElements, 9);
  },
);

Deno.test("ParameterStore freezes the parameters whose full name it is told", () => {
  const asked: string[] = [];
  const freezes = (name: string) => asked.push(name) === 1;
  const store = new ParameterStore(undefined, { freezes });
  const block = store.at("blocks.0");
  const first = block.parameter("first", [2], filled(1));
  const second = block.parameter("second", [3], filled(1));
  const table = block.frozen("table", [4], filled(1));
  assert.deepEqual([first.frozen, second.frozen, table.frozen], [true, false, true]);
  assert.deepEqual(asked, ["blocks.0.first", "blocks.0.second"]);
  assert.equal(store.trainedElements, 3);
});

gpuTest(
  "ParameterStore initialises every parameter with its name, shape and the seed",
  async (device) => {
    using store = new ParameterStore(device, { seed: 7 });
    const seen: unknown[] = [];
    const init: Initializer = (values, context) => {
      seen.push(context);
      values.forEach((_, i) => values[i] = i + 0.5);
    };
    const parameter = store.at("a").parameter("w", [2, 2], init);
    const frozen = store.frozen("f", [1], init);
    assert.deepEqual(seen, []);
    assert.deepEqual(await parameter.read(), Float32Array.of(0.5, 1.5, 2.5, 3.5));
    assert.deepEqual(await frozen.read(), Float32Array.of(0.5));
    assert.deepEqual(seen, [
      { name: "a.w", shape: [2, 2], seed: 7 },
      { name: "f", shape: [1], seed: 7 },
    ]);
  },
);

gpuTest(
  "ParameterStore aligns parameters to 256 bytes in a slab, with zeros between",
  async (device) => {
    using store = new ParameterStore(device);
    const first = store.parameter("first", [65], filled(1));
    const frozen = store.frozen("frozen", [10], filled(9));
    const second = store.parameter("second", [3], filled(2));
    assert.deepEqual([first.offset, second.offset], [0, 512]);
    assert.equal(first.buffer, second.buffer);
    assert.notEqual(first.buffer, frozen.buffer);
    const [slab, ...others] = store.values;
    assert.equal(others.length, 0);
    assert.deepEqual([...await slab!.read()], [
      ...Array(65).fill(1),
      ...Array(63).fill(0),
      ...Array(3).fill(2),
      ...Array(61).fill(0),
    ]);
    assert.equal(store.gradients.length, 1);
    assert.ok((await store.gradients[0]!.read()).every((value) => value === 0));
  },
);

gpuTest("Parameter.gradient is the parameter's part of the gradients", async (device) => {
  using store = new ParameterStore(device);
  store.parameter("first", [65], filled(1));
  const second = store.parameter("second", [1, 3], filled(2));
  using gradient = second.gradient;
  assert.deepEqual(gradient.shape, [1, 3]);
  gradient.write(Float32Array.of(4, 5, 6));
  const slab = await store.gradients[0]!.read();
  assert.deepEqual([...slab.subarray(128, 132)], [4, 5, 6, 0]);
  assert.equal((await second.read())[0], 2);
});

gpuTest(
  "ParameterStore.zeroGradients() leaves frozen parameters and what is made later alone",
  async (device) => {
    using store = new ParameterStore(device);
    const table = store.frozen("table", [3], filled(5));
    let drawn = 0;
    const weight = store.parameter("weight", [3], (values) => values.fill(++drawn));
    store.zeroGradients();
    assert.equal(drawn, 0, "nothing is made for what nobody uses");
    weight.writeGradient((gradient) => gradient.write(Float32Array.of(1, 2, 3)));
    using first = weight.gradient;
    assert.deepEqual([...await first.read()], [1, 2, 3]);
    store.zeroGradients();
    weight.writeGradient((gradient) => gradient.write(Float32Array.of(4, 5, 6)));
    using second = weight.gradient;
    assert.deepEqual([...await second.read()], [4, 5, 6]);
    assert.deepEqual([...await table.read()], [5, 5, 5]);
    assert.throws(() => table.writeGradient(() => {}), {
      name: "TypeError",
      message: "Cannot write the gradient of table: it is frozen",
    });
  },
);

gpuTest(
  "ParameterStore.writeGradient() that throws leaves a gradient that is zero so",
  async (device) => {
    using store = new ParameterStore(device);
    const weight = store.parameter("weight", [2], filled(1));
    for (const slab of store.gradients) slab.write(new Float32Array(slab.elements).fill(NaN));
    store.zeroGradients();
    assert.throws(() =>
      weight.writeGradient((gradient, accumulate) => {
        assert.equal(accumulate, 0);
        gradient.write(Float32Array.of(7, 7));
        throw new RangeError("halfway");
      }), RangeError);
    using gradient = weight.gradient;
    assert.deepEqual([...await gradient.read()], [0, 0]);
  },
);

gpuTest("ParameterStore.view() shows a parameter's part of parallel slabs", async (device) => {
  using store = new ParameterStore(device);
  store.parameter("first", [2], filled(1));
  const second = store.parameter("second", [2], filled(2));
  const slabs = store.parallel();
  device.scope(() => store.view(slabs, second).write(Float32Array.of(7, 8)));
  assert.deepEqual([...(await slabs[0]!.read()).subarray(62, 68)], [0, 0, 7, 8, 0, 0]);
  for (const slab of slabs) slab.dispose();
});

gpuTest("ParameterStore.withValues() lends parameters other values for a while", async (device) => {
  using store = new ParameterStore(device);
  const parameter = store.parameter("w", [2], filled(1));
  const frozen = store.frozen("f", [2], filled(5));
  const slabs = store.parallel();
  fill(slabs[0]!, 3);
  const copy = store.withValues(slabs, () => {
    const copy = device.empty([2]);
    device.copyInto(copy, parameter);
    assert.notEqual(frozen.buffer, slabs[0]!.buffer);
    return copy;
  });
  assert.deepEqual(await copy.read(), Float32Array.of(3, 3));
  assert.deepEqual(await parameter.read(), Float32Array.of(1, 1));
  assert.throws(() =>
    store.withValues(slabs, () => {
      throw new Error("broken");
    }), /broken/);
  assert.notEqual(parameter.buffer, slabs[0]!.buffer);
  copy.dispose();
  for (const slab of slabs) slab.dispose();
});

gpuTest("ParameterStore refuses an initializer that would fill values too late", (device) => {
  using store = new ParameterStore(device);
  const late = store.parameter("w", [2], async (values) => {
    await Promise.resolve();
    values.fill(7);
  });
  assert.throws(() => late.storage, { name: "TypeError", message: /an async function/ });
});

gpuTest("ParameterStore takes slabs and parameters of its own alone", async (device) => {
  using store = new ParameterStore(device), other = new ParameterStore(device);
  const parameter = store.parameter("w", [100], filled(1)),
    frozen = store.frozen("f", [2], filled(5));
  const foreign = other.parameter("w", [4], filled(1));
  for (const [slabs, found] of [[other.values, "64"], [[], ""]] as const) {
    const refused = {
      name: "TypeError",
      message: `Cannot take slabs of [${found}] elements for values: expected [128] on the same ` +
        "device, as `parallel` makes them",
    };
    assert.throws(() => store.withValues(slabs, () => assert.fail("it ran")), refused);
    assert.throws(() => store.view(slabs, parameter), refused);
    await assert.rejects(store.read(slabs).next(), refused);
  }
  assert.throws(() => store.view(store.values, foreign), {
    name: "TypeError",
    message: "Cannot find parameter w: it belongs to another store",
  });
  assert.throws(() => store.view(store.values, frozen), /^TypeError: Cannot view slabs at f: /);
});

gpuTest(
  "ParameterStore.fill() sets all, and initialises nothing in a new store",
  async (device) => {
    using store = new ParameterStore(device);
    const unwanted: Initializer = () => {
      throw new Error("initialised");
    };
    const weight = store.parameter("weight", [2], unwanted),
      table = store.frozen("table", [1], unwanted);
    const before = device.pool.liveBytes;
    assert.throws(() => store.fill(({ frozen }) => new Float32Array(frozen ? 3 : 2)), TypeError);
    assert.equal(device.pool.liveBytes, before);
    for (const value of [1, 2]) {
      store.fill(({ elements, frozen }) =>
        new Float32Array(elements).fill(frozen ? -value : value)
      );
      assert.deepEqual([...await weight.read(), ...await table.read()], [value, value, -value]);
    }
  },
);

gpuTest("ParameterStore gives no values after an initialiser threw", async (device) => {
  using store = new ParameterStore(device);
  let calls = 0;
  const once: Initializer = (values) => {
    if (++calls === 1) throw new Error("broken");
    values.fill(2);
  };
  store.parameter("first", [2], filled(1));
  const second = store.parameter("second", [2], once);
  const before = device.pool.liveBytes;
  await assert.rejects(second.read(), /broken/);
  assert.equal(device.pool.liveBytes, before);
  assert.deepEqual([...await second.read()], [2, 2]);
  assert.throws(() => new ParameterStore(device).parameter("half", [2.5], filled(1)), RangeError);
});

gpuTest(
  "ParameterStore.read() gives every parameter, the trained ones from given slabs",
  async (device) => {
    using store = new ParameterStore(device);
    store.parameter("a", [2], filled(1));
    store.frozen("f", [1], filled(5));
    store.parameter("b", [1], filled(2));
    const slabs = store.parallel();
    for (const [given, want] of [[undefined, [1, 1, 2, 5]], [slabs, [0, 0, 0, 5]]] as const) {
      const read = new Map<string, Float32Array>();
      for await (const [{ name }, values] of store.read(given)) read.set(name, values);
      assert.deepEqual([...read.keys()].sort(), ["a", "b", "f"]);
      assert.deepEqual([...read.get("a")!, ...read.get("b")!, ...read.get("f")!], want);
    }
    for (const slab of slabs) slab.dispose();
  },
);

gpuTest("ParameterStore.read() takes large slabs in parts", async (device) => {
  using store = new ParameterStore(device);
  const sizes = [5, 7 * 2 ** 20, 3, 9 * 2 ** 20, 2];
  for (const [i, size] of sizes.entries()) store.parameter(`p${i}`, [size], filled(i + 1));
  assert.equal(store.values.length, 1);
  const staged: number[] = [], create = device.gpu.createBuffer;
  device.gpu.createBuffer = (descriptor) => {
    staged.push(descriptor.size);
    return create.call(device.gpu, descriptor);
  };
  try {
    let i = 0;
    for await (const [{ name }, values] of store.read()) {
      assert.equal(name, `p${i}`);
      assert.equal(values.length, sizes[i]);
      assert.deepEqual([values[0], values.at(-1)], [i + 1, i + 1]);
      i++;
    }
    assert.equal(i, sizes.length);
  } finally {
    device.gpu.createBuffer = create;
  }
  // A parameter begins at a whole block of 64 numbers.
  assert.deepEqual(staged, [4 * (64 + sizes[1]! + 3), 4 * (sizes[3]! + 2)]);
});

gpuTest(
  "ParameterStore refuses unknown names, two of one name, and late declarations",
  (device) => {
    using store = new ParameterStore(device);
    const parameter = store.parameter("w", [2], filled(1));
    assert.throws(() => store.get("v"), {
      name: "RangeError",
      message: "Cannot find parameter v: the model has none so named",
    });
    assert.throws(() => store.frozen("w", [1], filled(0)), {
      name: "TypeError",
      message: "Cannot declare parameter w: there is one of that name, expected another name, or " +
        "a store for each model",
    });
    assert.ok(parameter.storage.alive);
    assert.throws(() => store.at("late").parameter("x", [1], filled(0)), {
      name: "TypeError",
      message: "Cannot declare parameter late.x: the store is in use already, expected all to be " +
        "declared before the first is used",
    });
  },
);

gpuTest("Parameter refuses the gradient of a frozen one and another shape", (device) => {
  using store = new ParameterStore(device);
  const frozen = store.frozen("pos_embed", [4], filled(1));
  assert.throws(() => frozen.gradient, {
    name: "TypeError",
    message: "Cannot give the gradient of pos_embed: it is frozen",
  });
  assert.throws(() => frozen.reshape([2, 2]), TypeError);
});

gpuTest(
  "ParameterStore.dispose() releases all slabs; its parameters throw afterwards",
  (device) => {
    const before = device.pool.liveBytes;
    const store = new ParameterStore(device);
    const parameter = store.parameter("w", [2], filled(1));
    store.frozen("f", [2], filled(1));
    void store.gradients;
    assert.equal(device.pool.liveBytes - before, 3 * 256);
    store.dispose();
    assert.equal(device.pool.liveBytes, before);
    const refused = {
      name: "ReferenceError",
      message:
        "Cannot use parameters: their store was disposed of, expected it to outlive the model",
    };
    assert.throws(() => fill(parameter, 1), refused);
    const unused = new ParameterStore(device), late = unused.parameter("w", [2], filled(1));
    unused.dispose();
    assert.throws(() => fill(late, 1), refused);
  },
);

Deno.test({
  name: "ParameterStore starts a new slab where a binding would get too large",
  sanitizeOps: false,
  sanitizeResources: false,
  ignore: NO_ADAPTER,
  async fn() {
    using real = await openDevice();
    const device = new Device(real.gpu, { profile: { ...real.profile, maxBindingBytes: 1024 } });
    using store = new ParameterStore(device);
    // 256 elements fit in a slab, each parameter taking a multiple of 64.
    const sizes = [100, 128, 1, 256, 64, 65, 65];
    const parameters = sizes.map((size, i) => store.parameter(`${i}`, [size], filled(i + 1)));
    assert.deepEqual(store.values.map(({ elements }) => elements), [256, 64, 256, 192, 128]);
    assert.deepEqual(
      parameters.map((parameter) => Object.values(store.placeOf(parameter))),
      [[0, 0], [0, 128], [1, 0], [2, 0], [3, 0], [3, 64], [4, 0]],
    );
    for (const [i, parameter] of parameters.entries()) {
      assert.deepEqual(await parameter.read(), new Float32Array(sizes[i]!).fill(i + 1));
    }
    assert.deepEqual(
      store.gradients.map(({ elements }) => elements),
      store.values.map(({ elements }) => elements),
    );
    using tooLarge = new ParameterStore(device);
    tooLarge.parameter("w", [257], filled(0));
    assert.throws(() => tooLarge.values, {
      name: "RangeError",
      message: "Cannot hold parameter w [257]: 1028 bytes, expected at most 1024 on this adapter",
    });
  },
});

Deno.test("ParameterStore without a device knows names and shapes only", () => {
  const store = new ParameterStore(undefined);
  const weight = store.at("head").parameter("weight", [3, 2], filled(1));
  assert.deepEqual([...store.entries()], [["head.weight", weight]]);
  assert.deepEqual([weight.shape, weight.elements, store.trainedElements], [[3, 2], 6, 6]);
  const expected = { name: "TypeError", message: /store was made without a device/ };
  assert.throws(() => weight.storage, expected);
  assert.throws(() => store.device, expected);
});
