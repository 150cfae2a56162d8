/**
 * Images to tokens and back.
 *
 * @module
 */

import { spreadWorkgroups } from "../core/device.ts";
import { Kernel } from "../core/kernel.ts";
import { isWhole } from "../core/limits.ts";
import { formatShape, type Tensor } from "../core/tensor.ts";
import imageToTokensSource from "./image_to_tokens.wgsl.ts";
import tokensToImageSource from "./tokens_to_image.wgsl.ts";

/** The kernels by what they write. */
const KERNELS = {
  tokens: new Kernel({ source: imageToTokensSource }),
  images: new Kernel({ source: tokensToImageSource }),
} as const;

/** Options of {@linkcode unpatchify}. */
export interface UnpatchifyOptions {
  /** Side of a patch in pixels. */
  readonly patchSize: number;
  /** Channels to keep, the first ones of the token; default all. */
  readonly channels?: number | undefined;
  /** Patches in a row of the image; default √T. */
  readonly gridWidth?: number | undefined;
}

/** Where an image's pixels lie in its tokens. */
interface Layout {
  readonly channels: number;
  readonly token_channels: number;
  readonly height: number;
  readonly width: number;
  readonly side: number;
  readonly channel_last: 0 | 1;
}

/**
 * Cuts images into square patches: `images` [B, C, H, W], result [B, T, C·p·p] with T = (H/p)(W/p)
 * tokens row-major, each in (channel, py, px) order, as a convolution's weight [D, C, p, p] expects
 * (Dosovitskiy et al., arXiv 2010.11929, section 3.1).
 *
 * Throws `TypeError` unless there are four axes and `patchSize` divides the height and the width.
 *
 * @example
 * ```ts
 * import { Device, patchify } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * using image = device.tensor(Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8), [1, 1, 2, 4]);
 * using tokens = patchify(image, { patchSize: 2 });
 * console.log(tokens.shape, ...await tokens.read()); // [ 1, 2, 4 ] 1 2 5 6 3 4 7 8
 * ```
 */
export function patchify(images: Tensor, options: { patchSize: number }): Tensor {
  const { patchSize } = options;
  const [batch = 0, channels = 0, height = 0, width = 0] = images.shape;
  const cuts = Number.isInteger(patchSize) && patchSize >= 1 && height % patchSize === 0 &&
    width % patchSize === 0;
  if (images.shape.length !== 4 || !cuts) {
    throw new TypeError(
      `Cannot cut images ${formatShape(images.shape)} into patches of ${patchSize}: ` +
        "expected [B, C, H, W] with H and W multiples of the patch",
    );
  }
  const { device } = images;
  const layout: Layout = {
    channels,
    token_channels: channels,
    height,
    width,
    side: patchSize,
    channel_last: 0,
  };
  const tokens = (height / patchSize) * (width / patchSize);
  const out = device.empty([batch, tokens, channels * patchSize * patchSize]);
  moveTo("tokens", { images, tokens: out, layout, accumulate: 0 });
  device.tape?.push({
    name: "patchify",
    inputs: [images],
    output: out,
    saved: [],
    backward(dy, gradients) {
      gradients.into(
        images,
        (dImages, accumulate) =>
          moveTo("images", { images: dImages, tokens: dy, layout, accumulate }),
      );
    },
  });
  return out;
}

/**
 * Puts patches together: `tokens` [B, T, p·p·C'], each in (py, px, channel) order, result
 * [B, channels, H, W] with the first `channels` of the C' (DiT, Peebles and Xie, 2023,
 * section 3.2). Dropped channels, such as the variances of a network that learns sigma, get a
 * gradient of exactly zero.
 *
 * Throws `TypeError` when the tokens do not fill such images.
 *
 * @example
 * ```ts
 * import { Device, unpatchify } from "@gmem/gmem/kernels";
 *
 * using device = await Device.open({ allowCpuDriver: true });
 * // One token: the four pixels of its patch, each of two channels, of which one is kept.
 * using tokens = device.tensor(Float32Array.of(1, -1, 2, -2, 3, -3, 4, -4), [1, 1, 8]);
 * using image = unpatchify(tokens, { patchSize: 2, channels: 1 });
 * console.log(image.shape, await image.read()); // [ 1, 1, 2, 2 ] Float32Array(4) [ 1, 2, 3, 4 ]
 * ```
 */
export function unpatchify(tokens: Tensor, options: UnpatchifyOptions): Tensor {
  const { patchSize } = options;
  const [batch = 0, count = 0, depth = 0] = tokens.shape;
  const tokenChannels = depth / (patchSize * patchSize);
  const { channels = tokenChannels, gridWidth = Math.sqrt(count) } = options;
  const gridHeight = count / gridWidth;
  const refuse = (expected: string) => {
    const shape = formatShape(tokens.shape);
    throw new TypeError(
      `Cannot put tokens ${shape} together as patches of ${patchSize}: expected ${expected}`,
    );
  };
  const cuts = Number.isInteger(patchSize) && patchSize >= 1 && Number.isInteger(tokenChannels);
  if (tokens.shape.length !== 3 || !cuts) refuse("[B, T, patchSize² · channels]");
  if (channels === 0 || !isWhole(channels, tokenChannels)) {
    refuse(`channels from 1 to ${tokenChannels} in place of ${channels}`);
  }
  if (!Number.isInteger(gridWidth) || gridWidth < 1 || !Number.isInteger(gridHeight)) {
    refuse(
      options.gridWidth === undefined
        ? "a square number of tokens, or gridWidth"
        : `tokens in whole rows of gridWidth ${gridWidth}`,
    );
  }
  const { device } = tokens;
  const layout: Layout = {
    channels,
    token_channels: tokenChannels,
    height: gridHeight * patchSize,
    width: gridWidth * patchSize,
    side: patchSize,
    channel_last: 1,
  };
  const out = device.empty([batch, channels, layout.height, layout.width]);
  moveTo("images", { images: out, tokens, layout, accumulate: 0 });
  device.tape?.push({
    name: "unpatchify",
    inputs: [tokens],
    output: out,
    saved: [],
    backward(dy, gradients) {
      gradients.into(
        tokens,
        (dTokens, accumulate) =>
          moveTo("tokens", { images: dy, tokens: dTokens, layout, accumulate }),
      );
    },
  });
  return out;
}

/** Moves pixels from images to tokens, or back. */
function moveTo(
  target: keyof typeof KERNELS,
  options: { images: Tensor; tokens: Tensor; layout: Layout; accumulate: 0 | 1 },
): void {
  const { images, tokens, layout, accumulate } = options;
  const { device, elements } = options[target];
  device.dispatch(KERNELS[target], {
    tensors: { images, tokens },
    params: { elements, ...layout, accumulate },
    workgroups: spreadWorkgroups(Math.ceil(elements / 64)),
  });
}
