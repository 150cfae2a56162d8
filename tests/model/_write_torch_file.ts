/**
 * Writes files as `torch.save` does, and as it never would: pickles are put together instruction by
 * instruction, archives entry by entry.
 */

const encoder = new TextEncoder();

/** A part of a pickle. */
export type Code = readonly number[];

function littleEndian(value: number | bigint, bytes: number): number[] {
  return Array.from(
    { length: bytes },
    (_, index) => Number(BigInt(value) >> BigInt(8 * index) & 0xffn),
  );
}

/** Instructions of Python's pickle; names are those of pickletools in lower case. */
export const code = {
  none: [0x4e],
  yes: [0x88],
  no: [0x89],
  /** BINUNICODE. */
  text(value: string): Code {
    const bytes = encoder.encode(value);
    return [0x58, ...littleEndian(bytes.length, 4), ...bytes];
  },
  /** BININT1, BININT2, BININT or LONG1, the shortest that fits. */
  integer(value: number | bigint): Code {
    if (value >= 0 && value < 256) return [0x4b, Number(value)];
    if (value >= 0 && value < 65536) return [0x4d, ...littleEndian(value, 2)];
    if (value >= -(2 ** 31) && value < 2 ** 31) return [0x4a, ...littleEndian(value, 4)];
    let bytes = 4;
    while (BigInt.asIntN(8 * bytes, BigInt(value)) !== BigInt(value)) bytes++;
    return [0x8a, bytes, ...littleEndian(value, bytes)];
  },
  /** BINFLOAT. */
  float(value: number): Code {
    const view = new DataView(new ArrayBuffer(8));
    view.setFloat64(0, value, false);
    return [0x47, ...new Uint8Array(view.buffer)];
  },
  /** EMPTY_LIST and APPENDS. */
  list(...items: Code[]): Code {
    return [0x5d, 0x28, ...items.flat(), 0x65];
  },
  /** MARK and TUPLE. */
  tuple(...items: Code[]): Code {
    return [0x28, ...items.flat(), 0x74];
  },
  /** EMPTY_DICT and SETITEMS. */
  dict(...items: [Code, Code][]): Code {
    return [0x7d, 0x28, ...items.flat(2), 0x75];
  },
  /** A dict whose keys are strings. */
  record(items: Record<string, Code>): Code {
    return code.dict(
      ...Object.entries(items).map(([key, value]): [Code, Code] => [code.text(key), value]),
    );
  },
  /** GLOBAL. */
  global(module: string, name: string): Code {
    return [0x63, ...encoder.encode(`${module}\n${name}\n`)];
  },
  /** REDUCE of a global. */
  call(module: string, name: string, ...values: Code[]): Code {
    return [...code.global(module, name), ...code.tuple(...values), 0x52];
  },
  /** BINPERSID of a storage. */
  storage(type: string, key: string, count: number): Code {
    return [
      ...code.tuple(
        code.text("storage"),
        code.global("torch", type),
        code.text(key),
        code.text("cpu"),
        code.integer(count),
      ),
      0x51,
    ];
  },
  /** A tensor that views a storage; strides are those of row-major order unless given. */
  tensor(
    type: string,
    shape: number[],
    place: {
      key?: string;
      count?: number;
      offset?: number;
      strides?: number[];
      marks?: Record<string, Code>;
    } = {},
  ): Code {
    const count = place.count ?? shape.reduce((product, size) => product * size, 1);
    const strides = place.strides ??
      shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
    return code.call(
      "torch._utils",
      "_rebuild_tensor_v2",
      code.storage(type, place.key ?? "0", count),
      code.integer(place.offset ?? 0),
      code.tuple(...shape.map(code.integer)),
      code.tuple(...strides.map(code.integer)),
      code.no,
      code.call("collections", "OrderedDict"),
      ...place.marks === undefined ? [] : [code.record(place.marks)],
    );
  },
  /** A whole pickle: PROTO, the value, STOP. */
  pickle(value: Code, protocol: number = 2): Uint8Array {
    return Uint8Array.of(0x80, protocol, ...value, 0x2e);
  },
};

/** One entry of an archive, with what may be wrong about it. */
export interface ArchiveEntry {
  name: string;
  content: Uint8Array;
  /** Compression method, 0 unless given. */
  method?: number;
  /** General purpose flags, 0x0808 as PyTorch writes unless given. */
  flags?: number;
  /** What the directory says of the size instead of the truth. */
  claimedBytes?: number;
  /** What the directory says of the header's place instead of the truth. */
  claimedOffset?: number;
  /** A comment that the directory has of it. */
  comment?: Uint8Array;
}

/** Options of {@linkcode makeArchive}. */
export interface ArchiveOptions {
  /** Whether numbers of the directory go to zip64 fields. */
  wide?: boolean;
  /** A comment at the end of the archive. */
  comment?: Uint8Array;
}

/** Puts entries into a zip archive without compression. */
export function makeArchive(entries: ArchiveEntry[], options: ArchiveOptions = {}): Uint8Array {
  const { wide = false, comment = new Uint8Array(0) } = options;
  const file: number[] = [];
  const directory: number[] = [];
  for (const entry of entries) {
    const name = encoder.encode(entry.name);
    const size = entry.claimedBytes ?? entry.content.length;
    const offset = entry.claimedOffset ?? file.length;
    const common = [
      ...littleEndian(entry.flags ?? 0x0808, 2),
      ...littleEndian(entry.method ?? 0, 2),
      ...littleEndian(0, 8),
    ];
    // Contents begin at a multiple of 64, as PyTorch pads them with an extra field "FB".
    const padding = (64 - (file.length + 34 + name.length) % 64) % 64;
    file.push(...littleEndian(0x04034b50, 4), 20, 0, ...common, ...littleEndian(0, 8));
    file.push(...littleEndian(name.length, 2), ...littleEndian(padding + 4, 2), ...name);
    file.push(0x46, 0x42, ...littleEndian(padding, 2), ...new Array(padding).fill(0x5a));
    for (const byte of entry.content) file.push(byte);
    const extra = wide
      ? [1, 0, 24, 0, ...[size, size, offset].flatMap((value) => littleEndian(value, 8))]
      : [];
    directory.push(...littleEndian(0x02014b50, 4), 20, 0, 20, 0, ...common);
    directory.push(...littleEndian(wide ? 0xffffffff : size, 4));
    directory.push(...littleEndian(wide ? 0xffffffff : size, 4));
    directory.push(...littleEndian(name.length, 2), ...littleEndian(extra.length, 2));
    const { comment = new Uint8Array(0) } = entry;
    directory.push(...littleEndian(comment.length, 2), ...littleEndian(0, 8));
    directory.push(...littleEndian(wide ? 0xffffffff : offset, 4), ...name, ...extra, ...comment);
  }
  const start = file.length;
  for (const byte of directory) file.push(byte);
  const wideEnd = file.length;
  if (wide) {
    file.push(...littleEndian(0x06064b50, 4), ...littleEndian(44, 8), 45, 0, 45, 0);
    file.push(...littleEndian(0, 8), ...littleEndian(entries.length, 8));
    file.push(...littleEndian(entries.length, 8), ...littleEndian(directory.length, 8));
    file.push(...littleEndian(start, 8));
    file.push(...littleEndian(0x07064b50, 4), ...littleEndian(0, 4));
    file.push(...littleEndian(wideEnd, 8), ...littleEndian(1, 4));
  }
  const counts = littleEndian(wide ? 0xffff : entries.length, 2);
  file.push(...littleEndian(0x06054b50, 4), 0, 0, 0, 0, ...counts, ...counts);
  file.push(...littleEndian(wide ? 0xffffffff : directory.length, 4));
  file.push(...littleEndian(wide ? 0xffffffff : start, 4));
  file.push(...littleEndian(comment.length, 2), ...comment);
  return Uint8Array.from(file);
}

/** Options of {@linkcode makeTorchFile}. */
export interface TorchFileOptions extends ArchiveOptions {
  /** Contents of `data/0`, `data/1`, …; keys are what follows the slash. */
  storages?: Record<string, ArrayBufferView>;
  /** Content of the record `byteorder`, absent unless given. */
  byteOrder?: string;
  /** Version of the pickle's protocol, 2 unless given. */
  protocol?: number;
  /** Entries beside those of PyTorch. */
  more?: ArchiveEntry[];
}

/** Makes a file of `torch.save` whose root is `value`. */
export function makeTorchFile(value: Code, options: TorchFileOptions = {}): Uint8Array {
  const entries: ArchiveEntry[] = [
    { name: "archive/data.pkl", content: code.pickle(value, options.protocol) },
  ];
  if (options.byteOrder !== undefined) {
    entries.push({ name: "archive/byteorder", content: encoder.encode(options.byteOrder) });
  }
  for (const [key, data] of Object.entries(options.storages ?? {})) {
    entries.push({
      name: `archive/data/${key}`,
      content: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    });
  }
  entries.push({ name: "archive/version", content: encoder.encode("3\n") });
  return makeArchive([...entries, ...options.more ?? []], options);
}

/** A tensor in memory. */
export interface Stored {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** A file of `torch.save` with weights under names with a prefix, as training scripts write it. */
export function checkpointOf(
  weights: ReadonlyMap<string, Stored>,
  options: { prefix: string; section: string },
): Uint8Array {
  const { prefix, section } = options;
  const storages: Record<string, Float32Array> = {};
  const dict: Record<string, readonly number[]> = {};
  for (const [name, { shape, values }] of weights) {
    const key = `${Object.keys(storages).length}`;
    storages[key] = values;
    dict[prefix + name] = code.tensor("FloatStorage", [...shape], { key });
  }
  const zeros = code.record({ other: code.tensor("FloatStorage", [1], { key: "0", count: 1 }) });
  const rest = { model: zeros, steps: code.integer(400_000), opt: code.record({}) };
  return makeTorchFile(code.record({ ...rest, [section]: code.record(dict) }), { storages });
}
