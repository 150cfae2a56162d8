/**
 * Text encoders that are ONNX files, such as BERT or the text half of CLIP, with the tokenizer that
 * lies beside them. The only file that imports @huggingface/tokenizers; nothing that the library's
 * other entry points reach imports this.
 *
 * @module
 */

import { Tokenizer } from "@huggingface/tokenizers";
import { dirname, join } from "node:path";
import { messageOf } from "../../kernels/core/errors.ts";
import { requireOneOf } from "../../kernels/core/nearest_name.ts";
import { isSize } from "../../kernels/core/safetensors_format.ts";
import { sha256Hex } from "../../kernels/core/sha256.ts";
import { OnnxNetwork, type ProviderOptions } from "../onnx_network.ts";
import type { EncoderDescription } from "./encoder.ts";
import { TEXT_POOLINGS, type TextPooling } from "./preprocessing.ts";
import type { TextVectorEncoder } from "./text_encoder.ts";

export type { ProviderOptions } from "../onnx_network.ts";
export type { TextPooling } from "./preprocessing.ts";

/** How {@linkcode OnnxTextEncoder.open} makes an encoder. */
export interface OnnxTextEncoderOptions extends ProviderOptions {
  /** The output that is taken, [n, e] or [n, T, e]; the first by default. */
  readonly output?: string | undefined;
  /** The vector of an output [n, T, e]: that of the first token, BERT's CLS, or the tokens' mean. */
  readonly pooling?: TextPooling | undefined;
}

const KIND = "onnx_text";

/** The file of the tokenizer, in the folder of the network. */
const TOKENIZER = "tokenizer.json";

/** The file beside it, where there is one, that says how many tokens the network takes. */
const TOKENIZER_CONFIG = "tokenizer_config.json";

/** Inputs that a network may have, and the value that each token gives; the first has the tokens. */
const INPUTS: Readonly<Record<string, (id: number) => number>> = {
  input_ids: (id) => id,
  attention_mask: () => 1,
  token_type_ids: () => 0,
};

/**
 * A text encoder that is an ONNX file, run by onnxruntime, with the `tokenizer.json` in its
 * folder. Each text goes through the network alone, so that none is padded. A text of more tokens than
 * the tokenizer's `truncation` allows keeps its first ones and the last; where the tokenizer has none, than
 * `model_max_length` of a `tokenizer_config.json` in that folder allows.
 *
 * @example
 * ```ts ignore
 * import { OnnxTextEncoder } from "@gmem/gmem/onnx-text";
 *
 * using encoder = await OnnxTextEncoder.open("bert/model.onnx", { pooling: "cls" });
 * const vectors = await encoder.encode(["red heart", "black heart"]); // [2, 768]
 * console.log(encoder.dim, vectors.length); // 768 1536
 * ```
 */
export class OnnxTextEncoder implements TextVectorEncoder {
  /** Length e of a vector. */
  readonly dim: number;
  /** The SHA-256 of the network and of the tokenizer, and what is taken of the network. */
  readonly description: EncoderDescription;
  readonly #network: OnnxNetwork;
  readonly #tokenizer: TruncatingTokenizer;
  readonly #taken: Required<Taken>;

  private constructor(made: {
    network: OnnxNetwork;
    tokenizer: TruncatingTokenizer;
    taken: Required<Taken>;
    description: EncoderDescription;
  }) {
    this.#network = made.network;
    this.#tokenizer = made.tokenizer;
    this.#taken = made.taken;
    this.description = made.description;
    this.dim = made.description.dim;
  }

  /**
   * Opens a network and its tokenizer and encodes one text, which tells the length of its vectors.
   *
   * Throws a NotFound error if one of the files is not there, a TypeError if they are no network of texts
   * and no tokenizer, and a RangeError for a pooling that there is none of.
   */
  static async open(path: string, options: OnnxTextEncoderOptions = {}): Promise<OnnxTextEncoder> {
    const { providers } = options, tokenizerPath = join(dirname(path), TOKENIZER);
    const words = await readTokenizer(tokenizerPath);
    const maxLength = await readMaxLength(join(dirname(path), TOKENIZER_CONFIG));
    const { tokenizer, truncates } = openTokenizer(tokenizerPath, { words, maxLength });
    using opened = new DisposableStack();
    const network = opened.use(
      await OnnxNetwork.open(path, { purpose: "encode texts with", providers }),
    );
    const { output = network.outputs[0]!.name, pooling = "cls" } = options;
    const taken = { output, pooling };
    requireOneOf(`Cannot encode texts with ${path}: pooling`, pooling, TEXT_POOLINGS);
    checkNetwork(network, output);
    const probe = await run(network, { ids: tokenizer("a"), taken });
    const description = {
      kind: KIND,
      dim: probe.length,
      fingerprint: network.fingerprint,
      preprocessing: {
        tokenizer: sha256Hex(words),
        ...(truncates || maxLength === undefined ? {} : { maxLength }),
      },
      settings: taken,
      source: path,
    };
    opened.move();
    return new OnnxTextEncoder({ network, tokenizer, taken, description });
  }

  /**
   * Encodes n texts to vectors [n, e] as the network gives them.
   *
   * Throws a RangeError that names the text if one has no token, and a TypeError if its tokens are no numbers
   * that the network takes.
   */
  async encode(texts: readonly string[]): Promise<Float32Array> {
    const vectors = new Float32Array(texts.length * this.dim);
    for (const [i, text] of texts.entries()) {
      const ids = this.#tokenizer(text);
      if (ids.length === 0) {
        throw new RangeError(
          `Cannot encode the text ${JSON.stringify(text)}: expected a word in it`,
        );
      }
      vectors.set(await run(this.#network, { ids, taken: this.#taken }), i * this.dim);
    }
    return vectors;
  }

  /** Lets go of the network. */
  [Symbol.dispose](): void {
    this.#network[Symbol.dispose]();
  }
}

/** What is taken of a network's outputs. */
interface Taken {
  readonly output: string;
  readonly pooling: TextPooling;
}

/** Gives the tokens of a text. */
type TruncatingTokenizer = (text: string) => number[];

async function readTokenizer(path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await Deno.readFile(path);
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound)) throw tokenizerError(path, cause);
    throw new Deno.errors.NotFound(
      `Cannot encode texts: there is no file ${path}, expected an ONNX file and the ${TOKENIZER} ` +
        "of its tokenizer in one folder",
      { cause },
    );
  }
}

/** The tokens that the network takes, where a file says a number that is meant: no limit is written as 1e30. */
async function readMaxLength(path: string): Promise<number | undefined> {
  try {
    const most: unknown = JSON.parse(await Deno.readTextFile(path)).model_max_length;
    return isSize(most) && most >= 1 ? most : undefined;
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return undefined;
    throw tokenizerError(path, cause);
  }
}

/** The tokenizer of a file, and whether the file itself says how many tokens a text has at most. */
function openTokenizer(
  path: string,
  options: { words: Uint8Array; maxLength: number | undefined },
): { tokenizer: TruncatingTokenizer; truncates: boolean } {
  const attempt = <T>(act: () => T): T => {
    try {
      return act();
    } catch (cause) {
      throw tokenizerError(path, cause);
    }
  };
  const { library, most, truncates } = attempt(() => {
    const definition = JSON.parse(new TextDecoder().decode(options.words));
    const own: unknown = definition.truncation?.max_length;
    const most = own ?? options.maxLength ?? Infinity;
    if (typeof most !== "number" || !(most >= 1)) {
      throw new RangeError(`truncation.max_length is ${JSON.stringify(most)}`);
    }
    return { library: new Tokenizer(definition, {}), most, truncates: own !== undefined };
  });
  const tokenizer = (text: string) =>
    attempt(() => {
      const { ids } = library.encode(text);
      // The library takes what stands in the file for the numbers of tokens.
      if (!ids.every(isSize)) {
        throw new TypeError(`the tokens of ${JSON.stringify(text)} are ${JSON.stringify(ids)}`);
      }
      return ids.length <= most ? ids : [...ids.slice(0, most - 1), ids.at(-1)!];
    });
  return { tokenizer, truncates };
}

function tokenizerError(path: string, cause: unknown): TypeError {
  return new TypeError(
    `Cannot encode texts with ${path}: ${messageOf(cause)}, expected the tokenizer of ` +
      "Hugging Face's library tokenizers",
    { cause },
  );
}

function checkNetwork(network: OnnxNetwork, output: string): void {
  const [inputs, outputs] = [network.inputs, network.outputs]
    .map((ports) => ports.map(({ name }) => name)) as [string[], string[]];
  const problem = !inputs.includes("input_ids") || inputs.some((name) => !(name in INPUTS))
    ? `its inputs are ${inputs.join(", ")}, expected input_ids and none but ` +
      Object.keys(INPUTS).join(", ")
    : !outputs.includes(output)
    ? `output is ${output}, expected one of ${outputs.join(", ")}`
    : undefined;
  if (problem !== undefined) throw network.error(problem);
}

/** The vector [e] of one text; throws a TypeError that names the network. */
async function run(
  network: OnnxNetwork,
  options: { readonly ids: readonly number[]; readonly taken: Taken },
): Promise<Float32Array> {
  const { ids, taken: { output, pooling } } = options;
  const inputs = Object.fromEntries(network.inputs.map(({ name }) => {
    const values = BigInt64Array.from(ids, (id) => BigInt(INPUTS[name]!(id)));
    return [name, { values, shape: [1, ids.length] }];
  }));
  const [found] = await network.run(inputs, [output]).catch((cause) => {
    throw network.error(cause.message, cause);
  });
  const { values: data, shape } = found!;
  const dim = shape.at(-1) ?? 0;
  if (shape[0] !== 1 || shape.length < 2 || shape.length > 3) {
    throw network.error(
      `output ${output} is [${shape.join(", ")}] for one text, expected [1, e] or [1, T, e]`,
    );
  }
  const tokens = pooling === "cls" ? 1 : data.length / dim;
  return Float32Array.from({ length: dim }, (_, i) => {
    let sum = 0;
    for (let token = 0; token < tokens; token++) sum += data[token * dim + i]!;
    return sum / tokens;
  });
}
