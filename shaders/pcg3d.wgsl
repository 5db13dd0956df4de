// Three words mixed so that every bit of the result depends on all of them.
//
// Source: Jarzynski & Olano 2020, jcgt 9(3), pcg3d.
fn pcg3d(words: vec3<u32>) -> vec3<u32> {
    var v = words * 1664525u + 1013904223u;
    v.x += v.y * v.z;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    v ^= v >> vec3<u32>(16u);
    v.x += v.y * v.z;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    return v;
}
