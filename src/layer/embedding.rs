//! A table of vectors: y = W\[index\].

use crate::error::{Error, Result, at_least_one, elements};
use crate::parallel::share_rows;
use crate::params::{ParamId, ParamTable, Params};
use crate::rng::Rng;
use crate::tensor::SeqRef;

/// `torch.nn.Embedding`: parameter `weight` \[vocabulary, width\]. Its input is a sequence of width 1 whose elements are
/// whole numbers below the vocabulary.
#[derive(Clone, Debug)]
pub(crate) struct Embedding {
    vocabulary: usize,
    width: usize,
    weight: ParamId,
}

/// Floating-point operations that it costs as much as to write an element: it waits for memory.
const FLOP: f64 = 4.0;

/// Indices come as floats, which are exact so far.
const MOST: usize = 1 << 24;

impl Embedding {
    /// A table called `{name}.weight`.
    pub(crate) fn new(table: &mut ParamTable, name: &str, vocabulary: usize, width: usize) -> Result<Self> {
        let of = |setting| format!("{}: {setting}", if name.is_empty() { "embedding" } else { name });
        at_least_one(&of("vocabulary"), vocabulary)?;
        at_least_one(&of("width"), width)?;
        if vocabulary > MOST {
            return Err(Error::setting(&of("vocabulary"), &format!("at most {MOST}"), vocabulary));
        }
        elements(name, &[vocabulary, width])?;
        let dot = if name.is_empty() { "" } else { "." };
        let weight = table.add(format!("{name}{dot}weight"), &[vocabulary, width])?;
        Ok(Self { vocabulary, width, weight })
    }

    /// Draws the table as PyTorch does: N(0, 1).
    pub(crate) fn init(&self, params: &mut Params, rng: &mut Rng) {
        params.tensor_mut(self.weight).iter_mut().for_each(|x| *x = rng.normal(0.0, 1.0));
    }

    /// That every element is an index.
    pub(crate) fn check(&self, x: SeqRef<'_>) -> Result<()> {
        for t in 0..x.shape()[0] {
            let step = x.step(t);
            for i in 0..step.shape()[0] {
                let value = step.row(i)[0];
                if !(value >= 0.0 && value < self.vocabulary as f32 && value.fract() == 0.0) {
                    let expected = format!("whole numbers from 0 to {}", self.vocabulary - 1);
                    return Err(Error::value(&format!("input at step {t}"), &expected, value));
                }
            }
        }
        Ok(())
    }

    /// Writes the vectors of the indices `x`, one row after the other. They have been checked.
    pub(crate) fn forward(&self, params: &Params, x: SeqRef<'_>, y: &mut [f32]) {
        let weight = params.tensor(self.weight);
        for (row, y) in x.each_row().zip(y.chunks_exact_mut(self.width)) {
            y.copy_from_slice(&weight[row[0] as usize * self.width..][..self.width]);
        }
    }

    /// How many vectors there are.
    pub(crate) fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// The vector of an index below the vocabulary.
    pub(crate) fn vector<'p>(&self, params: &'p Params, index: usize) -> &'p [f32] {
        &params.tensor(self.weight)[index * self.width..][..self.width]
    }

    /// The table's gradient: each vector's is the sum of those of its rows, in their order; zeros for one that did not come.
    pub(crate) fn backward(&self, x: SeqRef<'_>, d_y: SeqRef<'_>, gradients: &mut Params) {
        let d_weight = gradients.tensor_mut(self.weight);
        // A step writes zeros over all of a table of which it reads little.
        let work = FLOP * d_weight.len() as f64;
        share_rows(self.vocabulary, work, (d_weight, self.width), &|vectors, (d_weight, width)| {
            d_weight.fill(0.0);
            for (row, d_y) in x.each_row().zip(d_y.each_row()) {
                let index = row[0] as usize;
                if vectors.contains(&index) {
                    let d = &mut d_weight[(index - vectors.start) * width..][..width];
                    d.iter_mut().zip(d_y).for_each(|(d, d_y)| *d += d_y);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::Threads;
    use crate::tensor::Seq;

    /// A table that is worth more than one thread has the gradients, bit for bit, that one thread finds: zeros for what was
    /// not read, whatever stood there, and the sums of what was read often in the order of the rows.
    #[test]
    fn a_table_has_the_same_gradient_whoever_shares_it() {
        const VOCABULARY: usize = 5000;
        const WIDTH: usize = 48;
        let mut table = ParamTable::new();
        let embedding = Embedding::new(&mut table, "", VOCABULARY, WIDTH).unwrap();
        let (mut rng, params) = (Rng::new(1), Params::zeros(table));
        let (mut x, mut d_y) = (Seq::zeros(30, 20, 1).unwrap(), Seq::zeros(30, 20, WIDTH).unwrap());
        // The first and the last index, and those between, many of them often.
        x.data_mut().iter_mut().for_each(|x| *x = (rng.below(100) * (VOCABULARY - 1) / 99) as f32);
        d_y.data_mut().iter_mut().for_each(|d| *d = rng.normal(0.0, 1.0));
        let mut expected = vec![0.0_f32; VOCABULARY * WIDTH];
        for (&index, d_y) in x.data().iter().zip(d_y.data().chunks_exact(WIDTH)) {
            let row = &mut expected[index as usize * WIDTH..][..WIDTH];
            row.iter_mut().zip(d_y).for_each(|(sum, d)| *sum += d);
        }
        for threads in 1..=4 {
            let mut gradients = params.zeros_like();
            gradients.data_mut().fill(f32::NAN);
            let backward = || embedding.backward(x.view(), d_y.view(), &mut gradients);
            Threads::new(threads).unwrap().inside_for(1e9, backward);
            assert!(gradients.data() == &expected[..], "{threads} threads");
        }
    }
}
