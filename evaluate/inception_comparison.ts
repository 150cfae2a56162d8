/**
 * What Inception features tell of samples: FID and what goes with it.
 *
 * @module
 */

import type { Device } from "../kernels/core/device.ts";
import type { InceptionExtract } from "./extract.ts";
import { frechetDistance } from "./frechet.ts";
import { compareFeatures } from "./measure.ts";
import type { ReferenceSet } from "./reference_set.ts";
import type { InceptionReport } from "./report.ts";
import { inPercent, type Reporter } from "./reporter.ts";

/** Components up to which parts of the reference are measured with Inception: it takes a minute above. */
const FEW_COMPONENTS = 512;

/** What {@linkcode compareInception} compares. */
export interface InceptionComparison {
  /** What the network made of the samples. */
  readonly samples: InceptionExtract;
  /** What it made of the reference's images; undefined where statistics alone are known. */
  readonly images: InceptionExtract | undefined;
  /** The reference, whose statistics go before those of its images. */
  readonly reference: Pick<ReferenceSet, "source" | "pool" | "spatial">;
}

/** Options of {@linkcode compareInception}. */
export interface InceptionComparisonOptions {
  /** SHA-256 of the network's file. */
  readonly fingerprint: string;
  /** Takes the products of distances, where there are many. */
  readonly device: Device;
  /** Seed of everything random. */
  readonly seed: number;
  /** Is told how far it is, and warned of what cannot be measured. */
  readonly reporter: Reporter;
}

/**
 * Measures samples against a reference by Inception features.
 *
 * Throws a TypeError if the reference's statistics are of vectors of other lengths, and what
 * `compareFeatures` throws.
 */
export async function compareInception(
  sets: InceptionComparison,
  options: InceptionComparisonOptions,
): Promise<InceptionReport> {
  const { samples, images, reference } = sets;
  const { fingerprint, device, seed, reporter } = options;
  const { pool, dim, score } = samples;
  requireSameFeatures(reference, { pool: dim, spatial: samples.spatial?.dim });
  const compared = await inPercent(
    (onProgress) =>
      compareFeatures({
        samples: pool,
        reference: images?.pool,
        statistics: reference.pool,
      }, {
        dim,
        device,
        seed,
        resamples: 0,
        chance: dim <= FEW_COMPONENTS || pool.length / dim <= dim,
        onProgress,
      }),
    {
      label: `measuring  ${dim} Inception features, in percent; the decompositions come last`,
      reporter,
    },
  );
  for (const warning of compared.warnings) reporter.warn(`Inception: ${warning}`);
  const spatial = reference.spatial ?? images?.spatial;
  if (samples.spatial === undefined) reporter.warn("no sFID: the network has no spatial features");
  else if (spatial === undefined) reporter.warn("no sFID: the reference has no mu_s and sigma_s");
  if (score === undefined) reporter.warn("no Inception score: the network gives no classes");
  const share = (inside: typeof compared.precision) => inside && { ...inside, interval: undefined };
  return {
    fingerprint,
    fid: compared.frechet.value,
    sfid: spatial && samples.spatial && frechetDistance(spatial, samples.spatial),
    inceptionScore: score?.result(),
    precision: share(compared.precision),
    recall: share(compared.recall),
    chance: compared.chance,
  };
}

function requireSameFeatures(
  reference: InceptionComparison["reference"],
  dims: { readonly pool: number; readonly spatial: number | undefined },
): void {
  const keys = { pool: "mu", spatial: "mu_s" } as const;
  for (const kind of ["pool", "spatial"] as const) {
    const [own, other] = [dims[kind], reference[kind]?.dim];
    if (own !== undefined && other !== undefined && own !== other) {
      throw new TypeError(
        `Cannot measure against ${reference.source}: its ${keys[kind]} has ${other} components ` +
          `and the network's ${kind} output ${own}, expected statistics of the same network`,
      );
    }
  }
}
