/**
 * Mappers as safetensors files: the parameters `net.0.weight` … `net.4.bias`, for a contrastive one
 * `logit_scale` too, and in the metadata `format` gmem-snippet-mapper, `version` 1, and in JSON what
 * encoded the vectors, `source`, and the encoder of the bank, `target`.
 *
 * @module
 */

import {
  type EncoderDescription,
  encoderDifference,
  parseEncoderDescription,
} from "../bank/encoders/encoder.ts";
import type { Device } from "../kernels/core/device.ts";
import { CheckpointError, messageOf } from "../kernels/core/errors.ts";
import { ParameterStore } from "../kernels/core/parameter_store.ts";
import { SafetensorsFile } from "../kernels/core/safetensors.ts";
import { SnippetMapper } from "../model/snippet_mapper.ts";
import { loadStateDict, safetensorsSource, saveStateDict } from "../model/state_dict.ts";
import { LOGIT_SCALE, type OwnedMapper } from "./mapper_training.ts";

const FORMAT = "gmem-snippet-mapper";
const VERSION = "1";

/** What a mapper goes between. */
export interface MapperEnds {
  /** What encodes the vectors that are mapped. */
  readonly source: EncoderDescription;
  /** The encoder of the bank whose snippets they become. */
  readonly target: EncoderDescription;
}

/**
 * Writes a mapper, all or nothing. Waits for the GPU.
 *
 * Throws a CheckpointError if the disk refuses.
 *
 * @example
 * ```ts
 * import {
 *   Device, HashedNgrams, ParameterStore, readMapperEnds, saveMapper, SnippetMapper,
 * } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const mapper = new SnippetMapper(store, { inputs: 1024, width: 4, snippetDim: 2 });
 * const source = new HashedNgrams().description; // of the texts
 * const target = { kind: "features", dim: 2, fingerprint: "", preprocessing: {}, settings: {} };
 * const folder = Deno.makeTempDirSync(), path = `${folder}/mapper.safetensors`;
 * await saveMapper(path, mapper, { source, target });
 * console.log(readMapperEnds(path).target.dim); // 2
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export async function saveMapper(
  path: string,
  mapper: SnippetMapper,
  ends: MapperEnds,
): Promise<void> {
  await saveStateDict(path, mapper.parameters, {
    metadata: {
      format: FORMAT,
      version: VERSION,
      source: JSON.stringify(ends.source),
      target: JSON.stringify(ends.target),
    },
  });
}

/**
 * Reads what a mapper file goes between.
 *
 * Throws a CheckpointError if the file cannot be read or is no mapper.
 *
 * @example
 * ```ts
 * import {
 *   Device, HashedNgrams, ParameterStore, readMapperEnds, saveMapper, SnippetMapper,
 * } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const mapper = new SnippetMapper(store, { inputs: 1024, width: 4, snippetDim: 2 });
 * const target = { kind: "features", dim: 2, fingerprint: "", preprocessing: {}, settings: {} };
 * const folder = Deno.makeTempDirSync(), path = `${folder}/mapper.safetensors`;
 * await saveMapper(path, mapper, { source: new HashedNgrams().description, target });
 * const ends = readMapperEnds(path);
 * console.log(ends.source.kind, ends.source.dim, ends.target.kind); // hashed_ngrams 1024 features
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export function readMapperEnds(path: string): MapperEnds {
  using file = SafetensorsFile.open(path);
  return endsOf(file);
}

/**
 * Loads a mapper, to map vectors of the encoder `source` to snippets of the encoder `target`; an end
 * that is left out may be any.
 *
 * Throws a CheckpointError if the file cannot be read or is no mapper, and a TypeError with the first
 * difference if it was learned for other encoders.
 *
 * @example
 * ```ts
 * import {
 *   Device, HashedNgrams, loadMapper, mapVectors, ParameterStore, saveMapper, SnippetMapper,
 * } from "@gmem/gmem";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using store = new ParameterStore(device, { seed: 0 });
 * const made = new SnippetMapper(store, { inputs: 1024, width: 4, snippetDim: 2 });
 * using texts = new HashedNgrams();
 * const source = texts.description;
 * const target = { kind: "features", dim: 2, fingerprint: "", preprocessing: {}, settings: {} };
 * const folder = Deno.makeTempDirSync(), path = `${folder}/mapper.safetensors`;
 * await saveMapper(path, made, { source, target });
 * using owned = loadMapper(device, path, { source }); // TypeError for another encoder of texts
 * Deno.removeSync(folder, { recursive: true });
 * console.log((await mapVectors(owned.mapper, await texts.encode(["red heart"]))).length); // 2
 * ```
 */
export function loadMapper(
  device: Device,
  path: string,
  expected: Partial<MapperEnds> = {},
): OwnedMapper {
  using file = SafetensorsFile.open(path);
  const ends = endsOf(file);
  for (const [end, what] of [["source", "the vectors"], ["target", "the snippets"]] as const) {
    const wanted = expected[end];
    const difference = wanted && encoderDifference(ends[end], wanted);
    if (difference === undefined) continue;
    throw new TypeError(
      `Cannot map by ${path}: it was learned for ${what} of another encoder, ${difference}`,
    );
  }
  using opened = new DisposableStack();
  const store = opened.use(new ParameterStore(device));
  const mapper = new SnippetMapper(store, {
    inputs: ends.source.dim,
    width: file.has("net.2.weight") ? file.entry("net.2.weight").shape[0] ?? 0 : 0,
    snippetDim: ends.target.dim,
  });
  loadStateDict(safetensorsSource(file), store, { filter: (key) => key !== LOGIT_SCALE });
  const kept = opened.move();
  return { mapper, [Symbol.dispose]: () => kept.dispose() };
}

function endsOf({ path, metadata }: SafetensorsFile): MapperEnds {
  const { format, version, source, target } = metadata;
  if (format !== FORMAT || version !== VERSION || source === undefined || target === undefined) {
    throw new CheckpointError(
      `Cannot read mapper ${JSON.stringify(path)}: its format is ${format ?? "not said"}, ` +
        `version ${version ?? "not said"}, expected ${FORMAT}, version ${VERSION}, with both ends`,
      { path },
    );
  }
  try {
    return { source: parseEncoderDescription(source), target: parseEncoderDescription(target) };
  } catch (cause) {
    throw new CheckpointError(
      `Cannot read mapper ${JSON.stringify(path)}: ${messageOf(cause)}`,
      { path, cause },
    );
  }
}
