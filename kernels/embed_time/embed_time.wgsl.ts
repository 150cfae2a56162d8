export default /* wgsl */ `
// out[b] = [cos(t[b] f_k) for k < half] ++ [sin(t[b] f_k) for k < half] ++ [0 if width is odd]
// with half = floor(width / 2) and f_k = max_period^(-k / half)
//
// t: [batch]; out: [batch, width]. One invocation per pair of a cosine and a sine. No barrier.
// rate_high + rate_low = log2(max_period) / half, the first of 12 bits so that k rate_high is exact for
// k < 4096. Error: |error| <= 2^-22 (1 + |t f_k|) for |t f_k| <= 3000 and widths up to 8192: the angle
// itself is rounded to f32, its cosine and sine are within 2 units in the last place.

struct Params { batch: u32, width: u32, rate_high: f32, rate_low: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> t: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

// 2^(-k rate): the whole part of the exponent goes into the bits, Taylor's series does the rest.
fn frequency(k: f32) -> f32 {
  let high = k * params.rate_high;
  let whole = round(high);
  let z = ((whole - high) - k * params.rate_low) * 0.6931471805599453;
  let tail = 1.0 / 24.0 + z * (1.0 / 120.0 + z * (1.0 / 720.0 + z * (1.0 / 5040.0)));
  let series = 1.0 + z * (1.0 + z * (0.5 + z * (1.0 / 6.0 + z * tail)));
  return series * bitcast<f32>((127u - u32(whole)) << 23u);
}

// (cos, sin). The rest beyond whole quarter turns is taken with pi / 2 in three parts, of which the
// first two have 13 bits, so that their products with up to 2^11 quarters are exact.
fn cos_sin_of(angle: f32) -> vec2f {
  let quarters = round(angle * 0.6366197723675814);
  var r = angle - quarters * 1.57080078125;
  r = r + quarters * 4.454515874385834e-6;
  r = r - quarters * 6.077094383272197e-11;
  return cos_sin(r, i32(quarters));
}

@compute @workgroup_size(64)
fn embed_time(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let half = params.width / 2u;
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.batch * half) { return; }
  let b = i / half;
  let k = i % half;
  let pair = cos_sin_of(t[b] * frequency(f32(k)));
  let row = b * params.width;
  out[row + k] = pair.x;
  out[row + half + k] = pair.y;
  if (k == 0u && (params.width & 1u) == 1u) { out[row + params.width - 1u] = 0.0; }
}
`;
