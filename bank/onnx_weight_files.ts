/**
 * The files beside an ONNX file in which exporters put its weights.
 *
 * @module
 */

/** The messages of an ONNX file on the way to its tensors. */
type Message = "model" | "graph" | "node" | "attribute" | "tensor";

/** Numbers of the fields that hold such messages (onnx.proto of ONNX). */
const FIELDS: Readonly<Record<Message, Readonly<Record<number, Message>>>> = {
  model: { 7: "graph" },
  graph: { 1: "node", 5: "tensor" },
  node: { 5: "attribute" },
  attribute: { 5: "tensor", 6: "graph", 10: "tensor", 11: "graph" },
  tensor: {},
};

/** Number of the field of a tensor that says where its numbers are, as entries of a key and a value. */
const EXTERNAL_DATA = 13;

/** The key that names the file. */
const LOCATION = "location";

/** Field of a message: its number, and its bytes where it is no number. */
interface Field {
  readonly number: number;
  readonly bytes: Uint8Array | undefined;
}

/**
 * Names the files that hold weights of an ONNX file with the given bytes, relative to its folder, in the order
 * of the alphabet; none where all weights are in the file itself. Of bytes that are no ONNX file it names
 * what it finds.
 *
 * @example
 * ```ts ignore
 * console.log(weightFilesOf(Deno.readFileSync("dinov2.onnx"))); // [ "dinov2.onnx.data" ]
 * ```
 */
export function weightFilesOf(bytes: Uint8Array): string[] {
  const found = new Set<string>();
  const pending: { message: Message; bytes: Uint8Array }[] = [{ message: "model", bytes }];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    for (const field of fieldsOf(next.bytes)) {
      if (field.bytes === undefined) continue;
      const inner = FIELDS[next.message][field.number];
      if (inner !== undefined) pending.push({ message: inner, bytes: field.bytes });
      if (next.message !== "tensor" || field.number !== EXTERNAL_DATA) continue;
      const [key, value] = [1, 2].map((number) => textOf(field.bytes!, number));
      if (key === LOCATION && value !== undefined) found.add(value);
    }
  }
  return [...found].sort();
}

function textOf(entry: Uint8Array, number: number): string | undefined {
  const field = fieldsOf(entry).find((field) => field.number === number);
  return field?.bytes && new TextDecoder().decode(field.bytes);
}

/** The fields of a message of Protocol Buffers, up to the first that is damaged. */
function* fieldsOf(bytes: Uint8Array): Generator<Field> {
  let position = 0;
  const number = (): number => {
    let value = 0;
    for (let scale = 1; position < bytes.length; scale *= 128) {
      const byte = bytes[position++]!;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    return NaN;
  };
  while (position < bytes.length) {
    const tag = number(), kind = tag % 8;
    if (kind === 0) number();
    const size = kind === 0 ? 0 : kind === 1 ? 8 : kind === 2 ? number() : kind === 5 ? 4 : NaN;
    if (!(position + size <= bytes.length)) return;
    const start = position;
    position += size;
    yield {
      number: Math.floor(tag / 8),
      bytes: kind === 2 ? bytes.subarray(start, position) : undefined,
    };
  }
}
