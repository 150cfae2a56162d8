/**
 * Tiny ONNX files for tests, written by the wire format of Protocol Buffers.
 *
 * @module
 */

/** Numbers that onnx.proto gives to the types of elements. */
export const ONNX_TYPES = { float32: 1, uint8: 2, int32: 6, int64: 7, float16: 10 } as const;

/** Name of a type of elements. */
export type OnnxType = keyof typeof ONNX_TYPES;

/** An input or output of a graph; words in its shape stand for any size. */
export interface OnnxPort {
  readonly name: string;
  readonly type?: OnnxType;
  readonly shape: readonly (number | string)[];
}

/** A constant of a graph; its bytes lie in the file, or in that of the name `file` from byte `offset` on. */
export interface OnnxWeight {
  readonly name: string;
  readonly type?: OnnxType;
  readonly shape: readonly number[];
  readonly bytes?: Uint8Array;
  readonly file?: { readonly name: string; readonly offset: number; readonly length: number };
}

/** An operator; an attribute is a number, or a graph that it runs. */
export interface OnnxNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, number | OnnxGraph>>;
}

/** What a file computes. */
export interface OnnxGraph {
  readonly nodes: readonly OnnxNode[];
  readonly inputs: readonly OnnxPort[];
  readonly outputs: readonly OnnxPort[];
  readonly weights?: readonly OnnxWeight[];
}

type Part = readonly number[];

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push(value % 128 + 128);
  return [...bytes, value];
}

function numberField(number: number, value: number): Part {
  return [...varint(number * 8), ...varint(value)];
}

function field(number: number, content: string | Part | Uint8Array, ...more: Part[]): Part {
  const bytes = typeof content === "string"
    ? [...new TextEncoder().encode(content)]
    : [content, ...more].flatMap((part) => [...part]);
  return [...varint(number * 8 + 2), ...varint(bytes.length), ...bytes];
}

function entry(key: string, value: string | number): Part {
  return field(13, field(1, key), field(2, `${value}`));
}

function tensorOf({ name, type = "float32", shape, bytes, file }: OnnxWeight): Part {
  const stored = file === undefined ? [field(9, bytes!)] : [
    entry("location", file.name),
    entry("offset", file.offset),
    entry("length", file.length),
    numberField(14, 1),
  ];
  return [
    ...shape.flatMap((size) => numberField(1, size)),
    ...numberField(2, ONNX_TYPES[type]),
    ...field(8, name),
    ...stored.flat(),
  ];
}

function portOf({ name, type = "float32", shape }: OnnxPort): Part {
  const sizes = shape.flatMap((size) =>
    field(1, typeof size === "string" ? field(2, size) : numberField(1, size))
  );
  const tensor = field(1, numberField(1, ONNX_TYPES[type]), field(2, sizes));
  return [...field(1, name), ...field(2, tensor)];
}

function nodeOf({ op, inputs, outputs, attributes = {} }: OnnxNode): Part {
  return [
    ...inputs.flatMap((name) => field(1, name)),
    ...outputs.flatMap((name) => field(2, name)),
    ...field(4, op),
    ...Object.entries(attributes).flatMap(([name, value]) =>
      typeof value === "number"
        ? field(5, field(1, name), numberField(3, value), numberField(20, 2))
        : field(5, field(1, name), field(6, graphOf(value)), numberField(20, 5))
    ),
  ];
}

function graphOf({ nodes, inputs, outputs, weights = [] }: OnnxGraph): Part {
  return [
    ...nodes.flatMap((node) => field(1, nodeOf(node))),
    ...field(2, "graph"),
    ...weights.flatMap((weight) => field(5, tensorOf(weight))),
    ...inputs.flatMap((port) => field(11, portOf(port))),
    ...outputs.flatMap((port) => field(12, portOf(port))),
  ];
}

/** The bytes of an ONNX file of operator set 18. */
export function onnxFile(graph: OnnxGraph): Uint8Array<ArrayBuffer> {
  const operators = field(8, field(1, ""), numberField(2, 18));
  return Uint8Array.from([...numberField(1, 9), ...field(7, graphOf(graph)), ...operators]);
}

/** The bytes of float32 numbers. */
export function floatBytes(values: ArrayLike<number>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Float32Array.from(values).buffer);
}
