/**
 * `deno run -A bench/bank.ts`: what memory banks of up to 1.28 million snippets cost.
 *
 * Prints a Markdown table; options are `--rows 10000,100000,1280000`, `--ranks 64,384`, `--dim 768`,
 * `--directory DIR` for the files (3.9 GB for the largest full bank, and 2.3 GB for its low-rank ones),
 * and `--json`.
 *
 * @module
 */

import { parseArgs } from "node:util";
import type { Bank } from "../bank/bank.ts";
import { BankWriter } from "../bank/bank_writer.ts";
import { buildBank } from "../bank/build.ts";
import { compressBank } from "../bank/compress.ts";
import { PixelPca } from "../bank/encoders/pixel_pca.ts";
import { BankFile } from "../bank/file.ts";
import type { ImageSource } from "../bank/image_source.ts";
import { loadBank } from "../bank/load.ts";
import { normalizeSnippets } from "../bank/normalize.ts";
import { chooseUniform, nearestSnippets } from "../bank/retrieve.ts";
import { runCommand } from "../cli/run_command.ts";
import { say } from "../cli/say.ts";
import { Device } from "../kernels/core/device.ts";
import { Random, Stream } from "../kernels/core/random.ts";
import { measure, median, waitMilliseconds } from "./measure.ts";

/** One line of the table. */
interface Row {
  readonly name: string;
  readonly snippets: number;
  readonly milliseconds: number;
  /** Bytes that have to be read and written. */
  readonly bytes: number;
  /** Time over that of a copy of as many bytes. */
  readonly copies: number;
  /** Where that copy is made. */
  readonly copiedBy: "host" | "GPU";
  /** Largest resident memory of the process so far, where the system says. */
  readonly peakBytes: number | undefined;
}

const BATCH = 256, NEIGHBOURS = 5, QUERIES = [1, 64], IMAGES = 2000, IMAGE_SIZES = [16, 32, 64];

/** Bytes of the copies that passes are compared with. */
const COPY_BYTES = 2 ** 26;

/** Snippets that are made and written at once. */
const WRITTEN_ROWS = 4096;

async function main(): Promise<void> {
  const { values } = parseArgs({
    args: Deno.args.slice(),
    options: {
      rows: { type: "string", default: "10000,100000,1280000" },
      ranks: { type: "string", default: "64,384" },
      dim: { type: "string", default: "768" },
      directory: { type: "string" },
      json: { type: "boolean", default: false },
      debug: { type: "boolean", default: false },
    },
  });
  const numbers = (text: string) => text.split(",").map(Number);
  const directory = await Deno.makeTempDir({
    prefix: "gmem_bench_",
    ...(values.directory === undefined ? {} : { dir: values.directory }),
  });
  try {
    using bench = await BankBench.open(directory);
    await bench.build();
    for (const size of numbers(values.rows)) {
      await bench.run(size, { dim: Number(values.dim), ranks: numbers(values.ranks) });
    }
    const { label } = bench;
    const result = { adapter: label, date: new Date().toISOString(), rows: bench.rows };
    console.log(
      values.json ? JSON.stringify(result) : [label, "", ...table(bench.rows)].join("\n"),
    );
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** Measures everything on one device, against copies in the same run. */
class BankBench implements Disposable {
  /** What was measured so far. */
  readonly rows: Row[] = [];
  readonly #device: Device;
  readonly #directory: string;
  readonly #wait: number;
  /** Copied bytes a millisecond. */
  readonly #rates: Readonly<Record<Row["copiedBy"], number>>;

  private constructor(
    device: Device,
    options: {
      directory: string;
      wait: number;
      rates: Record<Row["copiedBy"], number>;
    },
  ) {
    this.#device = device;
    this.#directory = options.directory;
    this.#wait = options.wait;
    this.#rates = options.rates;
  }

  static async open(directory: string): Promise<BankBench> {
    const device = await Device.open({ allowCpuDriver: true });
    const wait = await waitMilliseconds(device);
    const rates = { host: hostCopyRate(), GPU: await gpuCopyRate(device, wait) };
    say(
      `copy      host ${(rates.host / 1e6).toFixed(1)} GB/s, GPU ` +
        `${(rates.GPU / 1e6).toFixed(1)} GB/s`,
    );
    return new BankBench(device, { directory, wait, rates });
  }

  /** The adapter. */
  get label(): string {
    return this.#device.profile.label;
  }

  /** Banks of images, by the encoder that needs no download. */
  async build(): Promise<void> {
    const device = this.#device;
    for (const imageSize of IMAGE_SIZES) {
      const images = syntheticImages(IMAGES, imageSize);
      const path = `${this.#directory}/images`;
      await this.#timed(`build, pixel_pca of ${imageSize} × ${imageSize}`, {
        snippets: IMAGES,
        bytes: IMAGES * 4 * (3 * imageSize ** 2 * 2 + 64),
        copiedBy: "host",
        async work() {
          using encoder = await PixelPca.fit(device, { images, dim: 64, resolution: 16 });
          await buildBank({ images, encoder, out: path });
        },
      });
    }
  }

  /** A full bank and its low-rank ones of one size. */
  async run(size: number, options: { dim: number; ranks: readonly number[] }): Promise<void> {
    const { dim, ranks } = options;
    const full = `${this.#directory}/full`;
    const bytes = 4 * size * dim,
      copiedBy = "host" as const,
      snippets = size,
      device = this.#device;
    await this.#timed("write", {
      snippets,
      bytes,
      copiedBy,
      work: () => writeSynthetic(full, { size, dim }),
    });
    // First all that should need little memory, so that the peak is its own.
    const kept = ranks.filter((each) => each <= Math.min(dim, size - 1));
    const pathOf = (rank: number) => `${this.#directory}/rank_${rank}`;
    for (const rank of kept) {
      using file = BankFile.open(full);
      await this.#timed(`compress, rank ${rank}`, {
        snippets,
        bytes: 2 * bytes + 4 * size * rank,
        copiedBy,
        work: async () => void await compressBank(file, { rank, out: pathOf(rank), device }),
      });
    }
    for (const rank of kept) {
      const path = pathOf(rank), sharedBytes = 4 * dim * (rank + 1);
      await this.#retrieve(`rank ${rank}`, { path, size, rowBytes: 4 * rank, sharedBytes });
      Deno.removeSync(path);
    }
    await this.#retrieve("full", { path: full, size, rowBytes: 4 * dim, sharedBytes: 0 });
    Deno.removeSync(full);
  }

  async #retrieve(
    name: string,
    options: { path: string; size: number; rowBytes: number; sharedBytes: number },
  ): Promise<void> {
    const { path, size: snippets, rowBytes, sharedBytes } = options;
    const device = this.#device;
    let loaded: Bank | undefined;
    await this.#timed(`load, ${name}`, {
      snippets,
      bytes: snippets * rowBytes,
      copiedBy: "host",
      async work() {
        loaded = loadBank(device, path);
        await device.settle();
      },
    });
    using bank = loaded!;
    const indices = chooseUniform(snippets, { count: BATCH, seed: 1 });
    const gather = await measure(
      device,
      () => device.scope(() => void bank.gather(indices)),
      { wait: this.#wait },
    );
    const bytes = BATCH * (rowBytes + 4 * bank.dim) + sharedBytes;
    this.#add(`gather ${BATCH}, ${name}`, { snippets, bytes, copiedBy: "GPU", ...gather });
    const queries = new Float32Array(await readOf(bank, indices));
    for (const count of QUERIES) {
      await this.#timed(`nearest ${NEIGHBOURS} to ${count}, ${name}`, {
        snippets,
        bytes: snippets * (rowBytes + 8 * count),
        copiedBy: "GPU",
        rounds: snippets > 500_000 ? 1 : 3,
        work: async () =>
          void await nearestSnippets(device, {
            bank,
            queries: queries.subarray(0, count * bank.dim),
            count: NEIGHBOURS,
          }),
      });
    }
    bank[Symbol.dispose]();
    await device.settle();
    device.trim();
  }

  async #timed(
    name: string,
    options: Pick<Row, "snippets" | "bytes" | "copiedBy"> & {
      rounds?: number;
      work: () => void | Promise<void>;
    },
  ): Promise<void> {
    const times: number[] = [];
    for (let round = 0; round < (options.rounds ?? 1); round++) {
      const start = performance.now();
      await options.work();
      times.push(performance.now() - start);
    }
    this.#add(name, { ...options, milliseconds: median(times) });
  }

  #add(
    name: string,
    measured: Pick<Row, "snippets" | "bytes" | "copiedBy" | "milliseconds">,
  ): void {
    const { snippets, bytes, copiedBy, milliseconds } = measured;
    const copies = milliseconds / (bytes / this.#rates[copiedBy]);
    const row = { name, snippets, milliseconds, bytes, copies, copiedBy, peakBytes: peakBytes() };
    this.rows.push(row);
    const peak = `peak ${((row.peakBytes ?? NaN) / 1e9).toFixed(2)} GB`;
    say(`${String(snippets).padStart(9)}  ${name}: ${milliseconds.toFixed(1)} ms, ${peak}`);
  }

  [Symbol.dispose](): void {
    this.#device.dispose();
  }
}

async function readOf(bank: Bank, indices: Uint32Array): Promise<Float32Array> {
  using rows = bank.gather(indices);
  return await rows.read();
}

/** Bytes a millisecond of a copy in memory, read and written counted once. */
function hostCopyRate(): number {
  const source = new Uint8Array(COPY_BYTES).fill(1), target = new Uint8Array(COPY_BYTES);
  const times = Array.from({ length: 7 }, () => {
    const start = performance.now();
    target.set(source);
    return performance.now() - start;
  });
  return COPY_BYTES / median(times);
}

async function gpuCopyRate(device: Device, wait: number): Promise<number> {
  using source = device.tensor(new Float32Array(COPY_BYTES / 4).fill(1), [COPY_BYTES / 4]);
  using target = device.empty([COPY_BYTES / 4]);
  const { milliseconds } = await measure(device, () => device.copyInto(target, source), { wait });
  return COPY_BYTES / milliseconds;
}

/**
 * Writes a bank of rows that are sums of a few of 512 patterns of falling strength and of noise: of high
 * rank, with a spectrum that falls. The same for the same size.
 */
function writeSynthetic(path: string, { size, dim }: { size: number; dim: number }): void {
  const patterns = 512, period = 65_521;
  const random = new Random(7, Stream.Label);
  const normals = Float32Array.from(
    { length: patterns * dim + period + dim },
    (_, i) => Math.sqrt(12) * (random.uniform(0, 0, i) - 0.5),
  );
  const noise = normals.subarray(patterns * dim);
  using writer = new BankWriter(path, { size, dim });
  for (let first = 0; first < size; first += WRITTEN_ROWS) {
    const count = Math.min(WRITTEN_ROWS, size - first), rows = new Float32Array(count * dim);
    for (let row = 0; row < count; row++) {
      const index = first + row, out = rows.subarray(row * dim, (row + 1) * dim);
      for (let term = 0; term < 4; term++) {
        const pattern = Math.floor(random.uniform(1, term, index) ** 2 * patterns);
        addScaled(out, { row: normals.subarray(pattern * dim, (pattern + 1) * dim), scale: 1 });
      }
      const start = index * 7919 % period;
      addScaled(out, { row: noise.subarray(start, start + dim), scale: 0.3 });
    }
    writer.append(normalizeSnippets(rows, { dim, firstIndex: first }));
  }
  writer.commit();
}

function addScaled(out: Float32Array, { row, scale }: { row: Float32Array; scale: number }): void {
  for (let i = 0; i < out.length; i++) out[i]! += scale * row[i]!;
}

/** Images that are each the mix of two of 64, made as they are read. */
function syntheticImages(size: number, imageSize: number): ImageSource {
  const random = new Random(3, Stream.Label), length = 3 * imageSize ** 2, sources = 64;
  const pixels = Float32Array.from({ length: sources * length }, (_, i) => {
    const x = i % imageSize / imageSize, y = Math.floor(i / imageSize) % imageSize / imageSize;
    const plane = Math.floor(i / imageSize ** 2);
    return 0.5 * Math.sin(plane % 7 * x + plane % 11 * y + plane);
  });
  return {
    size,
    imageSize,
    channels: 3,
    read(indices) {
      const batch = new Float32Array(indices.length * length);
      for (const [slot, index] of indices.entries()) {
        const out = batch.subarray(slot * length, (slot + 1) * length);
        for (let term = 0; term < 2; term++) {
          const source = Math.floor(random.uniform(0, term, index) * sources);
          const row = pixels.subarray(source * length, (source + 1) * length);
          addScaled(out, { row, scale: random.uniform(1, term, index) });
        }
      }
      return batch;
    },
  };
}

/** The largest resident memory of this process so far, where the system says. */
function peakBytes(): number | undefined {
  try {
    const [, kilobytes] = /VmHWM:\s*(\d+) kB/.exec(Deno.readTextFileSync("/proc/self/status")) ??
      [];
    return kilobytes === undefined ? undefined : 1024 * Number(kilobytes);
  } catch {
    return undefined;
  }
}

function table(rows: readonly Row[]): string[] {
  return [
    "| snippets | pass | time | bytes | against a copy | peak memory |",
    "|---:|---|---:|---:|---:|---:|",
    ...rows.map(({ name, snippets, milliseconds, bytes, copies, copiedBy, peakBytes }) =>
      `| ${snippets.toLocaleString("en")} | ${name} | ${time(milliseconds)} | ` +
      `${rounded(bytes / 1e6, 3)} MB | ${rounded(copies, 2)} × ${copiedBy} | ` +
      `${peakBytes === undefined ? "" : `${(peakBytes / 1e9).toFixed(2)} GB`} |`
    ),
  ];
}

function time(milliseconds: number): string {
  return milliseconds < 1000
    ? `${milliseconds.toPrecision(3)} ms`
    : `${(milliseconds / 1000).toPrecision(3)} s`;
}

/** A number with some digits that count, and never an exponent. */
function rounded(value: number, digits: number): string {
  return String(Number(value.toPrecision(digits)));
}

await runCommand(main);
