export default /* wgsl */ `
// best[q][strip][0..k) = the k largest of values[q][strip], strip + strips, strip + 2 strips, ...
//
// values: [rows, columns], f32; with HAS_FACTORS each is times factors[column] first. With
// HAS_INDICES, indices [rows, columns] names each value, else its name is its column.
// best, names: [rows, strips, k], largest first; of equal values the smaller name comes first, so
// the result does not depend on strips. A value that is not a number is passed over. Room that is
// left has the name 2^32 - 1, by which it is known to be empty, and the least finite f32. One
// invocation per row and strip, which keeps its k slots of best and names sorted by insertion; the
// invocations of a workgroup read side by side. No barrier.
// Error: none, or one rounding of a value times its factor, 2^-24 relative.

struct Params { rows: u32, columns: u32, strips: u32, k: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read_write> best: array<f32>;
@group(0) @binding(4) var<storage, read_write> names: array<u32>;
@group(0) @binding(5) var<storage, read> factors: array<f32>;

override HAS_INDICES: bool = false;
override HAS_FACTORS: bool = false;

const LEAST = -3.4028234663852886e38f;
const NO_NAME = 0xffffffffu;

fn comes_first(value: f32, name: u32, other: f32, other_name: u32) -> bool {
  return other_name == NO_NAME || value > other || (value == other && name < other_name);
}

// Compilers may assume that no float is NaN, so it is tested as an integer. Of a product they could still
// leave out the test, which LLVM does with one for infinity, but up to LLVM 22 not with this one.
fn is_nan(value: f32) -> bool { return (bitcast<u32>(value) & 0x7fffffffu) > 0x7f800000u; }

@compute @workgroup_size(64)
fn top_k(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= params.rows * params.strips) { return; }
  let row = i / params.strips;
  let first = i * params.k;
  let last = first + params.k - 1u;
  for (var slot = first; slot <= last; slot++) {
    best[slot] = LEAST;
    names[slot] = NO_NAME;
  }
  var least = LEAST;
  var least_name = NO_NAME;
  for (var column = i % params.strips; column < params.columns; column += params.strips) {
    let at = row * params.columns + column;
    var value = values[at];
    if (HAS_FACTORS) { value *= factors[column]; }
    var name = column;
    if (HAS_INDICES) { name = indices[at]; }
    if (name == NO_NAME || is_nan(value)) { continue; }
    if (!comes_first(value, name, least, least_name)) { continue; }
    var slot = last;
    while (slot > first) {
      let above = best[slot - 1u];
      let above_name = names[slot - 1u];
      if (!comes_first(value, name, above, above_name)) { break; }
      best[slot] = above;
      names[slot] = above_name;
      slot -= 1u;
    }
    best[slot] = value;
    names[slot] = name;
    least = best[last];
    least_name = names[last];
  }
}
`;
