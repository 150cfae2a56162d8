/**
 * Tokenizers in ONNX files that the user brings: encoders and decoders of latents. Nothing that the
 * library's other entry points reach imports this: it reaches a native library.
 *
 * @module
 */

export type { ProviderOptions } from "../bank/onnx_network.ts";
export { type LatentSize, OnnxDecoder } from "./onnx_decoder.ts";
export { OnnxLatentEncoder } from "./onnx_latent_encoder.ts";
