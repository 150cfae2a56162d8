/**
 * `deno task bank nearest`: what of a bank is most like an image.
 *
 * @module
 */

import { parseArguments, UsageError } from "../../cli/arguments.ts";
import { BANK_NEAREST_COMMAND } from "../../cli/commands/bank.ts";
import { openDevice } from "../../cli/open_device.ts";
import { say } from "../../cli/say.ts";
import { counted } from "../../kernels/core/counted.ts";
import { messageOf } from "../../kernels/core/errors.ts";
import { imageOf } from "../../train/bank_images.ts";
import { pictureOfRows } from "../../train/datasets/picture_rows.ts";
import { encodeFiles, loadFiles } from "../../train/encode_files.ts";
import { loadImagesOf } from "../../train/load_data.ts";
import { titleOf } from "../bank.ts";
import { encoderOfBank } from "../encoders/open.ts";
import { loadBank } from "../load.ts";
import { mixChannels } from "../pixels.ts";
import { nearestSnippets } from "../retrieve.ts";
import { dataOf, preparePicture, print, writePicture } from "./console.ts";

/** What has the images of a bank. */
const EXPECTED = "expected --config or --data that the bank was built from";

/** `bank nearest`: the images of a bank most like one. */
export async function nearest(args: readonly string[]): Promise<void> {
  const { options, positionals } = parseArguments(BANK_NEAREST_COMMAND, args);
  const { count, metric, out, json } = options;
  await preparePicture(out, { inputs: [...positionals, options.bank, options.config] });
  const config = await dataOf(options.config, { ...options, like: options.bank });
  using device = await openDevice(config.device, say);
  using bank = loadBank(device, options.bank);
  using encoder = await encoderOfBank(bank, {
    device,
    onnx: options.onnx,
    providers: config.device.onnxProviders,
  });
  const images = await loadImagesOf(bank, { config, note: say })
    .catch((cause) => {
      // The built-in images, which the bank need not be of.
      const asked = options.data ?? options.config ?? options.set[0];
      throw asked === undefined
        ? new UsageError(`Cannot draw the neighbours: ${messageOf(cause)}, ${EXPECTED}`, { cause })
        : cause;
    });
  const query = await loadFiles(positionals, config.data.imageSize);
  const queries = await encodeFiles(query, encoder);
  const found = (await nearestSnippets(device, { bank, queries, count, metric }))[0]!;
  const rows = found.map((neighbour) => {
    const name = titleOf(bank, neighbour.index);
    return { ...neighbour, name, image: imageOf(images, { index: neighbour.index, bank }) };
  });
  const shown = rows.filter(({ image }) => image >= 0).map(({ image }) => image);
  const drawn = shown.length > 0;
  if (drawn) {
    const { imageSize } = images, channels = images.channels as 1 | 3;
    const asked = mixChannels(query.read(Uint32Array.of(0)), {
      from: query.channels,
      to: channels,
      plane: imageSize ** 2,
    });
    const parts = [{ images: asked, columns: 1 }, {
      images: await images.read(Uint32Array.from(shown)),
      columns: shown.length,
    }];
    await writePicture(out, pictureOfRows(parts, { imageSize, channels }));
  }
  const neighbours = rows.map(({ image: _, ...row }) => row);
  print(json, { neighbours, ...(drawn && { out }) }, [
    ...rows.map(({ index, cosine, distance, name }) =>
      `${String(index).padStart(9)}  cosine ${cosine.toFixed(4)}  distance ${distance.toFixed(4)}` +
      `  ${name}`
    ),
    ...(drawn ? [`wrote     ${out}`] : []),
  ]);
  if (!drawn) {
    const problem = `none of them is among the ${counted(images.size, "configured image")}`;
    say(`note      without a picture: ${problem}, ${EXPECTED}`);
  }
}
