import assert from "node:assert/strict";
import { cast, castInto } from "../../../kernels/cast/mod.ts";
import { combine, combineInto } from "../../../kernels/combine/mod.ts";
import { concatenateTokens, sliceTokens } from "../../../kernels/copy_tokens/mod.ts";
import type { Device } from "../../../kernels/core/device.ts";
import { addTo, fill, storeAt } from "../../../kernels/core/in_place.ts";
import { Kernel } from "../../../kernels/core/kernel.ts";
import { type Parameter, ParameterStore } from "../../../kernels/core/parameter_store.ts";
import { type Gradients, Tape } from "../../../kernels/core/tape.ts";
import type { Tensor } from "../../../kernels/core/tensor.ts";
import { linear } from "../../../kernels/linear/mod.ts";
import { matmul } from "../../../kernels/matmul/mod.ts";
import { meanSquare } from "../../../kernels/mean_square/mod.ts";
import { multiply } from "../../../kernels/multiply/mod.ts";
import { rope } from "../../../kernels/rope/mod.ts";
import { randomValues, spoilPool } from "../../_check_op.ts";
import { gpuTest, NO_ADAPTER, openDevice } from "../../_gpu.ts";

const PRODUCT = new Kernel({
  source: /* wgsl */ `
    struct Params { elements: u32, accumulate: u32, first_a: u32, first_b: u32, first_out: u32 }
    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var<storage, read> a: array<f32>;
    @group(0) @binding(2) var<storage, read> b: array<f32>;
    @group(0) @binding(3) var<storage, read_write> out: array<f32>;
    @compute @workgroup_size(64)
    fn product(@builtin(global_invocation_id) id: vec3u) {
      if (id.x >= params.elements) { return; }
      let i = params.first_out + id.x;
      let value = a[params.first_a + id.x] * b[params.first_b + id.x];
      out[i] = select(value, out[i] + value, params.accumulate == 1u);
    }`,
});

interface Product {
  a: Tensor;
  b: Tensor;
  accumulate?: 0 | 1;
  elements?: number;
  firstA?: number;
  firstB?: number;
  firstOut?: number;
}

function productInto(out: Tensor, product: Product): void {
  const { a, b, accumulate = 0, elements = out.elements } = product;
  const { firstA = 0, firstB = 0, firstOut = 0 } = product;
  out.device.dispatch(PRODUCT, {
    tensors: { a, b, out },
    params: {
      elements,
      accumulate,
      first_a: firstA,
      first_b: firstB,
      first_out: firstOut,
    },
    workgroups: [Math.ceil(elements / 64)],
  });
}

/** stream + update, the stream's gradient being handed on. */
function add(stream: Tensor, update: Tensor): Tensor {
  const { device } = stream, out = device.empty(stream.shape);
  device.scope(() => {
    const one = device.empty(stream.shape);
    fill(one, 1);
    productInto(out, { a: stream, b: one });
    productInto(out, { a: update, b: one, accumulate: 1 });
  });
  device.tape?.push({
    name: "add",
    inputs: [stream, update],
    output: out,
    saved: [],
    backward(dy, gradients) {
      gradients.into(update, (d, accumulate) =>
        device.scope(() => {
          const one = device.empty(dy.shape);
          fill(one, 1);
          productInto(d, { a: dy, b: one, accumulate });
        }));
      gradients.pass(stream, dy);
    },
  });
  return out;
}

/** The `length` elements from `first` on, times those of `factor`. */
function takePart(x: Tensor, options: { first: number; length: number; factor: Tensor }): Tensor {
  const { first, length, factor } = options;
  const { device } = x, out = device.empty([length]);
  productInto(out, { a: x, firstA: first, b: factor });
  device.tape?.push({
    name: "takePart",
    inputs: [x],
    output: out,
    saved: [factor],
    backward(dy, gradients) {
      gradients.region(
        x,
        (dx, accumulate) =>
          productInto(dx, { a: dy, b: factor, firstOut: first, elements: length, accumulate }),
      );
    },
  });
  return out;
}

/** The sum of all elements, [1]. */
function sum(x: Tensor): Tensor {
  const { device, elements } = x, ones = device.empty([elements, 1]);
  fill(ones, 1);
  return matmul(x.reshape([1, elements]), ones).reshape([1]);
}

function whole(device: Device, ...values: number[]): Tensor {
  return device.tensor(Float32Array.from(values), [values.length]);
}

async function values(tensor: Tensor): Promise<number[]> {
  return [...await tensor.read()];
}

/** Runs `fn` in a scope and gives the gradients of the watched tensors. */
async function gradientsOf(
  device: Device,
  watched: readonly Tensor[],
  fn: () => Tensor,
): Promise<number[][]> {
  const gradients = device.scope(() => {
    const tape = new Tape(device);
    for (const tensor of watched) tape.watch(tensor);
    spoilPool(device, [[64]]);
    tape.backward(tape.record(fn));
    return watched.map((tensor) => tape.gradient(tensor));
  });
  const read = await Promise.all(gradients.map(values));
  for (const gradient of gradients) gradient.dispose();
  return read;
}

gpuTest("Tape.backward() adds the gradients of a tensor that is used twice", async (device) => {
  using x = whole(device, 1, 2, 3);
  // x³: the inner square uses x twice, the outer product a third time.
  const [dx] = await gradientsOf(device, [x], () => sum(multiply(multiply(x, x), x)));
  assert.deepEqual(dx, [3, 12, 27]);
});

gpuTest("Tape refuses to lose the gradient of what a kernel alone made", async (device) => {
  using x = whole(device, 2, 3);
  const square = (x: Tensor) => {
    const out = device.empty(x.shape);
    productInto(out, { a: x, b: x });
    return out;
  };
  const copy = (x: Tensor) => {
    const out = device.empty(x.shape);
    device.copyInto(out, x);
    return out;
  };
  const makers: [make: typeof square, by: string][] = [
    [square, "product"],
    [copy, "a copy"],
    [(x) => square(copy(x)), "product"],
  ];
  for (const [make, by] of makers) {
    using tape = new Tape(device);
    tape.watch(x);
    assert.throws(() => device.scope(() => tape.record(() => multiply(x, make(x)))), {
      name: "TypeError",
      message:
        `Cannot record multiply: [2] was made by ${by} of what needs a gradient, and no op ` +
        "recorded that, expected differentiable ops alone, or device.withTape(undefined, …) around " +
        "what is to count as constant",
    });
  }
  const [dx] = await gradientsOf(
    device,
    [x],
    () => sum(multiply(x, device.withTape(undefined, () => square(x)))),
  );
  assert.deepEqual(dx, [4, 9]);
});

gpuTest("Tape refuses what an op made and something else wrote to since", async (device) => {
  using x = whole(device, 2, 3), y = whole(device, 5, 7);
  const writers: [by: string, write: (h: Tensor, update: Tensor) => void][] = [
    ["add", addTo],
    ["combine", (h, update) => combineInto(h, [[h, 1], [update, 1]])],
    ["store_at", (h, update) => storeAt(h, update, { first: 0 })],
    ["a copy", (h, update) => device.copyInto(h, update)],
    ["fill", (h) => fill(h, 1)],
    ["a write", (h) => h.write(Float32Array.of(1, 1))],
  ];
  for (const [by, write] of writers) {
    using tape = new Tape(device);
    tape.watch(x);
    const written = (update: Tensor) => {
      const h = combine([[x, 2]]);
      write(h, update);
      return h;
    };
    const message =
      `[2] was made by ${by} of what needs a gradient, and no op recorded that, expected ` +
      "differentiable ops alone, or device.withTape(undefined, …) around what is to count as constant";
    // Whether what was written is differentiable or not: the op before has another result then.
    for (const update of [() => combine([[x, 1]]), () => y]) {
      const refusals: [action: string, fn: () => void][] = [
        ["record multiply", () => multiply(written(update()), y)],
        ["record checkpoint", () => tape.checkpoint([written(update())], (h) => multiply(h, y))],
      ];
      for (const [action, fn] of refusals) {
        assert.throws(() => device.scope(() => tape.record(fn)), {
          name: "TypeError",
          message: `Cannot ${action}: ${message}`,
        });
      }
      using ones = whole(device, 1, 1);
      const refused = { name: "TypeError", message: `Cannot differentiate: ${message}` };
      assert.throws(
        () => device.scope(() => tape.backwardFrom(tape.record(() => written(update())), ones)),
        refused,
      );
    }
  }
  // What is watched may be filled while the tape records.
  for (const fillIn of [() => device.copyInto(x, y), () => x.write(Float32Array.of(5, 7))]) {
    const [dx] = await gradientsOf(device, [x], () => {
      fillIn();
      return sum(multiply(x, x));
    });
    assert.deepEqual(dx, [10, 14]);
    x.write(Float32Array.of(2, 3));
  }
});

gpuTest("Tape refuses to lose the gradient of what an op reads and gives none", async (device) => {
  using x = whole(device, 2, 3);
  using store = new ParameterStore(device);
  const weight = store.parameter("weight", [2], (values) => values.fill(1));
  const other = store.parameter("other", [2], (values) => values.fill(1));
  using cos = device.tensor(Float32Array.of(1, 1), [1, 2]);
  const refused: [name: string, shape: string, record: () => Tensor][] = [
    ["meanSquare", "[2]", () => meanSquare(combine([[x, 2]]), x)],
    ["meanSquare", "[2]", () => meanSquare(combine([[x, 1]]), combine([[x, 2]]))],
    // Parameters of one store share a buffer.
    ["meanSquare", "[2]", () => meanSquare(weight, other)],
    ["meanSquare", "[2]", () => meanSquare(combine([[x, 1]]), weight)],
    ["rope", "[1, 2]", () => rope(device.empty([1, 1, 6]), { heads: 1, cos, sin: cos })],
    // As the output itself, or a view of it.
    ["meanSquare", "[2]", () => meanSquare(x, x, { scale: device.empty([2]) })],
    ["meanSquare", "[2]", () => meanSquare(weight, weight, { scale: device.empty([2]) })],
    [
      "meanSquare",
      "[2]",
      () => meanSquare(x.reshape([2, 1]), device.empty([2, 1]), { scale: x.reshape([2]) }),
    ],
  ];
  for (const [name, shape, record] of refused) {
    using tape = new Tape(device);
    tape.watch(x);
    tape.watch(cos);
    assert.throws(() => device.scope(() => tape.record(record)), {
      name: "TypeError",
      message: `Cannot record ${name}: ${shape} needs a gradient, and ${name} gives it none, ` +
        "expected a constant: what is made in device.withTape(undefined, …)",
    });
  }
  // What no op recorded is no constant, either.
  const filled = () => {
    const target = device.empty([2]);
    combineInto(target, [[x, 1]]);
    return target;
  };
  const unrecorded = {
    name: "TypeError",
    message:
      "Cannot record meanSquare: [2] was made by combine of what needs a gradient, and no op " +
      "recorded that, expected differentiable ops alone, or device.withTape(undefined, …) around what " +
      "is to count as constant",
  };
  await assert.rejects(
    () => gradientsOf(device, [x], () => meanSquare(combine([[x, 2]]), filled())),
    unrecorded,
  );
  const [dx] = await gradientsOf(device, [x], () => {
    const constant = device.withTape(undefined, () => combine([[x, 1]]));
    return meanSquare(combine([[x, 2]]), constant);
  });
  assert.deepEqual(dx, [4, 6]);
  // A view of an input is that input.
  const [passed] = await gradientsOf(device, [x], () => {
    const output = device.empty([2]);
    device.tape!.push({
      name: "view",
      inputs: [x],
      output,
      saved: [x.reshape([2, 1])],
      backward: (dy, gradients) => gradients.pass(x, dy),
    });
    return sum(output);
  });
  assert.deepEqual(passed, [1, 1]);
});

gpuTest("Tape refuses views of parameters, to which no gradient goes", async (device) => {
  using x = whole(device, 2, 3), constant = whole(device, 5, 7);
  using store = new ParameterStore(device);
  const weight = store.parameter("weight", [1, 2], (values) => values.set([10, 20]));
  const view = () => store.view(store.values, weight).reshape([2]);
  for (
    const [name, record] of [
      ["multiply", () => multiply(x, view())],
      ["meanSquare", () => meanSquare(combine([[x, 1]]), view())],
      ["checkpoint", () => device.tape!.checkpoint([view()], (w) => sum(multiply(w, w)))],
    ] as const
  ) {
    using tape = new Tape(device);
    tape.watch(x);
    assert.throws(() => device.scope(() => tape.record(record)), {
      name: "TypeError",
      message:
        `Cannot record ${name}: [2] is a view of trained parameters, to which no gradient goes, ` +
        "expected a parameter itself, such as in a cast that can be reshaped",
    });
  }
  // Gradients and averages are views of other slabs, and the cast is the way that the error names.
  const averages = store.parallel();
  for (const [i, dx] of [[0, 0], [10, 20]].entries()) {
    const [read] = await gradientsOf(device, [x], () => {
      const other = i === 0 ? store.view(averages, weight) : cast(weight, { dtype: "f32" });
      return sum(multiply(x, other.reshape([2])));
    });
    assert.deepEqual(read, dx);
  }
  assert.deepEqual(
    await gradientsOf(
      device,
      [constant],
      () => sum(multiply(constant, weight.gradient.reshape([2]))),
    ),
    [[2, 3]],
  );
  for (const slab of averages) slab.dispose();
});

gpuTest("Tape.backward() assigns first, whatever the buffer held before", async (device) => {
  using x = whole(device, 1, 2), y = whole(device, 5, 7);
  const [dx, dy] = await gradientsOf(device, [x, y], () => sum(multiply(x, y)));
  assert.deepEqual([dx, dy], [[5, 7], [1, 2]]);
});

gpuTest("Tape.backward() scales, and adds to parameters over several calls", async (device) => {
  using store = new ParameterStore(device);
  const weight = store.parameter("weight", [3], (v) => v.set([1, 2, 3]));
  using x = whole(device, 10, 20, 30);
  for (const scale of [1, 0.5]) {
    device.scope(() => {
      const tape = new Tape(device);
      tape.backward(tape.record(() => sum(multiply(weight, x))), { scale });
    });
  }
  using gradient = weight.gradient;
  assert.deepEqual(await values(gradient), [15, 30, 45]);
});

gpuTest("Tape.backward() lets go of what it made where no scope does", async (device) => {
  using store = new ParameterStore(device);
  const weight = store.parameter("weight", [3], (v) => v.set([1, 2, 3]));
  using x = whole(device, 10, 20, 30);
  const tape = new Tape(device);
  using loss = device.scope(() => tape.record(() => sum(multiply(weight, x))));
  tape.backward(loss);
  using gradient = weight.gradient;
  assert.deepEqual(await values(gradient), [10, 20, 30]);
});

gpuTest("Tape.backward() adds to the gradient that its output has already", async (device) => {
  using store = new ParameterStore(device);
  const weight = store.parameter("weight", [1], (v) => v.set([3]));
  using x = whole(device, 3);
  const tape = new Tape(device);
  tape.watch(x);
  using product = tape.record(() => multiply(x, weight));
  tape.backward(product);
  for (const output of [x, weight]) tape.backward(tape.record(() => output));
  using dx = tape.gradient(x), dw = weight.gradient;
  assert.deepEqual([await values(dx), await values(dw)], [[4], [4]]);
});

gpuTest("Tape.backwardFrom() takes a cotangent and leaves it as it is", async (device) => {
  using x = whole(device, 1, 2), cotangent = whole(device, 10, 100);
  const gradient = device.scope(() => {
    const tape = new Tape(device);
    tape.watch(x);
    const out = tape.record(() => add(x, multiply(x, x)));
    assert.throws(() => tape.backwardFrom(out, device.empty([3])), {
      name: "TypeError",
      message: "Cannot differentiate [2]: cotangent is [3]",
    });
    tape.backwardFrom(out, cotangent);
    return tape.gradient(x);
  });
  assert.deepEqual(await values(gradient), [30, 500]);
  assert.deepEqual(await values(cotangent), [10, 100]);
  gradient.dispose();
});

gpuTest("Tape regions add up to a gradient that is zero where nothing was read", async (device) => {
  using x = whole(device, 1, 2, 3, 4, 5, 6), factor = whole(device, 10, 20);
  const [dx] = await gradientsOf(device, [x], () => {
    const low = takePart(x, { first: 0, length: 2, factor });
    const middle = takePart(x, { first: 1, length: 2, factor });
    return sum(multiply(low, middle));
  });
  // (10 x₀)(10 x₁) + (20 x₁)(20 x₂)
  assert.deepEqual(dx, [200, 100 + 1200, 800, 0, 0, 0]);
});

gpuTest("Tape.region() after into() adds to the whole gradient", async (device) => {
  using x = whole(device, 1, 2, 3, 4), factor = whole(device, 10, 20);
  // Backward order is the reverse: once the part first, once the whole.
  for (const partLast of [true, false]) {
    const [dx] = await gradientsOf(device, [x], () => {
      const part = () => sum(takePart(x, { first: 2, length: 2, factor }));
      const square = () => sum(multiply(x, x));
      return partLast ? add(square(), part()) : add(part(), square());
    });
    assert.deepEqual(dx, [2, 4, 6 + 10, 8 + 20]);
  }
});

gpuTest(
  "Tape.pass() hands the gradient of a residual stream on without a kernel",
  async (device) => {
    using x = whole(device, 1, 2), update = whole(device, 3, 4), cotangent = whole(device, 5, 6);
    const gradient = device.scope(() => {
      const tape = new Tape(device);
      tape.watch(x);
      const out = tape.record(() => add(add(add(x, update), update), update));
      const { dispatches } = device.recorder;
      tape.backwardFrom(out, cotangent);
      assert.equal(device.recorder.dispatches, dispatches);
      return tape.gradient(x);
    });
    assert.deepEqual(await values(gradient), [5, 6]);
    gradient.dispose();
  },
);

gpuTest(
  "Tape differentiates a residual stream, with the update reading the stream",
  async (device) => {
    using x = whole(device, 1, 2, -3);
    // h₁ = x + x², h₂ = h₁ + h₁²: dh₂/dx = (1 + 2 h₁)(1 + 2 x)
    const [dx] = await gradientsOf(device, [x], () => {
      const h = add(x, multiply(x, x));
      return sum(add(h, multiply(h, h)));
    });
    assert.deepEqual(dx, [1, 2, -3].map((x) => (1 + 2 * (x + x * x)) * (1 + 2 * x)));
  },
);

gpuTest(
  "Tape.gradient() of a watched residual stream is that at the place itself",
  async (device) => {
    const x = whole(device, 1, 2, -3);
    const [dx, dh] = device.scope(() => {
      const tape = new Tape(device);
      tape.watch(x);
      let stream: Tensor | undefined;
      const loss = tape.record(() => {
        stream = add(x, multiply(x, x));
        tape.watch(stream);
        return sum(add(stream, multiply(stream, stream)));
      });
      tape.backward(loss);
      return [tape.gradient(x), tape.gradient(stream!)];
    });
    // The stream's gradient buffer goes on to x, where more is added: the watched one must not change.
    assert.deepEqual(await values(dh!), [1, 2, -3].map((x) => 1 + 2 * (x + x * x)));
    assert.deepEqual(await values(dx!), [1, 2, -3].map((x) => (1 + 2 * (x + x * x)) * (1 + 2 * x)));
    for (const tensor of [x, dx!, dh!]) tensor.dispose();
  },
);

gpuTest("Tape runs no backward for unused outputs and releases what they saved", async (device) => {
  using x = whole(device, 1, 2);
  const ran: string[] = [];
  const gradient = device.scope(() => {
    const tape = new Tape(device);
    tape.watch(x);
    const loss = tape.record(() => {
      const unused = multiply(x, x);
      device.tape!.push({
        name: "unused",
        inputs: [unused],
        output: device.empty([2]),
        saved: [unused],
        backward: () => ran.push("unused"),
      });
      return sum(x);
    });
    tape.backward(loss);
    return tape.gradient(x);
  });
  assert.deepEqual(ran, []);
  assert.deepEqual(await values(gradient), [1, 1]);
  gradient.dispose();
});

gpuTest("Tape asks an op for no gradient of an input that needs none", async (device) => {
  using x = whole(device, 1, 2), constant = whole(device, 3, 4), dy = whole(device, 5, 6);
  using tape = new Tape(device);
  tape.watch(x);
  using out = tape.record(() => {
    const output = device.empty([2]);
    device.tape!.push({
      name: "probe",
      inputs: [x, constant],
      output,
      saved: [],
      backward(dy, gradients) {
        gradients.into(constant, () => assert.fail("into"));
        gradients.region(constant, () => assert.fail("region"));
        gradients.pass(constant, dy);
        gradients.pass(x, dy);
      },
    });
    return output;
  });
  tape.backwardFrom(out, dy);
  using dx = tape.gradient(x);
  assert.deepEqual(await values(dx), [5, 6]);
});

gpuTest("Tape records nothing that needs no gradient", (device) => {
  using store = new ParameterStore(device);
  const frozen = store.frozen("frozen", [2], (v) => v.fill(3));
  device.scope(() => {
    const tape = new Tape(device), x = whole(device, 1, 2);
    const ran: string[] = [];
    const out = tape.record(() => {
      const product = multiply(x, frozen);
      device.tape!.push({
        name: "probe",
        inputs: [product, frozen],
        output: product,
        saved: [],
        backward: () => ran.push("probe"),
      });
      return sum(product);
    });
    const { dispatches } = device.recorder;
    assert.throws(() => tape.backward(out), {
      name: "TypeError",
      message:
        "Cannot differentiate [1]: expected what this tape recorded, made by differentiable " +
        "ops from trained parameters or watched tensors",
    });
    assert.equal(device.recorder.dispatches, dispatches);
    assert.deepEqual(ran, []);
    assert.throws(() => tape.gradient(x), {
      name: "ReferenceError",
      message: "Cannot give the gradient of [2]: it was not watched or not used",
    });
  });
});

Deno.test({
  name: "Tape.backward() refuses a gradient for a tensor that is no input of its op",
  sanitizeOps: false,
  sanitizeResources: false,
  ignore: NO_ADAPTER,
  async fn() {
    using device = await openDevice();
    const tape = new Tape(device), x = whole(device, 1), other = whole(device, 2);
    tape.watch(x);
    const out = tape.record(() => {
      const out = device.empty([1]);
      device.tape!.push({
        name: "careless",
        inputs: [x],
        output: out,
        saved: [],
        backward: (_dy, gradients) => gradients.into(other, () => {}),
      });
      return out;
    });
    assert.throws(() => tape.backward(out), {
      name: "TypeError",
      message: /^Cannot give careless /,
    });
  },
});

gpuTest("Tape.backward() refuses a scale that is not finite", (device) => {
  using x = whole(device, 1), tape = new Tape(device);
  tape.watch(x);
  using out = tape.record(() => multiply(x, x));
  assert.throws(() => tape.backward(out, { scale: NaN }), {
    name: "RangeError",
    message: "Cannot differentiate times NaN: expected a finite number",
  });
});

gpuTest("Tape.gradient() refuses a parameter, and says where its gradient is", (device) => {
  using store = new ParameterStore(device);
  const weight = store.parameter("w", [1], (values) => values.fill(3));
  device.scope(() => {
    using tape = new Tape(device);
    tape.backward(tape.record(() => multiply(weight, weight)));
    assert.throws(() => tape.gradient(weight), {
      name: "TypeError",
      message: "Cannot give the gradient of parameter w: it is added to the parameter's own, " +
        "expected parameter.gradient",
    });
  });
});

gpuTest("Tape.backward() refuses more than one element", (device) => {
  device.scope(() => {
    const tape = new Tape(device), x = whole(device, 1, 2);
    tape.watch(x);
    const out = tape.record(() => multiply(x, x));
    assert.throws(() => tape.backward(out), {
      name: "TypeError",
      message: "Cannot differentiate [2]: expected one element, or backwardFrom",
    });
    tape.backwardFrom(out, x);
  });
});

gpuTest(
  "Tape keeps what nested scopes made and backward needs, and releases it after",
  async (device) => {
    using x = whole(device, 1, 2, 3);
    const before = device.pool.liveBytes;
    const tape = new Tape(device);
    tape.watch(x);
    const loss = device.scope(() =>
      tape.record(() =>
        device.scope(() => {
          const cube = device.scope(() => multiply(device.scope(() => multiply(x, x)), x));
          return sum(device.scope(() => multiply(cube, cube)));
        })
      )
    );
    const gradient = device.scope(() => {
      tape.backward(loss);
      return tape.gradient(x);
    });
    loss.dispose();
    assert.deepEqual(await values(gradient), [6, 6 * 32, 6 * 243]);
    gradient.dispose();
    assert.equal(device.pool.liveBytes, before);
  },
);

gpuTest("Tape goes back over nothing that it did not record", (device) => {
  using x = whole(device, 1, 2);
  device.scope(() => {
    using tape = new Tape(device);
    tape.watch(x);
    using another = new Tape(device);
    another.watch(x);
    const outside = multiply(x, x), theirs = another.record(() => multiply(x, x));
    const refused = {
      name: "TypeError",
      message: /^Cannot differentiate \[2\]: expected what this/,
    };
    for (const output of [outside, theirs]) {
      assert.throws(() => tape.backwardFrom(output, x), refused);
    }
    assert.throws(() => tape.record(async () => await Promise.resolve(x)), TypeError);
  });
});

gpuTest(
  "Tape keeps nothing of a step, and adds up watched gradients over steps",
  async (device) => {
    using x = whole(device, 1, 2);
    const gradient = device.scope(() => {
      using tape = new Tape(device);
      tape.watch(x);
      for (let step = 0; step < 3; step++) {
        const out = tape.record(() => add(x, multiply(x, x)));
        assert(tape.tracks(out));
        tape.backwardFrom(out, x);
        assert(!tape.tracks(out));
      }
      return tape.gradient(x);
    });
    // Three times x (1 + 2 x).
    assert.deepEqual(await values(gradient), [9, 30]);
    gradient.dispose();
  },
);

gpuTest("Tape goes back once, and lets go of what it did not go back over", (device) => {
  using x = whole(device, 1, 2);
  using y = whole(device, 3, 4);
  const before = device.pool.liveBytes;
  device.scope(() => {
    using tape = new Tape(device);
    tape.watch(x);
    const out = tape.record(() => multiply(multiply(x, y), y));
    tape.backwardFrom(out, y);
    assert.throws(() => tape.backwardFrom(out, y), {
      name: "ReferenceError",
      message: /^Cannot differentiate \[2\]: the tape went back over all that it recorded, /,
    });
    // Recorded again it goes back again.
    tape.backwardFrom(tape.record(() => multiply(x, y)), y);
  });
  assert.equal(device.pool.liveBytes, before);
  device.scope(() => {
    using tape = new Tape(device);
    tape.watch(x);
    tape.record(() => multiply(multiply(x, y), y));
  });
  assert.equal(device.pool.liveBytes, before);
  const breaking = () => {
    using tape = new Tape(device);
    tape.watch(x);
    const out = tape.record(() => {
      const squared = multiply(x, x), output = device.empty([2]);
      device.tape?.push({
        name: "broken",
        inputs: [squared],
        output,
        saved: [squared],
        backward() {
          throw new Error("broken");
        },
      });
      return output;
    });
    tape.backwardFrom(out, y);
  };
  assert.throws(() => device.scope(breaking), /broken/);
  assert.equal(device.pool.liveBytes, before);
});

gpuTest(
  "Tape has the gradients at the values that parameters read, and lets go of what it saved",
  async (device) => {
    using store = new ParameterStore(device);
    const p = store.parameter("p", [4], (v) => v.fill(2));
    const frozen = store.frozen("frozen", [4], (v) => v.fill(2));
    const own = await values(p);
    // The slab of gradients is made when it is first asked for.
    p.gradient.dispose();
    using others = device.tensor(new Float32Array(64).fill(3), [64]);
    using x = whole(device, 1, 2, 3, 4);
    const before = device.pool.liveBytes;
    type Around = <T>(fn: () => T) => T;
    const here: Around = (fn) => fn(), there: Around = (fn) => store.withValues([others], fn);
    for (const checkpoint of [false, true]) {
      // The gradients are those at the values of the forward pass.
      for (const [record, goBack, factor] of [[there, here, 3], [here, there, 2]] as const) {
        const dx = device.scope(() => {
          using tape = new Tape(device);
          tape.watch(x);
          const run = (x: Tensor) => multiply(x, p);
          const out = record(() =>
            tape.record(() => checkpoint ? tape.checkpoint([x], run) : run(x))
          );
          goBack(() => tape.backwardFrom(out, x));
          return tape.gradient(x);
        });
        assert.deepEqual(await values(dx), [1, 2, 3, 4].map((value) => factor * value));
        dx.dispose();
      }
    }
    assert.equal(device.pool.liveBytes, before);
    assert.deepEqual(await values(p), own);
    assert.throws(
      () => new Tape(device).watch(p),
      /Cannot watch parameter p: its gradient is added/,
    );
    assert.throws(
      () => new Tape(device).watch(frozen),
      /Cannot watch parameter frozen: it is frozen, expected one that is trained/,
    );
  },
);

gpuTest(
  "Tape keeps of an output what an op saves, and its gradient finds the way without",
  async (device) => {
    using x = device.tensor(Float32Array.of(1, 2, 3, 4), [4]);
    using zero = device.tensor(new Float32Array(4), [4]);
    const tape = new Tape(device);
    tape.watch(x);
    const before = device.pool.liveBytes;
    const out = device.scope(() => tape.record(() => add(add(add(x, zero), zero), zero)));
    // Neither sum in between is needed again.
    assert.equal(device.pool.liveBytes - before, 256);
    tape.backwardFrom(out, x);
    using gradient = tape.gradient(x);
    assert.deepEqual([...await gradient.read()], [1, 2, 3, 4]);
    out.dispose();
  },
);

gpuTest(
  "Tape gives a cotangent in f16 where one op alone reads the output and offers it",
  async (device) => {
    using x = whole(device, 1, 2, 3, 4), dy = whole(device, 1, 2, 3, 1 + 2 ** -12);
    const types: string[] = [];
    /** The same numbers; rounds its cotangent to f16, and notes what it gets. */
    const rounding = () => {
      const out = device.empty([4]);
      device.copyInto(out, x);
      device.tape?.push({
        name: "rounding",
        inputs: [x],
        output: out,
        saved: [],
        cotangentDtype: "f16",
        backward(dy, gradients) {
          types.push(dy.dtype);
          gradients.into(x, (dx) => device.copyInto(dx, cast(dy, { dtype: "f32" })));
        },
      });
      return out;
    };
    type Give = (h: Tensor) => (dy: Tensor, gradients: Gradients) => void;
    const plain: Give = (h) => (dy, gradients) =>
      gradients.into(h, (dh, accumulate) => accumulate ? addTo(dh, dy) : device.copyInto(dh, dy));
    const offering: Give = (h) => (dy, gradients) =>
      gradients.into(
        h,
        (dh, accumulate) =>
          accumulate
            ? addTo(dh, dy)
            : dh.dtype === "f16"
            ? castInto(dh, dy)
            : device.copyInto(dh, dy),
        { halves: true },
      );
    /** An op that reads `h` and hands on a gradient of it by `give`. */
    const reading = (h: Tensor, give: Give) => {
      const output = device.empty([4]);
      device.copyInto(output, x);
      device.tape?.push({ name: "reading", inputs: [h], output, saved: [], backward: give(h) });
      return output;
    };
    const pass: Give = (h) => (dy, gradients) => gradients.pass(h, dy);
    const region: Give = (h) => (dy, gradients) => gradients.region(h, (dh) => addTo(dh, dy));
    const cases: [
      what: string,
      type: "f16" | "f32",
      times: number,
      read: (tape: Tape) => Tensor,
    ][] = [
      ["one that offers", "f16", 1, () => reading(rounding(), offering)],
      ["one that does not", "f32", 1, () => reading(rounding(), plain)],
      ["one that hands on", "f32", 1, () => reading(rounding(), pass)],
      ["one that writes a part", "f32", 1, () => reading(rounding(), region)],
      ["nobody", "f32", 1, rounding],
      ["two that offer", "f32", 2, () => {
        const h = rounding();
        return add(reading(h, offering), reading(h, offering));
      }],
      ["who watches it", "f32", 1, (tape) => {
        const h = rounding();
        tape.watch(h);
        return reading(h, offering);
      }],
      [
        "one within a checkpoint",
        "f16",
        1,
        (tape) => tape.checkpoint([x], () => reading(rounding(), offering)),
      ],
      [
        "one within a checkpoint, from outside",
        "f32",
        1,
        (tape) => tape.checkpoint([rounding()], (h) => reading(h, offering)),
      ],
      [
        "one outside, from a checkpoint",
        "f32",
        1,
        (tape) => reading(tape.checkpoint([x], rounding), offering),
      ],
    ];
    for (const [what, type, times, read] of cases) {
      types.length = 0;
      const tape = new Tape(device);
      tape.watch(x);
      device.scope(() => {
        const out = tape.record(() => read(tape));
        tape.backwardFrom(out, dy);
        return tape.gradient(x);
      });
      using gradient = tape.gradient(x);
      const last = type === "f16" ? 1 : 1 + 2 ** -12;
      assert.deepEqual(types, [type], `read by ${what}`);
      assert.deepEqual(
        await values(gradient),
        [1, 2, 3, last].map((value) => times * value),
        what,
      );
    }
    device.scope(() => {
      using tape = new Tape(device);
      tape.watch(x);
      const out = tape.record(() => {
        const passing = device.empty([4]);
        device.copyInto(passing, x);
        device.tape!.push({
          name: "passing",
          inputs: [x],
          output: passing,
          saved: [],
          cotangentDtype: "f16",
          backward: (dy, gradients) => gradients.pass(x, dy),
        });
        return reading(passing, offering);
      });
      assert.throws(() => tape.backwardFrom(out, x), {
        name: "TypeError",
        message: "Cannot pass on the cotangent of passing: it is f16, expected an op without " +
          "cotangentDtype, or a gradient by into",
      });
    });
    const twice: Give = (h) => (dy, gradients) => {
      offering(h)(dy, gradients);
      plain(h)(dy, gradients);
    };
    device.scope(() => {
      using tape = new Tape(device);
      tape.watch(x);
      const out = tape.record(() => reading(rounding(), twice));
      assert.throws(() => tape.backwardFrom(out, x), {
        name: "TypeError",
        message: "Cannot give reading a second place for the gradient of [4]: " +
          "it is f16, expected an op that assigns all of it at once",
      });
    });
  },
);

gpuTest(
  "Tape assigns to the gradients of parameters that were zeroed, and adds from then on",
  async (device) => {
    using store = new ParameterStore(device);
    const names = ["into", "region", "passed", "itself", "unused"] as const;
    const [into, region, passed, itself] = names.map((name) =>
      store.parameter(name, [3], (v) => v.fill(1))
    );
    using x = whole(device, 1, 2, 3), dy = whole(device, 10, 20, 30);
    const backward = () =>
      device.scope(() => {
        using tape = new Tape(device);
        const out = tape.record(() => {
          const first = device.empty([3]);
          device.copyInto(first, x);
          device.tape!.push({
            name: "first part",
            inputs: [region!],
            output: first,
            saved: [],
            backward(_, gradients) {
              gradients.region(region!, (gradient) => {
                using part = device.empty([1]);
                fill(part, 7);
                storeAt(gradient, part, { first: 1 });
              });
            },
          });
          return add(multiply(into!, x), add(passed!, first));
        });
        tape.backwardFrom(out, dy);
        using another = new Tape(device);
        another.backwardFrom(another.record(() => itself!), dy);
      });
    const read = async () =>
      Object.fromEntries(
        await Promise.all(names.map(async (name) => {
          using gradient = store.get(name).gradient;
          return [name, await values(gradient)] as const;
        })),
      );
    const once = {
      into: [10, 40, 90],
      region: [0, 7, 0],
      passed: [10, 20, 30],
      itself: [10, 20, 30],
      unused: [0, 0, 0],
    };
    for (const slab of store.gradients) slab.write(new Float32Array(slab.elements).fill(NaN));
    store.zeroGradients();
    backward();
    assert.deepEqual(await read(), once);
    backward();
    // What writes the region here does not add.
    const { region: _, ...added } = await read();
    assert.deepEqual(added, {
      into: [20, 80, 180],
      passed: [20, 40, 60],
      itself: [20, 40, 60],
      unused: [0, 0, 0],
    });
    store.zeroGradients();
    assert.deepEqual((await read()).into, [0, 0, 0]);
  },
);

gpuTest("Tape.pass() into a parameter leaves the padding of its slab zero", async (device) => {
  using store = new ParameterStore(device);
  const bias = store.parameter("bias", [3], (v) => v.fill(1));
  using x = whole(device, 1, 2, 3);
  device.scope(() => {
    const tape = new Tape(device);
    const loss = tape.record(() => {
      const h = add(bias, x);
      spoilPool(device, [[64]]);
      return sum(multiply(h, h));
    });
    tape.backward(loss);
  });
  const slab = await values(store.gradients[0]!);
  assert.deepEqual(slab, [4, 6, 8, ...Array(61).fill(0)]);
});

gpuTest("Tape.checkpoint() holds nothing once its backward pass has failed", (device) => {
  using store = new ParameterStore(device);
  const weight = store.parameter("weight", [4], (values) => values.fill(1));
  using x = device.tensor(Float32Array.of(1, 2, 3, 4), [4]);
  void store.gradients;
  const live = device.pool.liveBytes;
  device.scope(() => {
    using tape = new Tape(device);
    const loss = tape.record(() =>
      tape.checkpoint([x], (x) => {
        const product = multiply(x, weight), output = device.empty([1]);
        device.tape?.push({
          name: "broken",
          inputs: [product],
          output,
          saved: [product],
          backward() {
            throw new Error("broken");
          },
        });
        return output;
      })
    );
    assert.throws(() => tape.backward(loss), /broken/);
  });
  assert.equal(device.pool.liveBytes, live);
});

gpuTest("Tape.checkpoint() of constants holds nothing after the backward pass", async (device) => {
  using x = whole(device, 1, 2), constant = whole(device, 3, 4);
  using tape = new Tape(device);
  tape.watch(x);
  using loss = device.scope(() =>
    tape.record(() => {
      const square = tape.checkpoint([constant], (c) => multiply(c, c));
      return sum(multiply(square, x));
    })
  );
  tape.backward(loss);
  using gradient = tape.gradient(x);
  assert.deepEqual(await values(gradient), [9, 16]);
});

interface StackGradients {
  readonly input: Float32Array;
  readonly weights: Float32Array[];
  readonly peakBytes: number;
  readonly leakedBytes: number;
}

/** The gradients of six layers h + (W W h)², each recomputed in the backward pass or not. */
async function stackGradients(
  options: { checkpoint: "none" | "each" | "nested" },
): Promise<StackGradients> {
  // The naive kernel stages no textures, whose rows of 64 KiB would hide the activations.
  using device = await openDevice({ variants: { matmul: "naive" } });
  const width = 32, shape = [64, width];
  using store = new ParameterStore(device);
  const weights = Array.from(
    { length: 6 },
    (_, i) =>
      store.parameter(
        `${i}`,
        [width, width],
        (v) => v.set(randomValues([v.length], i).map((value) => value / 4)),
      ),
  );
  using x = device.tensor(new Float32Array(randomValues(shape, 99)), shape);
  void store.gradients;
  const live = device.pool.liveBytes;

  function layer(h: Tensor, weight: Parameter): Tensor {
    return device!.scope(() => {
      const update = linear(linear(h, weight), weight);
      return add(h, multiply(update, update));
    });
  }
  function stack(tape: Tape, h: Tensor, part: readonly Parameter[]): Tensor {
    return device!.scope(() => {
      let last = h;
      for (const [i, weight] of part.entries()) {
        // Within another checkpoint the last layer is recorded as it is, behind one that is not.
        const plain = options.checkpoint === "none" ||
          options.checkpoint === "nested" && i === part.length - 1;
        last = plain ? layer(last, weight) : tape.checkpoint([last], (last) => layer(last, weight));
      }
      return last;
    });
  }
  const gradient = device.scope(() => {
    const tape = new Tape(device);
    tape.watch(x);
    const out = tape.record(() => {
      if (options.checkpoint !== "nested") return stack(tape, x, weights);
      const half = tape.checkpoint([x], (x) => stack(tape, x, weights.slice(0, 3)));
      return tape.checkpoint([half], (half) => stack(tape, half, weights.slice(3)));
    });
    tape.backwardFrom(out, x);
    return tape.gradient(x);
  });
  const result = {
    input: await gradient.read(),
    weights: await Promise.all(store.gradients.map((slab) => slab.read())),
    peakBytes: device.pool.peakBytes - live,
  };
  gradient.dispose();
  return { ...result, leakedBytes: device.pool.liveBytes - live };
}

Deno.test({
  name: "Tape.checkpoint() gives the same gradients bit for bit in less memory",
  sanitizeOps: false,
  sanitizeResources: false,
  ignore: NO_ADAPTER,
  async fn() {
    const plain = await stackGradients({ checkpoint: "none" });
    const each = await stackGradients({ checkpoint: "each" });
    const nested = await stackGradients({ checkpoint: "nested" });
    assert.ok(plain.input.some((value) => value !== 0) && plain.weights[0]!.every(Number.isFinite));
    for (const other of [each, nested]) {
      assert.deepEqual(other.input, plain.input);
      assert.deepEqual(other.weights, plain.weights);
      assert.equal(other.leakedBytes, 0);
    }
    assert.equal(plain.leakedBytes, 0);
    // Six layers keep three tensors each besides the stream, one recomputed layer only its own.
    assert.ok(
      each.peakBytes < 0.7 * plain.peakBytes,
      `${each.peakBytes} bytes recomputed, ${plain.peakBytes} without`,
    );
    assert.ok(nested.peakBytes < plain.peakBytes, `${nested.peakBytes} bytes nested`);
  },
});

gpuTest(
  "Tape.checkpoint() of constants alone holds nothing after the backward pass",
  async (device) => {
    using x = whole(device, 2, 3), constant = whole(device, 5, 7);
    const makers: [power: number, make: () => Tensor][] = [
      [2, () => multiply(constant, constant)],
      [1, () => constant.reshape([2, 1]).reshape([2])],
      [1, () => constant],
    ];
    for (const [power, make] of makers) {
      const tape = new Tape(device);
      tape.watch(x);
      using out = device.scope(() => tape.record(() => multiply(x, tape.checkpoint([], make))));
      assert.ok(!tape.tracks(constant));
      tape.backwardFrom(out, x);
      using dx = tape.gradient(x);
      assert.deepEqual(await values(dx), [2 * 5 ** power, 3 * 7 ** power]);
    }
    assert.deepEqual(await values(constant), [5, 7]);
  },
);

gpuTest("Tape.checkpoint() refuses to lose the gradient of what is no input", async (device) => {
  using store = new ParameterStore(device);
  const weights = [1, 2].map((n) => store.parameter(`${n}`, [4], (values) => values.fill(n)));
  using x = device.tensor(Float32Array.of(1, 2, 3, 4), [4]);
  const refused = {
    name: "TypeError",
    message: "Cannot recompute multiply: [4] is no input of its checkpoint, expected all tensors " +
      "that it reads in the list, and the function to use them as it receives them",
  };
  device.scope(() => {
    using watching = new Tape(device);
    watching.watch(x);
    const out = watching.record(() => watching.checkpoint([], () => multiply(x, weights[0]!)));
    assert.throws(() => watching.backwardFrom(out, x), refused);
  });
  device.scope(() => {
    using tape = new Tape(device);
    const out = tape.record(() => {
      let h: Tensor = x;
      // Run again, the function would find the last h.
      for (const weight of weights) h = tape.checkpoint([h], () => multiply(h, weight));
      h = multiply(h, weights[0]!);
      return h;
    });
    assert.throws(() => tape.backwardFrom(out, x), refused);
  });
  // Nor as what an op gives no gradient, or what no op recorded, within the checkpoint or before.
  const byKernel = (h: Tensor) => {
    const out = device.empty([4]);
    combineInto(out, [[h, 1]]);
    return out;
  };
  const readers: [message: RegExp, read: (x: Tensor, h: Tensor, made: Tensor) => Tensor][] = [
    [/^Cannot recompute meanSquare: \[4\] is no input/, (x, h) => meanSquare(x, h)],
    [/^Cannot record multiply: \[4\] was made by combine/, (x, h) => multiply(x, byKernel(h))],
    [/^Cannot record multiply: \[4\] was made by combine/, (x, _, made) => multiply(x, made)],
  ];
  for (const [message, read] of readers) {
    device.scope(() => {
      using tape = new Tape(device);
      const out = tape.record(() => {
        const h = multiply(x, weights[0]!), made = byKernel(h);
        return tape.checkpoint([multiply(x, weights[1]!)], (x) => read(x, h, made));
      });
      const cotangent = out.elements === 1 ? device.empty([1]) : x;
      assert.throws(() => tape.backwardFrom(out, cotangent), { name: "TypeError", message });
    });
  }
  store.zeroGradients();
  device.scope(() => {
    using tape = new Tape(device);
    const out = tape.record(() => {
      const a = multiply(x, weights[0]!), b = multiply(x, weights[1]!);
      assert.throws(
        () => tape.checkpoint([a], () => b),
        /^TypeError: Cannot recompute checkpoint:/,
      );
      // A block that is switched off gives back its input.
      return multiply(tape.checkpoint([a], (a) => a), weights[1]!);
    });
    tape.backwardFrom(out, x);
  });
  assert.deepEqual((await values(store.gradients[0]!)).slice(0, 4), [2, 8, 18, 32]);
});

gpuTest(
  "Tape.backward() refuses values that were written since they were saved",
  async (device) => {
    using store = new ParameterStore(device);
    const weight = store.parameter("weight", [2], (v) => v.fill(3));
    using x = whole(device, 1, 2), y = whole(device, 5, 6);
    for (
      const write of [
        () => x.write(Float32Array.of(9, 9)),
        () => fill(x, 9),
        () => device.copyInto(x, y),
      ]
    ) {
      for (const checkpoint of [false, true]) {
        using tape = new Tape(device);
        device.scope(() => {
          const run = (x: Tensor) => multiply(x, weight);
          const out = tape.record(() => checkpoint ? tape.checkpoint([x], run) : run(x));
          write();
          assert.throws(() => tape.backwardFrom(out, y), {
            name: "Error",
            message:
              `Cannot differentiate ${
                checkpoint ? "checkpoint" : "multiply"
              }: [2], which it saved, ` +
              "was written since, expected no write from record to backward",
          });
        });
      }
    }
    assert.deepEqual((await values(store.gradients[0]!)).slice(0, 2), [0, 0]);
  },
);

gpuTest("Tape refuses to end a gradient at what it went back over", async (device) => {
  using x = whole(device, 3), one = whole(device, 1);
  using tape = new Tape(device);
  tape.watch(x);
  using square = tape.record(() => multiply(x, x));
  tape.backward(square);
  const readers: [name: string, read: () => Tensor][] = [
    ["multiply", () => multiply(square.reshape([1]), x)],
    ["checkpoint", () => tape.checkpoint([square], (h) => multiply(h, x))],
  ];
  for (const [name, read] of readers) {
    assert.throws(() => device.scope(() => tape.record(read)), {
      name: "TypeError",
      message:
        `Cannot record ${name}: a backward pass went back over what made [1], expected it to be ` +
        "recorded again, or as a constant a copy that is made in device.withTape(undefined, …)",
    });
  }
  // As a constant, a target among them.
  const constant = () => device.withTape(undefined, () => multiply(square, one));
  const second = device.scope(() => tape.record(() => multiply(constant(), x)));
  tape.backward(second);
  const third = device.scope(() => tape.record(() => meanSquare(x, square)));
  tape.backward(third);
  using dx = tape.gradient(x);
  assert.deepEqual(await values(dx), [2 * 3 + 9 + 2 * (3 - 9)]);
  second.dispose();
  third.dispose();
});

gpuTest("a tape that was disposed of neither records nor goes back", (device) => {
  using x = whole(device, 1), store = new ParameterStore(device);
  const weight = store.parameter("weight", [1], (v) => v.fill(3));
  const tape = new Tape(device);
  using out = tape.record(() => multiply(x, weight));
  tape[Symbol.dispose]();
  assert.throws(() => tape.backward(out), {
    name: "ReferenceError",
    message: "Cannot differentiate [1]: the tape was disposed of, and what it recorded is gone",
  });
  assert.throws(() => tape.record(() => multiply(x, weight)), {
    name: "ReferenceError",
    message: "Cannot record: the tape was disposed of, expected a new one",
  });
});

gpuTest(
  "Tape.watch() refuses parts of a buffer, whose gradients would be one, and words",
  (device) => {
    using store = new ParameterStore(device), tape = new Tape(device);
    const [a, b] = ["a", "b"].map((name) => store.parameter(name, [4], (v) => v.fill(1)));
    device.scope(() => {
      for (const part of [a!, b!]) {
        assert.throws(() => tape.watch(store.view(store.values, part)), {
          name: "TypeError",
          message:
            "Cannot watch [4]: it is a part of a buffer, expected a tensor of its own, copy it to one",
        });
      }
      assert.throws(() => tape.watch(device.tensor(Uint32Array.of(1), [1])), {
        name: "TypeError",
        message: "Cannot watch [1] of u32: expected f32 or f16",
      });
      for (const shape of [[0], [64], [65]]) tape.watch(device.empty(shape));
    });
  },
);

gpuTest(
  "Tape gives ops gradients in the shapes that they saw, whatever views others took",
  async (device) => {
    using x = device.tensor(Float32Array.of(1, 2, 3, 4), [1, 2, 2]);
    using two = whole(device, 5, 6), four = whole(device, 1, 10, 100, 1000);
    // The cotangent of the tokens is first written by an op that sees them as a row, and that of x likewise.
    const fn = () => {
      const token = multiply(sliceTokens(x, { first: 1, count: 1 }).reshape([2]), two);
      const all = multiply(concatenateTokens([x]).reshape([4]), four);
      return sum(
        combine([[sum(token), 1], [sum(all), 1], [sum(multiply(x.reshape([4]), four)), 1]]),
      );
    };
    assert.deepEqual(await gradientsOf(device, [x], fn), [[2, 20, 205, 2006]]);
  },
);

gpuTest("Tape.gradient() has the shape of the tensor, and is the caller's", async (device) => {
  const { liveBytes } = device.pool;
  {
    using x = device.tensor(Float32Array.of(1, 2, 3, 4), [2, 2]), view = x.reshape([1, 4]);
    using tape = new Tape(device);
    tape.watch(x);
    for (let pass = 1; pass <= 2; pass++) {
      using out = tape.record(() => multiply(view, view));
      tape.backwardFrom(out, view);
    }
    using gradient = tape.gradient(x);
    assert.deepEqual(gradient.shape, [2, 2]);
    assert.deepEqual(await values(gradient), [4, 16, 36, 64]);
  }
  assert.equal(device.pool.liveBytes, liveBytes);
});
