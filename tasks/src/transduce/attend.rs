//! Luong's dot-product attention, forward and backward, over rows of plain numbers.
//!
//! A step of the decoder has an output h. Of the encoder's outputs e_i of the same example
//!
//! ```text
//! a = softmax_i(h · e_i)        c = Σ_i a_i e_i        out = [c, h]
//! ```
//!
//! and backwards, with d_c and d_h the halves of what comes from above,
//!
//! ```text
//! d_a_i = d_c · e_i             d_s_i = a_i (d_a_i - Σ_k a_k d_a_k)
//! d_h  += Σ_i d_s_i e_i         d_e_i += a_i d_c + d_s_i h
//! ```

use elman::tensor::PackedRef;

/// Which rows of a packed batch are the steps of each of its examples, in their order.
pub(super) fn places(packed: PackedRef<'_>) -> Vec<Vec<usize>> {
    let mut places = vec![Vec::new(); packed.batch()];
    let mut row = 0;
    for alive in packed.batch_sizes() {
        for &example in &packed.sorted_indices()[..alive] {
            places[example].push(row);
            row += 1;
        }
    }
    places
}

/// Rows of the decoder over rows of the encoder, each a number of the same width.
#[derive(Clone, Debug, Default)]
pub(super) struct Dot {
    /// (decoder's row, encoder's rows) of each step, and where its weights begin.
    steps: Vec<(usize, Vec<usize>, usize)>,
    weights: Vec<f32>,
    width: usize,
}

impl Dot {
    /// Forward: each step of the decoder, (its row, the encoder's rows of the same example), gives c and h side by side in
    /// the row of `out`, twice as wide.
    pub(super) fn forward(
        steps: impl Iterator<Item = (usize, Vec<usize>)>,
        encoded: &[f32],
        decoded: &[f32],
        width: usize,
        out: &mut [f32],
    ) -> Self {
        let mut this = Self { width, ..Self::default() };
        for (row, rows) in steps {
            let h = &decoded[row * width..][..width];
            let first = this.weights.len();
            this.weights.extend(rows.iter().map(|&e| dot(h, &encoded[e * width..][..width])));
            softmax(&mut this.weights[first..]);
            let (c, copy) = out[row * 2 * width..][..2 * width].split_at_mut(width);
            c.fill(0.0);
            for (&e, &a) in rows.iter().zip(&this.weights[first..]) {
                add(c, a, &encoded[e * width..][..width]);
            }
            copy.copy_from_slice(h);
            this.steps.push((row, rows, first));
        }
        this
    }

    /// The weights of each of the decoder's steps, in the order of [`forward`](Self::forward): one for each of the encoder's
    /// rows, 1 together.
    pub(super) fn weights(&self) -> impl Iterator<Item = &[f32]> {
        self.steps.iter().map(|(_, rows, first)| &self.weights[*first..][..rows.len()])
    }

    /// Backward: adds to `d_encoded`, and sets the rows of `d_decoded`.
    pub(super) fn backward(
        &self,
        encoded: &[f32],
        decoded: &[f32],
        d_out: &[f32],
        d_encoded: &mut [f32],
        d_decoded: &mut [f32],
    ) {
        let width = self.width;
        let mut d_scores = Vec::new();
        for (row, rows, first) in &self.steps {
            let (d_c, d_copy) = d_out[row * 2 * width..][..2 * width].split_at(width);
            let weights = &self.weights[*first..][..rows.len()];
            d_scores.clear();
            d_scores.extend(rows.iter().map(|&e| dot(d_c, &encoded[e * width..][..width])));
            let mean = dot(weights, &d_scores);
            let h = &decoded[row * width..][..width];
            let d_h = &mut d_decoded[row * width..][..width];
            d_h.copy_from_slice(d_copy);
            for ((&e, &a), &d_a) in rows.iter().zip(weights).zip(&d_scores) {
                let d_s = a * (d_a - mean);
                add(d_h, d_s, &encoded[e * width..][..width]);
                let d_e = &mut d_encoded[e * width..][..width];
                add(d_e, a, d_c);
                add(d_e, d_s, h);
            }
        }
    }
}

/// The sum of products in eight sums of their own, which a compiler keeps in one register.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let (a, b) = (a.chunks(LANES), b.chunks(LANES));
    for (a, b) in a.zip(b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum()
}

fn add(to: &mut [f32], factor: f32, from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += factor * from);
}

fn softmax(scores: &mut [f32]) {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|x| *x = (*x - most).exp());
    let sum: f32 = scores.iter().sum();
    scores.iter_mut().for_each(|x| *x /= sum);
}

#[cfg(test)]
mod tests {
    use elman::Rng;
    use elman::tensor::PackedSequence;

    use super::*;

    const WIDTH: usize = 11;
    /// Of the decoder's rows the encoder's rows; not all in order, one alone.
    const STEPS: [&[usize]; 4] = [&[0, 2, 5], &[4, 1, 3], &[0, 2, 5], &[6]];

    fn steps() -> impl Iterator<Item = (usize, Vec<usize>)> {
        STEPS.iter().enumerate().map(|(row, rows)| (row, rows.to_vec()))
    }

    fn draw(rng: &mut Rng, len: usize) -> Vec<f32> {
        (0..len).map(|_| rng.normal(0.0, 0.6)).collect()
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let mut rng = Rng::new(3);
        let (encoded, decoded) = (draw(&mut rng, 7 * WIDTH), draw(&mut rng, 4 * WIDTH));
        let above = draw(&mut rng, 8 * WIDTH);
        let loss = |encoded: &[f32], decoded: &[f32]| -> f64 {
            let mut out = vec![0.0; 8 * WIDTH];
            Dot::forward(steps(), encoded, decoded, WIDTH, &mut out);
            out.iter().zip(&above).map(|(&y, &d)| f64::from(y) * f64::from(d)).sum()
        };
        let mut out = vec![0.0; 8 * WIDTH];
        let attention = Dot::forward(steps(), &encoded, &decoded, WIDTH, &mut out);
        let (mut d_encoded, mut d_decoded) = (vec![0.0; encoded.len()], vec![f32::NAN; decoded.len()]);
        attention.backward(&encoded, &decoded, &above, &mut d_encoded, &mut d_decoded);
        // The error of the difference is of the order of h², that of rounding of 6e-8 / h.
        let h = 4e-3;
        for (of, d) in [&d_encoded, &d_decoded].into_iter().enumerate() {
            for (index, &d) in d.iter().enumerate() {
                let moved = |by: f32| {
                    let mut both = [encoded.clone(), decoded.clone()];
                    both[of][index] += by;
                    loss(&both[0], &both[1])
                };
                let expected = (moved(h) - moved(-h)) / (2.0 * f64::from(h));
                assert!((f64::from(d) - expected).abs() < 2e-3, "{of}, {index}: {d} instead of {expected}");
            }
        }
    }

    #[test]
    fn weights_add_up_to_one_and_alone_all_is_seen() {
        let mut rng = Rng::new(4);
        let (encoded, decoded) = (draw(&mut rng, 7 * WIDTH), draw(&mut rng, 4 * WIDTH));
        let mut out = vec![0.0; 8 * WIDTH];
        let attention = Dot::forward(steps(), &encoded, &decoded, WIDTH, &mut out);
        assert!((attention.weights[..3].iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert_eq!(out[6 * WIDTH..7 * WIDTH], encoded[6 * WIDTH..]);
        assert_eq!(out[7 * WIDTH..], decoded[3 * WIDTH..]);
    }

    #[test]
    fn places_are_those_of_the_examples() {
        let rows: [&[f32]; 3] = [&[0.0, 1.0], &[10.0, 11.0, 12.0], &[20.0]];
        let packed = PackedSequence::from_rows(&rows, 1).unwrap();
        for (row, places) in rows.iter().zip(places(packed.view())) {
            assert_eq!(places.iter().map(|&place| packed.data()[place]).collect::<Vec<_>>(), *row);
        }
    }
}
