/** Float64 patches: `images` [B, C, H, W], result [B, T, C·p·p] in (channel, py, px) order. */
export function patchifyReference(
  images: Float64Array,
  options: { channels: number; height: number; width: number; patchSize: number },
): Float64Array {
  const { channels, height, width, patchSize } = options;
  const out: number[] = [];
  for (let image = 0; image < images.length; image += channels * height * width) {
    for (let top = 0; top < height; top += patchSize) {
      for (let left = 0; left < width; left += patchSize) {
        for (let c = 0; c < channels; c++) {
          for (let py = 0; py < patchSize; py++) {
            for (let px = 0; px < patchSize; px++) {
              out.push(images[image + (c * height + top + py) * width + left + px]!);
            }
          }
        }
      }
    }
  }
  return Float64Array.from(out);
}

/** Float64 images: `tokens` [B, T, p·p·C'] in (py, px, channel) order, result [B, channels, H, W]. */
export function unpatchifyReference(
  tokens: Float64Array,
  options: {
    channels: number;
    tokenChannels: number;
    gridHeight: number;
    gridWidth: number;
    patchSize: number;
  },
): Float64Array {
  const { channels, tokenChannels, gridHeight, gridWidth, patchSize } = options;
  const height = gridHeight * patchSize, width = gridWidth * patchSize;
  const out: number[] = [];
  for (let image = 0; image < tokens.length; image += tokenChannels * height * width) {
    for (let c = 0; c < channels; c++) {
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const token = Math.floor(y / patchSize) * gridWidth + Math.floor(x / patchSize);
          const place = (y % patchSize) * patchSize + x % patchSize;
          out.push(tokens[image + (token * patchSize * patchSize + place) * tokenChannels + c]!);
        }
      }
    }
  }
  return Float64Array.from(out);
}
