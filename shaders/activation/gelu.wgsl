// Plays `activation`: f(x) = x/2 (1 + erf(x / sqrt(2))).
//
// erfc(|z|) = t exp(-z^2 + P(t)), t = 1 / (1 + |z|/2), with the polynomial of Numerical Recipes
// (2nd ed., section 6.2, erfcc): relative error below 1.2e-7 everywhere.
// Source: Hendrycks & Gimpel 2016, arXiv:1606.08415.
fn activate(x: vec4<f32>) -> vec4<f32> {
    let z = abs(x) * 0.70710678;
    let t = 1.0 / (1.0 + 0.5 * z);
    var p = vec4<f32>(0.17087277);
    p = p * t - 0.82215223;
    p = p * t + 1.48851587;
    p = p * t - 1.13520398;
    p = p * t + 0.27886807;
    p = p * t - 0.18628806;
    p = p * t + 0.09678418;
    p = p * t + 0.37409196;
    p = p * t + 1.00002368;
    p = p * t - 1.26551223;
    let tail = 0.5 * t * exp(max(p - z * z, vec4<f32>(-87.0)));
    return x * select(1.0 - tail, tail, x < vec4<f32>(0.0));
}
