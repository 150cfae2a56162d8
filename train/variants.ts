/**
 * The names of the kernels of every op that has several.
 *
 * @module
 */

import { KERNELS as ADAMW } from "../kernels/adamw/mod.ts";
import { FORWARD as ATTENTION } from "../kernels/attention/mod.ts";
import { TO_F16 } from "../kernels/cast/mod.ts";
import { COMBINE } from "../kernels/combine/mod.ts";
import type { OpWithVariants } from "../kernels/core/tuning.ts";
import { GELU } from "../kernels/gelu/mod.ts";
import { GELU_MLP } from "../kernels/gelu_mlp/mod.ts";
import { SQUARE_SUM } from "../kernels/global_norm/mod.ts";
import { ROWS as LAYER_NORM } from "../kernels/layer_norm/mod.ts";
import { COLUMN_SUMS } from "../kernels/linear/mod.ts";
import { TILES as MATMUL } from "../kernels/matmul/variants.ts";
import { GATE } from "../kernels/modulate/mod.ts";
import { FORWARD as QK_NORM } from "../kernels/qk_norm/mod.ts";
import { KERNELS as RECONSTRUCT } from "../kernels/reconstruct/mod.ts";
import { ROTATE } from "../kernels/rope/mod.ts";
import { KERNELS as ROW_SQUARES } from "../kernels/row_squares/mod.ts";
import { SILU } from "../kernels/silu/mod.ts";
import { FORWARD as SWIGLU } from "../kernels/swiglu/mod.ts";

/** The table of each op, by the names of its variants. */
const TABLES: Readonly<Record<OpWithVariants, object>> = {
  adamw: ADAMW,
  attention: ATTENTION,
  cast: TO_F16,
  columnSum: COLUMN_SUMS,
  combine: COMBINE,
  gate: GATE,
  gelu: GELU.forward,
  geluMlp: GELU_MLP,
  globalNorm: SQUARE_SUM,
  layerNorm: LAYER_NORM,
  matmul: MATMUL,
  qkNorm: QK_NORM,
  reconstruct: RECONSTRUCT,
  rope: ROTATE,
  rowSquares: ROW_SQUARES,
  silu: SILU.forward,
  swiglu: SWIGLU,
};

/** The names of the variants of an op. */
export function variantsOf(op: OpWithVariants): string[] {
  return Object.keys(TABLES[op]);
}
