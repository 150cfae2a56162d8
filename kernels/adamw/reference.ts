/** The state of some parameters; {@linkcode adamwReference} changes it in place. */
export interface AdamwReferenceState {
  values: Float64Array;
  gradients: Float64Array;
  firstMoments: Float64Array;
  secondMoments: Float64Array;
  averages: Float64Array;
}

/** One float64 step of AdamW (Loshchilov and Hutter 2019, algorithm 2) and of the EMA. */
export function adamwReference(
  state: AdamwReferenceState,
  options: {
    factor: number;
    learningRate: number;
    beta1: number;
    beta2: number;
    epsilon: number;
    weightDecay: number;
    step: number;
    emaDecay: number;
  },
): void {
  const { values, gradients, firstMoments, secondMoments, averages } = state;
  const { factor, learningRate, beta1, beta2, epsilon, weightDecay, step, emaDecay } = options;
  for (let i = 0; i < values.length; i++) {
    const gradient = factor * gradients[i]!;
    if (factor === 0) continue;
    firstMoments[i] = beta1 * firstMoments[i]! + (1 - beta1) * gradient;
    secondMoments[i] = beta2 * secondMoments[i]! + (1 - beta2) * gradient ** 2;
    const first = firstMoments[i]! / (1 - beta1 ** step);
    const second = secondMoments[i]! / (1 - beta2 ** step);
    values[i]! *= 1 - learningRate * weightDecay;
    values[i]! -= learningRate * first / (Math.sqrt(second) + epsilon);
    averages[i] = emaDecay * averages[i]! + (1 - emaDecay) * values[i]!;
  }
}
