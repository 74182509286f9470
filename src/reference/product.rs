//! The product of a weight and a vector.

use super::Real;

/// y += W·x: `weight` (out, in), `x` (in), `y` (out).
pub(super) fn multiply_add<R: Real>(weight: &[R], x: &[R], y: &mut [R]) {
    for (o, y) in y.iter_mut().enumerate() {
        for (i, &x_i) in x.iter().enumerate() {
            *y += weight[o * x.len() + i] * x_i;
        }
    }
}

/// The same for few outputs over many features, in the order of the engine: sixteen partial sums for each output, i modulo
/// 16, which are summed by halves (8 and 8, 4 and 4, …) and then added to y.
pub(super) fn dot_rows<R: Real>(weight: &[R], x: &[R], y: &mut [R]) {
    for (y, weight) in y.iter_mut().zip(weight.chunks_exact(x.len())) {
        let mut partial = [R::ZERO; 16];
        for (i, (&w, &x)) in weight.iter().zip(x).enumerate() {
            partial[i % 16] += w * x;
        }
        for half in [8, 4, 2, 1] {
            for l in 0..half {
                let upper = partial[l + half];
                partial[l] += upper;
            }
        }
        *y += partial[0];
    }
}

/// The backward pass of a product, d_W += d_y ⊗ x and d_x += Wᵀ·d_y: gradients have the shape of what they are the gradient of.
pub(super) fn multiply_add_back<R: Real>(weight: &[R], x: &[R], d_y: &[R], d_weight: &mut [R], d_x: &mut [R]) {
    for (o, &d) in d_y.iter().enumerate() {
        for (i, &x_i) in x.iter().enumerate() {
            d_weight[o * x.len() + i] += d * x_i;
            d_x[i] += weight[o * x.len() + i] * d;
        }
    }
}

/// sum += x, element by element.
pub(super) fn add<R: Real>(sum: &mut [R], x: &[R]) {
    for (sum, &x) in sum.iter_mut().zip(x) {
        *sum += x;
    }
}
