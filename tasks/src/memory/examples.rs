//! The examples of both problems, drawn as they are needed.

use elman::Rng;
use elman::loss::{CrossEntropy, IGNORE_INDEX, Loss, MeanSquaredError, Prediction, Steps};
use elman::tensor::{Seq, SeqMut};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What has to be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Problem {
    /// The adding problem (Hochreiter and Schmidhuber 1997): at each of T steps a value, uniform in [0, 1), and a mark, which
    /// is 1 at two steps, one in each half of the sequence, and else 0. At the end the sum of the two marked values is to be
    /// told. The loss is the squared error; who always tells 1 has 1/6 = 0.167, the variance of the sum.
    Adding,
    /// Delayed copy: three symbols out of eight, T steps without a symbol of which the last has a mark, then three steps in
    /// which the symbols are to be told in their order. The loss is the cross-entropy of a symbol; who guesses has ln 8 =
    /// 2.079.
    Copy,
}

/// Symbols that there are to be copied.
const SYMBOLS: usize = 8;
/// Symbols to be copied.
const COPIED: usize = 3;

/// Some examples.
#[derive(Debug)]
pub(super) struct Drawn {
    pub(super) x: Seq,
    pub(super) truth: Truth,
}

/// What is to be told: a loss.
#[derive(Debug)]
pub(super) enum Truth {
    Sums(Seq),
    /// (T, B).
    Symbols(Vec<i64>),
}

impl Problem {
    /// The loss of who has read nothing and knows the rule.
    #[must_use]
    pub fn baseline(self) -> f64 {
        match self {
            Self::Adding => 1.0 / 6.0,
            Self::Copy => (SYMBOLS as f64).ln(),
        }
    }

    /// The loss on fresh examples below which it counts as solved: of sums an error of 0.1, of symbols a (geometric) mean
    /// probability of 95 % for the right one.
    #[must_use]
    pub fn threshold(self) -> f64 {
        match self {
            Self::Adding => 0.01,
            Self::Copy => 0.05,
        }
    }

    /// Features of a step, and outputs.
    pub(super) fn sizes(self) -> [usize; 2] {
        match self {
            Self::Adding => [2, 1],
            // A symbol, none, or the mark.
            Self::Copy => [SYMBOLS + 2, SYMBOLS],
        }
    }

    /// Steps that an example has.
    pub(super) fn all_steps(self, steps: usize) -> usize {
        match self {
            Self::Adding => steps,
            Self::Copy => steps.saturating_add(2 * COPIED),
        }
    }

    /// # Errors
    /// Fewer steps than there have to be.
    pub(super) fn check(self, steps: usize) -> Result<()> {
        let least = match self {
            Self::Adding => 2,
            Self::Copy => 1,
        };
        match steps >= least {
            true => Ok(()),
            false => Err(Error::expected("steps", format_args!("at least {least}"), steps)),
        }
    }

    /// So many examples.
    pub(super) fn draw(self, steps: usize, examples: usize, rng: &mut Rng) -> elman::Result<Drawn> {
        let [width, _] = self.sizes();
        let mut x = Seq::zeros(self.all_steps(steps), examples, width)?;
        let truth = match self {
            Self::Adding => Truth::Sums(adding(&mut x, rng)?),
            Self::Copy => Truth::Symbols(copying(&mut x, steps, rng)),
        };
        Ok(Drawn { x, truth })
    }
}

impl Truth {
    /// That of the end of the examples, so many steps times examples: all that is to be told is told there.
    pub(super) fn of_last(&self, steps: usize) -> Self {
        match self {
            Self::Sums(sums) => Self::Sums(sums.clone()),
            Self::Symbols(labels) => Self::Symbols(labels[labels.len() - steps..].to_vec()),
        }
    }
}

fn adding(x: &mut Seq, rng: &mut Rng) -> elman::Result<Seq> {
    let [steps, examples, _] = x.shape();
    let mut sums = Seq::zeros(1, examples, 1)?;
    for row in 0..examples {
        let at = |t: usize| 2 * (t * examples + row);
        (0..steps).for_each(|t| x.data_mut()[at(t)] = rng.uniform(0.0, 1.0));
        let half = steps / 2;
        for t in [rng.below(half), half + rng.below(steps - half)] {
            x.data_mut()[at(t) + 1] = 1.0;
            sums.data_mut()[row] += x.data()[at(t)];
        }
    }
    Ok(sums)
}

fn copying(x: &mut Seq, steps: usize, rng: &mut Rng) -> Vec<i64> {
    let [all, examples, width] = x.shape();
    let mut labels = vec![IGNORE_INDEX; all * examples];
    for row in 0..examples {
        for t in 0..all {
            let symbol = match t {
                _ if t < COPIED => rng.below(SYMBOLS),
                _ if t + 1 == COPIED + steps => SYMBOLS + 1,
                _ => SYMBOLS,
            };
            x.data_mut()[(t * examples + row) * width + symbol] = 1.0;
            if t < COPIED {
                labels[(t + COPIED + steps) * examples + row] = symbol as i64;
            }
        }
    }
    labels
}

impl Loss for Truth {
    fn evaluate(&mut self, prediction: Prediction<'_>, d_prediction: SeqMut<'_>) -> elman::Result<f32> {
        match self {
            Self::Sums(sums) => MeanSquaredError::new(&*sums).at(Steps::Last).evaluate(prediction, d_prediction),
            Self::Symbols(labels) => CrossEntropy::new(labels).evaluate(prediction, d_prediction),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_marked_values() {
        let drawn = Problem::Adding.draw(7, 500, &mut Rng::new(1)).unwrap();
        let Truth::Sums(sums) = &drawn.truth else { panic!() };
        let mut error = 0.0;
        for row in 0..500 {
            let steps: Vec<&[f32]> = (0..7).map(|t| drawn.x.step(t).row(row)).collect();
            let marks: Vec<usize> = (0..7).filter(|&t| steps[t][1] == 1.0).collect();
            assert!(marks.len() == 2 && marks[0] < 3 && marks[1] >= 3, "{marks:?}");
            let sum = sums.data()[row];
            assert_eq!(sum, steps[marks[0]][0] + steps[marks[1]][0]);
            error += f64::from(sum - 1.0).powi(2) / 500.0;
        }
        assert!((error - Problem::Adding.baseline()).abs() < 0.03, "{error}");
    }

    #[test]
    fn symbols_come_again_after_the_mark() {
        let drawn = Problem::Copy.draw(4, 2, &mut Rng::new(1)).unwrap();
        let Truth::Symbols(labels) = &drawn.truth else { panic!() };
        let hot = |t: usize, row| drawn.x.step(t).row(row).iter().position(|&x| x == 1.0).unwrap();
        for row in 0..2 {
            let read: Vec<usize> = (0..10).map(|t| hot(t, row)).collect();
            assert_eq!(read[3..], [8, 8, 8, 9, 8, 8, 8]);
            let told: Vec<i64> = (0..10).map(|t| labels[t * 2 + row]).collect();
            assert!(told[..7].iter().all(|&label| label == IGNORE_INDEX));
            assert_eq!(told[7..], [0, 1, 2].map(|t| read[t] as i64));
        }
    }
}
